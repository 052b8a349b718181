//! All benchmarks, one after the other, and one table of what they measured, each figure beside its
//! floor:
//!
//! ```sh
//! cargo bench --bench report            # small, in minutes
//! cargo bench --bench report -- full    # as large as README shows it; keeps table and pictures
//! ```

mod stage;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use stage::figures::{self, Figure, median, number};

const ALL: [&str; 6] = ["fanout", "idle", "sends", "growth", "projections", "reads"];
/// Where the table stands in the README of the benchmarks.
const BEGIN: &str = "<!-- figures -->";
const END: &str = "<!-- /figures -->";

fn main() -> ExitCode {
    let is_full = std::env::args().any(|arg| arg == "full");
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| ALL.contains(&&**arg)).collect();
    if fs::exists(figures::kept()).expect("the target folder") {
        fs::remove_file(figures::kept()).expect("a file of ours");
    }
    let mut failed = Vec::new();
    for name in ALL.into_iter().filter(|name| only.is_empty() || only.iter().any(|one| one == name)) {
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
    let figures = figures::all();
    let table = table(&figures);
    println!("\n{table}");
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let pictures = match is_full && only.is_empty() && failed.is_empty() {
        true => {
            keep(&benches.join("README.md"), &table);
            benches.join("pictures")
        }
        false => Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures"),
    };
    draw_all(&pictures, &figures);
    println!("Figures: {}\nPictures: {}", figures::kept().display(), pictures.display());
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("without result: {}", failed.join(", "));
    ExitCode::FAILURE
}

fn table(figures: &[Figure]) -> String {
    let mut table =
        "| | measured | Verbatim | floor | x floor | the floor is |\n|---|---|---:|---:|---:|---|\n"
            .to_owned();
    for figure in figures {
        let Figure { part, what, unit, ours, floor, floor_is, .. } = figure;
        let ratio = figure.ratio().map(number).unwrap_or_default();
        let value = |values: &[f64]| match values {
            [] => String::new(),
            values => format!("{} {unit}", number(median(values))),
        };
        let (ours, floor) = (value(ours), value(floor));
        writeln!(table, "| {part} | {what} | {ours} | {floor} | {ratio} | {floor_is} |").expect("a string");
    }
    table
}

fn keep(readme: &Path, table: &str) {
    let text = fs::read_to_string(readme).expect("the README of the benchmarks");
    let (before, rest) = text.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where the table ends");
    fs::write(readme, format!("{before}{BEGIN}\n{table}{END}{after}")).expect("the README is ours");
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

/// Two bars for each figure, ours and its floor. Dark where the reader's page is.
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
