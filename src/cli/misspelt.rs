//! Refuses variables whose name is almost that of a setting. A misspelt setting would have no effect, and nobody would
//! notice. Other variables with the prefix pass: Kubernetes, compose files and scripts set some of their own.

use std::ffi::OsString;

use clap::Command;

/// The prefix of the names of all settings.
const OURS: &str = "VERBATIM_";
/// The length from which two letters of a word may be wrong. Two short words with that little in common are two names:
/// scripts set `VERBATIM_NATS_DIR` beside `VERBATIM_DATA_DIR`.
const LONG: usize = 6;

/// The error for the first variable whose name is almost that of a setting of any command.
pub(super) fn refusal(command: &Command, variables: impl Iterator<Item = OsString>) -> Option<String> {
    let mut known = Vec::new();
    collect(command, &mut known);
    let mut misspelt: Vec<String> = variables
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(OURS) && !known.contains(name) && !is_of_kubernetes(name))
        .filter_map(|name| {
            let near = known.iter().filter(|setting| is_misspelt(&name, setting));
            let nearest = near.min_by_key(|setting| (distance(&name, setting), *setting))?;
            Some(format!("{name} is not a setting: did you mean {nearest}?"))
        })
        .collect();
    misspelt.sort();
    misspelt.into_iter().next()
}

/// Adds the variables of a command and its subcommands.
fn collect(command: &Command, known: &mut Vec<String>) {
    let names = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    known.extend(names.map(str::to_owned));
    command.get_subcommands().for_each(|command| collect(command, known));
}

/// Whether Kubernetes sets a variable of this form in every pod, for a Service whose name begins with `verbatim`.
fn is_of_kubernetes(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let is_number = |word: &&str| !word.is_empty() && word.bytes().all(|digit| digit.is_ascii_digit());
    words.ends_with(&["PORT"])
        || words.ends_with(&["SERVICE", "HOST"])
        || words.windows(2).any(|pair| pair == ["SERVICE", "PORT"])
        || words.windows(2).any(|pair| pair[0] == "PORT" && is_number(&pair[1]))
}

/// Whether a name is probably meant to be that of a setting: one letter is wrong, or two of one long word.
fn is_misspelt(name: &str, setting: &str) -> bool {
    match distance(name, setting) {
        1 => true,
        2 => {
            let (words, others) = (name.split('_'), setting.split('_'));
            let mut differ = words.clone().zip(others.clone()).filter(|(word, other)| word != other);
            words.count() == others.count()
                && differ.next().is_some_and(|(_, word)| word.len() >= LONG)
                && differ.next().is_none()
        }
        _ => false,
    }
}

/// The number of letters to insert, remove or replace, or to swap with the next one, between two names.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let (mut before, mut last): (_, Vec<usize>) = (Vec::new(), (0..=other.len()).collect());
    for at in 0..one.len() {
        let mut row = vec![at + 1];
        for with in 0..other.len() {
            let replaced = last[with] + usize::from(one[at] != other[with]);
            let mut least = replaced.min(last[with + 1] + 1).min(row[with] + 1);
            if at > 0 && with > 0 && one[at] == other[with - 1] && one[at - 1] == other[with] {
                least = least.min(before[with - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::command::Cli;

    fn refused(variables: &[(&str, &str)]) -> Option<String> {
        refusal(&Cli::command(), variables.iter().map(|(name, _)| name.into()))
    }

    #[test]
    fn a_misspelt_setting_is_named_with_the_nearest_one() {
        for (name, instead) in [
            ("VERBATIM_LIMIT_SEN", "did you mean VERBATIM_LIMIT_SEND?"),
            ("VERBATIM_DATABSE_URL", "did you mean VERBATIM_DATABASE_URL?"),
            ("VERBATIM_NATS_URL_FIEL", "did you mean VERBATIM_NATS_URL_FILE?"),
            ("VERBATIM_RETNETOIN_MAX", "did you mean VERBATIM_RETENTION_MAX?"),
            ("VERBATIM_DATA_BASE_URL", "did you mean VERBATIM_DATABASE_URL?"),
        ] {
            let said = refused(&[("VERBATIM_LISTEN", ""), (name, "8080")]).expect("refused");
            assert!(
                said.starts_with(&format!("{name} is not a setting")) && said.contains(instead),
                "{said}"
            );
        }
        assert_eq!(
            refused(&[("HOME", "/"), ("verbatim_x", ""), ("VERBATIM_KEY", "of another command")]),
            None
        );
    }

    #[test]
    fn a_setting_with_one_wrong_letter_is_misspelt() {
        let mut known = Vec::new();
        collect(&Cli::command(), &mut known);
        assert!(known.len() > 50, "{}", known.len());
        for setting in &known {
            let mut wrong = vec![format!("{setting}X")];
            for at in OURS.len()..setting.len() {
                let (begin, end) = (&setting[..at], &setting[at + 1..]);
                wrong.extend([
                    format!("{begin}{end}"),
                    format!("{begin}X{end}"),
                    format!("{begin}X{}", &setting[at..]),
                ]);
                if let Some((next, end)) = end.split_at_checked(1) {
                    wrong.push(format!("{begin}{next}{}{end}", &setting[at..=at]));
                }
            }
            for name in wrong.iter().filter(|name| *name != setting) {
                assert!(is_misspelt(name, setting) && !is_of_kubernetes(name), "{name} for {setting}");
            }
        }
    }

    #[test]
    fn the_variables_of_kubernetes_and_of_scripts_pass() {
        for (name, value) in [
            ("VERBATIM_SERVICE_HOST", "10.0.0.1"),
            ("VERBATIM_SERVICE_PORT", "80"),
            ("VERBATIM_SERVICE_PORT_HTTP", "80"),
            ("VERBATIM_PORT", "tcp://10.0.0.1:80"),
            ("VERBATIM_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("VERBATIM_PORT_80_TCP_PROTO", "tcp"),
            ("VERBATIM_NATS_PORT_4222_TCP_ADDR", "10.0.0.1"),
            ("VERBATIM_ADMIN_SERVICE_PORT_METRICS", "8081"),
            ("VERBATIM_NATS_PORT", "tcp://10.0.0.2:4222"),
            ("VERBATIM_NATS_SERVICE_HOST", "10.0.0.2"),
            ("VERBATIM_DATABASE_PORT", "tcp://10.0.0.3:5432"),
            ("VERBATIM_PUBLIC_PORT", "80"),
            ("VERBATIM_NATS_USER", "verbatim"),
            ("VERBATIM_DATABASE_USER", "verbatim"),
            ("VERBATIM_DATABASE_NAME", "verbatim"),
            ("VERBATIM_STATE_DIR", "/var/lib/verbatim"),
            ("VERBATIM_NATS_DIR", "/var/lib/nats"),
            ("VERBATIM_CERT_FILE", "/etc/verbatim/tls.crt"),
            ("VERBATIM_IMAGE", "verbatim:1.0"),
            ("VERBATIM_VERSION", "1.0"),
            ("VERBATIM_BIN", "/usr/bin/verbatim"),
            ("VERBATIM_", ""),
        ] {
            assert_eq!(refused(&[(name, value)]), None, "{name}");
        }
    }

    #[test]
    fn no_name_in_the_repository_is_refused() {
        fn names(folder: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
            {
                if entry.is_dir() {
                    names(&entry, found);
                } else if let Ok(text) = fs::read_to_string(&entry) {
                    let is_letter = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
                    let words = text.split(|c| !is_letter(c)).filter(|word| word.starts_with(OURS));
                    found.extend(words.filter(|word| !word.ends_with('_')).map(str::to_owned));
                }
            }
        }
        let mut found = Vec::new();
        for folder in [".ci", "benches", "deploy", "docs", "tests/e2e", "tests/faults", "tests/sdk"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            if folder.is_dir() {
                names(&folder, &mut found);
            }
        }
        assert!(found.len() > 100, "{}", found.len());
        let variables: Vec<_> = found.iter().map(|name| (&**name, "")).collect();
        assert_eq!(refused(&variables), None);
    }

    #[test]
    fn a_distance_is_the_number_of_letters_that_differ() {
        assert_eq!(distance("SEND", "SEND"), 0);
        assert_eq!(distance("SEN", "SEND"), 1);
        assert_eq!(distance("SNED", "SEND"), 1);
        assert_eq!(distance("NATS", "DATA"), 2);
        assert_eq!(distance("", "SEND"), 4);
    }
}
