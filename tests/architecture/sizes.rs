//! A file is one idea.

use crate::{
    LONGER, MAX_LINES, MEDIAN_LINES, P90_LINES,
    rules::{assert_none, file, source::Source, sources},
};

#[test]
fn a_file_is_one_idea() {
    assert_none(long_files(sources(), LONGER));
}

#[test]
fn most_files_are_short() {
    assert_none(grown(sources()));
}

fn long_files(sources: &[Source], longer: &[(&str, &str)]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        let (path, lines) = (&source.path, source.text.lines().count());
        let excused = longer.iter().any(|(file, _)| file == path);
        if lines > MAX_LINES && !excused {
            broken.push(format!(
                "src/{path} has {lines} lines, more than {MAX_LINES}. Find the second idea in it and give that a file, \
                 or state the reason in LONGER"
            ));
        }
        if lines <= MAX_LINES && excused {
            broken.push(format!("src/{path} has {lines} lines: take it from LONGER"));
        }
    }
    broken
}

fn grown(sources: &[Source]) -> Vec<String> {
    let mut lines: Vec<usize> =
        sources.iter().map(Source::lines_that_ship).filter(|lines| *lines > 0).collect();
    lines.sort_unstable();
    let at = |share: usize| lines.get((lines.len() * share / 100).min(lines.len().saturating_sub(1)));
    [(50, MEDIAN_LINES), (90, P90_LINES)]
        .into_iter()
        .filter_map(|(share, most)| {
            let lines = at(share).filter(|lines| **lines > most)?;
            Some(format!(
                "{share} of 100 files should ship at most {most} lines, and one of them ships {lines}"
            ))
        })
        .collect()
}

#[test]
fn the_rule_bites_on_one_file() {
    let long = "\n".repeat(MAX_LINES + 1);
    assert_eq!(long_files(&file("log/a.rs", &long), &[]).len(), 1);
    assert_eq!(long_files(&file("log/a.rs", &long[1..]), &[]).len(), 0);
    assert_eq!(long_files(&file("log/a.rs", &long), &[("log/a.rs", "a table")]).len(), 0);
    assert_eq!(long_files(&file("log/a.rs", ""), &[("log/a.rs", "a table")]).len(), 1);
}

#[test]
fn the_rule_bites_on_all_files() {
    let files = |lines: &[usize]| -> Vec<Source> {
        lines.iter().map(|lines| Source::new("log/a.rs", &"\n".repeat(*lines))).collect()
    };
    assert_eq!(grown(&files(&[1, 1, MEDIAN_LINES])).len(), 0);
    assert_eq!(grown(&files(&[1, MEDIAN_LINES + 1, MEDIAN_LINES + 1])).len(), 1);
    assert_eq!(grown(&files(&[1, 1, 1, P90_LINES + 1])).len(), 1);
    let tests = format!("#[cfg(test)]\nmod tests {{{}}}", "\n".repeat(P90_LINES));
    assert_eq!(grown(&file("log/a.rs", &tests)).len(), 0);
}
