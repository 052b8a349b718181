//! Figures: the measurements of our code, next to the floor of the same run.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Whether to run at full size.
pub fn full() -> bool {
    std::env::var("VERBATIM_BENCH").is_ok_and(|size| size == "full")
}

/// One figure. Each round measures it once.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Figure {
    pub part: String,
    pub what: String,
    pub unit: String,
    pub ours: Vec<f64>,
    /// Empty if there is no floor.
    pub floor: Vec<f64>,
    pub floor_is: String,
    /// The goal.
    #[serde(default)]
    pub goal: String,
    /// The picture in which it is drawn.
    pub picture: Option<String>,
}

impl Figure {
    pub fn new(part: &str, what: impl Into<String>, unit: &str) -> Self {
        Self { part: part.to_owned(), what: what.into(), unit: unit.to_owned(), ..Self::default() }
    }

    pub fn beside(self, floor: &str) -> Self {
        Self { floor_is: floor.to_owned(), ..self }
    }

    pub fn goal(self, goal: &str) -> Self {
        Self { goal: goal.to_owned(), ..self }
    }

    pub fn drawn(self, picture: &str) -> Self {
        Self { picture: Some(picture.to_owned()), ..self }
    }

    /// Adds a round.
    pub fn round(&mut self, ours: f64, floor: Option<f64>) {
        self.ours.push(ours);
        self.floor.extend(floor);
    }

    /// The ratio to the floor, if there is one.
    pub fn ratio(&self) -> Option<f64> {
        let floor = median(&self.floor);
        (floor > 0.0).then(|| median(&self.ours) / floor)
    }

    /// Prints it, and keeps it for the report.
    pub fn note(self) {
        let floor = self.ratio().map(|ratio| format!("  {ratio:.2} x {}", self.floor_is)).unwrap_or_default();
        println!("{:<12} {:<62} {} {}{floor}", self.part, self.what, number(median(&self.ours)), self.unit);
        let line = serde_json::to_string(&self).expect("a figure is JSON");
        let mut file = OpenOptions::new().create(true).append(true).open(kept()).expect("the target folder");
        writeln!(file, "{line}").expect("the target folder");
    }
}

/// Records a figure with one round.
pub fn note(figure: Figure, ours: f64, floor: Option<f64>) {
    let mut figure = figure;
    figure.round(ours, floor);
    figure.note();
}

/// The file to which figures are appended, one line of JSON each.
pub fn kept() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures.jsonl")
}

/// All figures in that file.
pub fn all() -> Vec<Figure> {
    let lines = fs::read_to_string(kept()).unwrap_or_default();
    lines.lines().map(|line| serde_json::from_str(line).expect("a figure")).collect()
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number with three significant digits, and commas.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((&*text, String::new()), |(w, r)| (w, format!(".{r}")));
    let mut grouped = String::new();
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at) % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}
