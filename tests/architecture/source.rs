//! Just enough of Rust to see what a file refers to: code without comments and literals, and the
//! paths in it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A file of `src/`.
pub(crate) struct Source {
    /// Below `src/`, with slashes: `log/append.rs`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// The same with comments, strings and characters blanked out; lines stay.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    /// The module directly below the crate: `log` for `log.rs`, `log/mod.rs` and `log/append.rs`.
    pub(crate) fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    /// It holds nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"))
    }

    /// The code without inline test modules.
    pub(crate) fn code_that_ships(&self) -> String {
        if self.is_test() {
            return String::new();
        }
        let mut code = self.code.clone();
        while let Some(start) = code.find("#[cfg(test)]") {
            let rest = &code[start..];
            let end = match (rest.find('{'), rest.find(';')) {
                (Some(open), semicolon) if semicolon.is_none_or(|s| open < s) => matching(rest, open),
                (_, Some(semicolon)) => semicolon + 1,
                _ => rest.len(),
            };
            let blank: String = rest[..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
            code.replace_range(start..start + end, &blank);
        }
        code
    }

    /// Every path that the file names, with the number of its line; `use` trees are unfolded.
    pub(crate) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let tokens = tokens(&self.code);
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let line = tokens[at].0;
            if tokens[at].1 == "use" {
                let mut paths = Vec::new();
                at = use_tree(&tokens, at + 1, &[], &mut paths);
                found.extend(paths.into_iter().map(|path| (line, path)));
            } else if is_name(tokens[at].1) && (at == 0 || !["::", "."].contains(&tokens[at - 1].1)) {
                let mut path = vec![tokens[at].1.to_owned()];
                while at + 2 < tokens.len() && tokens[at + 1].1 == "::" && is_name(tokens[at + 2].1) {
                    path.push(tokens[at + 2].1.to_owned());
                    at += 2;
                }
                if path.len() > 1 {
                    found.push((line, path));
                }
                at += 1;
            } else {
                at += 1;
            }
        }
        found
    }

    /// The modules of this crate that the file names.
    pub(crate) fn modules(&self) -> Vec<(usize, String)> {
        let is_root = matches!(self.path.split('/').collect::<Vec<_>>()[..], [_] | [_, "mod.rs"]);
        let paths = self.paths().into_iter().filter_map(|(line, path)| {
            let of_crate = matches!(path[0].as_str(), "crate" | "verbatim");
            let above = path[0] == "super" && (is_root || path.get(1)? == "super");
            let next = path.iter().find(|part| !matches!(part.as_str(), "crate" | "verbatim" | "super"));
            (of_crate || above).then(|| Some((line, next?.clone())))?
        });
        paths.collect()
    }

    /// The roots of paths that are not brought into scope by a longer path of the file itself.
    pub(crate) fn outside(&self) -> Vec<(usize, String)> {
        let paths = self.paths();
        let local: BTreeSet<&String> =
            paths.iter().filter(|(_, path)| path.len() > 1).filter_map(|(_, path)| path.last()).collect();
        let roots = paths.iter().filter(|(_, path)| !local.contains(&path[0]));
        roots.map(|(line, path)| (*line, path[0].clone())).collect()
    }

    /// The lines on which a word stands in the code.
    pub(crate) fn lines_with(code: &str, word: &str) -> Vec<usize> {
        let stands = |line: &str| {
            line.match_indices(word).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + word.len()..].chars().next();
                let is_part = |c: Option<char>| c.is_some_and(is_part);
                let goes_on_before = is_part(before) && is_part(word.chars().next());
                let goes_on_after = is_part(after) && is_part(word.chars().next_back());
                !goes_on_before && !goes_on_after
            })
        };
        code.lines().zip(1..).filter(|(line, _)| stands(line)).map(|(_, n)| n).collect()
    }
}

/// All files of a folder, by path.
pub(crate) fn read_all(src: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(src, &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let below = path.strip_prefix(src).expect("it was found there").to_string_lossy().replace('\\', "/");
        Source::new(&below, &text)
    };
    paths.iter().map(read).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Blanks out comments, strings and characters.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins here ends; here, if none begins.
fn skipped(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let find = |from: usize, wanted: &dyn Fn(usize) -> bool| (from..chars.len()).find(|&i| wanted(i));
    match chars[at] {
        '/' if next(1) == '/' => find(at, &|i| chars[i] == '\n').unwrap_or(chars.len()),
        '/' if next(1) == '*' => {
            let (mut depth, mut i) = (0, at);
            while i < chars.len() {
                match (chars[i], chars.get(i + 1)) {
                    ('/', Some('*')) => (depth, i) = (depth + 1, i + 1),
                    ('*', Some('/')) => (depth, i) = (depth - 1, i + 1),
                    _ => {}
                }
                i += 1;
                if depth == 0 {
                    break;
                }
            }
            i
        }
        '"' => quoted(chars, at + 1, '"'),
        'r' if at == 0
            || !is_part(chars[at - 1])
            || (chars[at - 1] == 'b' && (at == 1 || !is_part(chars[at - 2]))) =>
        {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if next(1 + hashes) != '"' {
                return at;
            }
            let closes = |i: usize| {
                chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
            };
            find(at + 2 + hashes, &closes).map_or(chars.len(), |i| i + 1 + hashes)
        }
        '\'' if next(1) == '\\' => quoted(chars, at + 1, '\''),
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn quoted(chars: &[char], mut at: usize, end: char) -> usize {
    while at < chars.len() && chars[at] != end {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_name(token: &str) -> bool {
    token.starts_with(is_part)
}

/// The end of the bracket that opens at `open`.
fn matching(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return open + at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Names, `::` and single signs, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (line, n) in code.lines().zip(1..) {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let len = if is_part(first) {
                rest.find(|c| !is_part(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((n, &rest[..len]));
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

/// Unfolds the tree that begins at `at`; answers where it ends.
fn use_tree(
    tokens: &[(usize, &str)],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = prefix.to_vec();
    while let Some((_, token)) = tokens.get(at) {
        match *token {
            "::" => at += 1,
            "as" => {
                path.pop();
                path.push(tokens[at + 1].1.to_owned());
                at += 2;
            }
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|(_, token)| *token != "}") {
                    at = use_tree(tokens, at, &path, found);
                    at += usize::from(tokens.get(at).is_some_and(|(_, token)| *token == ","));
                }
                return at + 1;
            }
            name if is_name(name) || name == "*" => {
                path.push(name.to_owned());
                at += 1;
            }
            _ => break,
        }
    }
    // `impl Trait + use<'a>` names nothing.
    if !path.is_empty() {
        found.push(path);
    }
    at
}

#[test]
fn comments_and_literals_are_no_code() {
    let text =
        "a // crate::x\n/* b /* c */ crate::y */ d \"crate::z \\\" e\" 'f' '\\'' <'g> r#\"crate::\"h\"# i";
    let code = Source::new("a.rs", text).code;
    let left: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(left, ["a", "d", "<'g>", "i"]);
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn use_trees_and_paths_are_unfolded() {
    let text =
        "use crate::{a::{b, c as d}, e, f::*};\nlet x = crate::g::h(1).i::<J>();\npub(in crate::k) struct L;";
    let modules: Vec<_> = Source::new("m/n.rs", text).modules();
    let wanted = [(1, "a"), (1, "a"), (1, "e"), (1, "f"), (2, "g"), (3, "k")];
    assert_eq!(modules, wanted.map(|(line, name)| (line, name.to_owned())));
}

#[test]
fn the_way_up_leads_to_the_crate() {
    let named = |path: &str, text: &str| {
        Source::new(path, text).modules().into_iter().map(|m| m.1).collect::<Vec<_>>()
    };
    assert_eq!(named("m.rs", "use super::a;"), ["a"]);
    assert_eq!(named("m/mod.rs", "use super::{a, b::c};"), ["a", "b"]);
    assert_eq!(named("m/n.rs", "use super::a; use super::super::b::c;"), ["b"]);
}

#[test]
fn a_name_from_another_crate_is_told_from_one_in_scope() {
    let text = "use std::{time::Duration, fmt};\nuse tokio::time;\nfn a() { time::sleep(1); poem::get(2); fmt::b(); }";
    let roots: Vec<String> = Source::new("m.rs", text).outside().into_iter().map(|(_, root)| root).collect();
    assert_eq!(roots, ["std", "std", "tokio", "poem"]);
}

#[test]
fn inline_tests_do_not_ship() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c.unwrap() } }\nfn d() {}\n#[cfg(test)]\nmod e;\nfn f() {}";
    let code = Source::new("m.rs", text).code_that_ships();
    let left: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(left, ["fn", "a()", "{}", "fn", "d()", "{}", "fn", "f()", "{}"]);
    assert_eq!(Source::new("m/tests.rs", "fn a() {}").code_that_ships(), "");
}
