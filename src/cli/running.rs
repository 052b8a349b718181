//! The addresses of the running dev mode, for commands whose settings name no server.

use std::{ffi::OsString, path::Path};

use clap::{ArgMatches, Command, parser::ValueSource};

use crate::dev;

/// The setting that only commands have that need servers.
const NEEDED: &str = "VERBATIM_DATABASE_URL";
/// The settings that say where an installation is. One of them is enough to leave dev mode alone.
const WHERE: [&str; 3] = ["VERBATIM_NATS_", "VERBATIM_DATABASE_", "VERBATIM_URL"];
/// These commands change an installation as a whole, or run it, so they get its addresses from the operator.
const NEVER: [&str; 6] = ["serve", "dev", "eraser", "migrate", "log", "restore"];

/// The arguments with the settings of the dev mode that runs on the data folder, if the command needs servers and no
/// setting names any.
pub(super) fn completed(
    arguments: Vec<OsString>,
    command: &Command,
    given: &ArgMatches,
    data_dir: &Path,
) -> Vec<OsString> {
    let Some((depth, settings)) = wanting(command, given) else { return arguments };
    let Some(env) = dev::running(data_dir) else { return arguments };
    let flags = settings.into_iter().filter_map(|(name, flag)| {
        let value = env.iter().find(|(known, _)| *known == name).map(|(_, value)| value)?;
        Some(OsString::from(format!("--{flag}={value}")))
    });
    // The commands above have no flags, so the name of each stands at its depth.
    let (before, after) = arguments.split_at(depth + 1);
    before.iter().cloned().chain(flags).chain(after.iter().cloned()).collect()
}

/// The depth of the command that takes the settings of servers, and its settings as variables with flags. `None` if no
/// command takes any, or if one is given.
fn wanting(command: &Command, given: &ArgMatches) -> Option<(usize, Vec<(String, String)>)> {
    let (mut command, mut given, mut depth) = (command, given, 0);
    loop {
        let (name, more) = given.subcommand()?;
        (command, given, depth) = (command.find_subcommand(name)?, more, depth + 1);
        if depth == 1 && NEVER.contains(&name) {
            return None;
        }
        let settings: Vec<(&clap::Arg, String)> = command
            .get_arguments()
            .filter_map(|argument| Some((argument, argument.get_env()?.to_str()?.to_owned())))
            .collect();
        if !settings.iter().any(|(_, name)| name == NEEDED) {
            continue;
        }
        let is_given = |(argument, name): &(&clap::Arg, String)| {
            WHERE.iter().any(|place| name.starts_with(place))
                && matches!(
                    given.value_source(argument.get_id().as_str()),
                    Some(ValueSource::CommandLine | ValueSource::EnvVariable)
                )
        };
        if settings.iter().any(is_given) {
            return None;
        }
        // A flag may be given once only.
        let is_free = |(argument, _): &(&clap::Arg, String)| {
            given
                .value_source(argument.get_id().as_str())
                .is_none_or(|from| from == ValueSource::DefaultValue)
        };
        let flags = settings
            .into_iter()
            .filter(is_free)
            .filter_map(|(argument, name)| Some((name, argument.get_long()?.to_owned())));
        return Some((depth, flags.collect()));
    }
}
