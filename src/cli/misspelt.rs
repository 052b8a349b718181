//! Refuses variables whose name is almost that of a setting. A misspelt setting would have no effect, and nobody would
//! notice. Other variables with the prefix pass: Kubernetes, compose files and scripts set some of their own.

use std::ffi::OsString;

use clap::Command;

/// The prefix of the names of all settings.
const OURS: &str = "VERBATIM_";
/// The maximum distance between a misspelt name and the setting. In a short name, at most a third of the letters may
/// differ.
const NEAR: usize = 3;
/// A variable of the configuration of nats-server (`deploy/log.conf`), which is near `VERBATIM_DATA_DIR`.
const OF_NATS: &str = "VERBATIM_NATS_DIR";

/// The error for the first variable whose name is almost that of a setting of any command.
pub(super) fn refusal(command: &Command, variables: impl Iterator<Item = OsString>) -> Option<String> {
    let mut known = Vec::new();
    collect(command, &mut known);
    let mut misspelt: Vec<String> = variables
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(OURS) && name != OF_NATS && !known.contains(name))
        .filter_map(|name| {
            let near = NEAR.min((name.len() - OURS.len()) / 3);
            let nearest = known.iter().map(|setting| (distance(&name, setting), setting)).min()?;
            (nearest.0 <= near).then(|| format!("{name} is not a setting: did you mean {}?", nearest.1))
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

/// The number of letters to insert, remove or replace between two names.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, with) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(letter != with);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
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
        assert_eq!(distance("SNED", "SEND"), 2);
        assert_eq!(distance("", "SEND"), 4);
    }
}
