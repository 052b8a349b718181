//! Runs all benchmarks, one after the other, and shows their figures in one table, each with its floor, its
//! goal and its former value:
//!
//! ```sh
//! cargo bench --bench report            # small, in minutes
//! cargo bench --bench report -- full    # at the size of the README; keeps run, tables and pictures
//! cargo bench --bench report -- full again    # uses the figures in `target/tmp/figures.jsonl`, and runs nothing
//! ```

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    num::NonZero,
    path::Path,
    process::{Command, ExitCode},
};

use serde::{Deserialize, Serialize};
use stage::figures::{self, Figure, median, number};
use time::OffsetDateTime;

const ALL: [&str; 12] = [
    "fanout",
    "idle",
    "sends",
    "growth",
    "projections",
    "reads",
    "limits",
    "tls",
    "webhooks",
    "erasures",
    "archive",
    "abuse",
];
/// The marks around the table in the README of the benchmarks.
const BEGIN: &str = "<!-- figures -->";
const END: &str = "<!-- /figures -->";

fn main() -> ExitCode {
    let is_full = std::env::args().any(|arg| arg == "full");
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| ALL.contains(&&**arg)).collect();
    let again = std::env::args().any(|arg| arg == "again");
    if !again && fs::exists(figures::kept()).expect("the target folder") {
        fs::remove_file(figures::kept()).expect("a file of ours");
    }
    let mut failed = Vec::new();
    let is_wanted = |name: &&str| !again && (only.is_empty() || only.iter().any(|one| one == name));
    for name in ALL.into_iter().filter(is_wanted) {
        println!("\n== {name}");
        let mut command = Command::new(env!("CARGO"));
        command.args(["bench", "--quiet", "--bench", name]);
        command.env("VERBATIM_BENCH", if is_full { "full" } else { "quick" });
        if !is_full && std::env::var_os("VERBATIM_BENCH_MESSAGES").is_none() {
            command.env("VERBATIM_BENCH_MESSAGES", "20000");
        }
        if !command.status().is_ok_and(|status| status.success()) {
            failed.push(name);
        }
    }
    let run = Run::now(figures::all());
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    println!("\n{}", tables(&run, None));
    let pictures = match is_full && only.is_empty() && failed.is_empty() {
        true => {
            let runs = benches.join("runs");
            keep(&benches.join("README.md"), &tables(&run, Run::last(&runs).as_ref()));
            run.keep(&runs);
            benches.join("pictures")
        }
        false => Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures"),
    };
    draw_all(&pictures, &run.figures);
    println!("Figures: {}\nPictures: {}", figures::kept().display(), pictures.display());
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("without result: {}", failed.join(", "));
    ExitCode::FAILURE
}

/// One run of all benchmarks.
#[derive(Serialize, Deserialize)]
struct Run {
    /// The time when it ended, to the minute, in UTC.
    at: String,
    machine: String,
    figures: Vec<Figure>,
}

impl Run {
    fn now(figures: Vec<Figure>) -> Self {
        let minute = time::macros::format_description!("[year]-[month]-[day]T[hour]-[minute]");
        let at = OffsetDateTime::now_utc().format(minute).expect("a time");
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let count = std::thread::available_parallelism().map_or(1, NonZero::get);
        let machine = format!("{count} x {}", model.trim_start_matches(['\t', ' ', ':']));
        Self { at, machine, figures }
    }

    fn keep(&self, runs: &Path) {
        let text = serde_json::to_string(self).expect("a run is JSON").replace("{\"part\"", "\n{\"part\"");
        fs::write(runs.join(&self.at).with_extension("json"), text + "\n").expect("a file of ours");
    }

    /// The last run that was kept.
    fn last(runs: &Path) -> Option<Self> {
        let files = fs::read_dir(runs).expect("the runs").map(|file| file.expect("a file").path());
        let text = fs::read_to_string(files.max()?).expect("a file of ours");
        Some(serde_json::from_str(&text).expect("a run"))
    }

    fn title(&self) -> String {
        let (day, minute) = self.at.split_once('T').unwrap_or((&self.at, ""));
        format!("on {day} {} UTC ({})", minute.replace('-', ":"), self.machine)
    }
}

/// The tables: first the figures with a goal, then the others by parts.
fn tables(run: &Run, before: Option<&Run>) -> String {
    let mut text = format!("Measured {}", run.title());
    if let Some(before) = before {
        write!(text, ", before that {}", before.title()).expect("a string");
    }
    let before = before.map_or(&[][..], |run| &run.figures);
    let (goals, parts): (Vec<_>, Vec<_>) = run.figures.iter().partition(|figure| !figure.goal.is_empty());
    text += ".\n\n| measured | goal | Verbatim | floor | x floor | before | x floor | the floor is |\n";
    text += "|---|---|---:|---:|---:|---:|---:|---|\n";
    for figure in goals {
        let of_part = format!("{}: {}", figure.part, figure.what);
        row(&mut text, &[&of_part, &figure.goal], figure, before);
    }
    for part in parts.chunk_by(|a, b| a.part == b.part) {
        write!(
            text,
            "\n<details><summary>{}</summary>\n\n\
             | measured | Verbatim | floor | x floor | before | x floor | the floor is |\n\
             |---|---:|---:|---:|---:|---:|---|\n",
            part[0].part
        )
        .expect("a string");
        for figure in part {
            row(&mut text, &[&figure.what], figure, before);
        }
        text += "\n</details>\n";
    }
    text
}

fn row(text: &mut String, named: &[&str], figure: &Figure, before: &[Figure]) {
    let value = |values: &[f64]| match values {
        [] => String::new(),
        values => format!("{} {}", number(median(values)), figure.unit),
    };
    let ratio = |figure: &Figure| figure.ratio().map(number).unwrap_or_default();
    let before = before.iter().find(|other| (&other.part, &other.what) == (&figure.part, &figure.what));
    let cells = [
        value(&figure.ours),
        value(&figure.floor),
        ratio(figure),
        before.map(|before| value(&before.ours)).unwrap_or_default(),
        before.map(ratio).unwrap_or_default(),
        figure.floor_is.clone(),
    ];
    let cells = named.iter().copied().chain(cells.iter().map(String::as_str));
    writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | ")).expect("a string");
}

fn keep(readme: &Path, tables: &str) {
    let text = fs::read_to_string(readme).expect("the README of the benchmarks");
    let (before, rest) = text.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where the table ends");
    fs::write(readme, format!("{before}{BEGIN}\n{tables}{END}{after}")).expect("the README is ours");
}

fn draw_all(folder: &Path, figures: &[Figure]) {
    fs::create_dir_all(folder).expect("a folder of ours");
    let names: BTreeSet<&str> = figures.iter().filter_map(|figure| figure.picture.as_deref()).collect();
    for name in names {
        let drawn: Vec<&Figure> =
            figures.iter().filter(|figure| figure.picture.as_deref() == Some(name)).collect();
        fs::write(folder.join(name).with_extension("svg"), draw(&drawn)).expect("a file of ours");
    }
}

/// Draws two bars for each figure: ours and its floor. The colours follow the reader's light or dark mode.
fn draw(figures: &[&Figure]) -> String {
    const WIDTH: f64 = 720.0;
    const ROOM: f64 = 520.0;
    let longest = figures.iter().flat_map(|figure| [median(&figure.ours), median(&figure.floor)]);
    let longest = longest.filter(|value| value.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let (mut body, mut y) = (String::new(), 10.0);
    for Figure { what, unit, ours, floor, floor_is, .. } in figures {
        writeln!(body, r#"<text class="what" x="10" y="{}">{what}</text>"#, y + 14.0).expect("a string");
        y += 22.0;
        for (values, class, name) in [(ours, "ours", "Verbatim"), (floor, "floor", floor_is.as_str())] {
            if values.is_empty() {
                continue;
            }
            let value = median(values);
            let length = (value / longest * ROOM).max(1.0);
            let (text_x, text_y, label) = (16.0 + length, y + 12.0, number(value));
            writeln!(
                body,
                r#"<rect class="{class}" x="10" y="{y}" width="{length:.1}" height="15" rx="2"/>
<text x="{text_x:.1}" y="{text_y}">{label} {unit}, {name}</text>"#
            )
            .expect("a string");
            y += 18.0;
        }
        y += 10.0;
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">
<style>
text {{ font: 12px system-ui, sans-serif; fill: #444c56 }}
.what {{ font-weight: 600; fill: #1f2328 }}
.ours {{ fill: #2f6fde }}
.floor {{ fill: #a0a8b3 }}
@media (prefers-color-scheme: dark) {{
  text {{ fill: #adb5bf }} .what {{ fill: #e6edf3 }} .ours {{ fill: #5b95f5 }} .floor {{ fill: #636c76 }}
}}
</style>
{body}</svg>
"#
    )
}
