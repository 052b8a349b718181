//! JSON values as YAML that people can read. Whatever could be taken for something else stays in
//! JSON's quotes, which YAML understands.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Writes a document; its members come in the order of `first`, then by name.
pub(in crate::contract) fn write(document: &Value, first: &[&str]) -> String {
    let mut text = String::new();
    match document {
        Value::Object(members) => {
            let rank = |name: &str| first.iter().position(|f| *f == name).unwrap_or(first.len());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| rank(name));
            members.into_iter().for_each(|(name, value)| member(&mut text, 0, name, value));
        }
        other => text = format!("{other}\n"),
    }
    text
}

fn object(text: &mut String, depth: usize, members: &Map<String, Value>) {
    members.iter().for_each(|(name, value)| member(text, depth, name, value));
}

fn member(text: &mut String, depth: usize, name: &str, value: &Value) {
    indent(text, depth);
    text.push_str(&scalar(name));
    text.push(':');
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push('\n');
            object(text, depth + 1, members);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            items.iter().for_each(|value| item(text, depth + 1, value));
        }
        Value::String(lines) if is_block(lines) => {
            text.push_str(" |-\n");
            for line in lines.split('\n') {
                if !line.is_empty() {
                    indent(text, depth + 1);
                    text.push_str(line);
                }
                text.push('\n');
            }
        }
        other => line(text, other),
    }
}

fn item(text: &mut String, depth: usize, value: &Value) {
    indent(text, depth);
    text.push('-');
    match value {
        Value::Object(members) if !members.is_empty() => {
            let mut inner = String::new();
            object(&mut inner, depth + 1, members);
            text.push(' ');
            text.push_str(inner.trim_start());
        }
        other => line(text, other),
    }
}

/// The rest of a line: a scalar, an empty collection or a list within a list, as in JSON.
fn line(text: &mut String, value: &Value) {
    text.push(' ');
    match value {
        Value::String(plain) => text.push_str(&scalar(plain)),
        other => text.push_str(&json(other)),
    }
    text.push('\n');
}

fn indent(text: &mut String, depth: usize) {
    text.push_str(&"  ".repeat(depth));
}

/// Lines that can stand as they are: no line begins with a space, or the depth would be lost.
fn is_block(lines: &str) -> bool {
    let printable = |c: char| c == '\n' || (!c.is_control() && c != '\u{FEFF}' && !is_separator(c));
    lines.contains('\n')
        && !lines.ends_with('\n')
        && lines.chars().all(printable)
        && lines.split('\n').all(|line| !line.starts_with(' '))
        && !lines.starts_with('\n')
}

/// A string as it is if nothing in it means anything to YAML, else in quotes.
fn scalar(text: &str) -> String {
    let starts_plainly = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '$' | '_'));
    let plain = |c: char| c == ' ' || (!c.is_control() && !c.is_whitespace() && c != '\u{FEFF}');
    let is_word_of_yaml = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .contains(&text.to_ascii_lowercase().as_str());
    let stands = starts_plainly
        && text.chars().all(plain)
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([' ', ':'])
        && !is_word_of_yaml;
    if stands { text.to_owned() } else { json(&Value::from(text)) }
}

/// JSON, with escapes for what YAML does not take as it is; outside of quotes there is none of it.
fn json(value: &Value) -> String {
    value.to_string().chars().fold(String::new(), |mut quoted, c| {
        match c {
            c if c.is_control() || is_separator(c) || c == '\u{FEFF}' => {
                write!(quoted, "\\u{:04x}", u32::from(c)).expect("a String takes everything");
            }
            c => quoted.push(c),
        }
        quoted
    })
}

fn is_separator(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_is_written_is_read_back() {
        let strings = [
            "",
            " ",
            "a",
            "a: b",
            "a:",
            "a #b",
            "#",
            "- a",
            "true",
            "No",
            "null",
            "~",
            "1",
            "1.5",
            "0x1f",
            ".nan",
            "2026-11-24",
            "a\nb",
            "a\n\n  b",
            "\na",
            "a\n",
            "a\n\nb",
            "{a}",
            "[a]",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a`",
            "'a'",
            "\"a\"",
            "a\\b",
            "ä\u{85}\u{2028}\u{FEFF}",
            "a\tb",
            "a\u{7f}b",
            "?",
            "? a",
            "|",
            ">",
            "a, b",
            "<<",
            "=",
            "$ref",
            "a - b\n- c: d\n#e",
            "-",
            "---",
            "a\r\nb",
            "a \nb",
            "e1",
            "a\u{a0}b",
        ];
        for text in strings {
            let document = json!({
                "key": text, "list": [text, [text], { "a": text, "b": [{ "c": text }] }], (text): [], "empty": {},
            });
            let written = write(&document, &["list"]);
            let read: Value = serde_yaml::from_str(&written).unwrap_or_else(|e| panic!("{e}: {written}"));
            assert_eq!(read, document, "{written}");
        }
    }

    #[test]
    fn values_keep_their_kind() {
        let document =
            json!({ "a": 1, "b": 9_007_199_254_740_991_u64, "c": -1.5, "d": true, "e": null, "f": [[1]] });
        let read: Value = serde_yaml::from_str(&write(&document, &[])).expect("YAML");
        assert_eq!(read, document);
    }
}
