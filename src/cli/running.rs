//! The addresses of the running dev mode, for commands whose settings name no server.

use std::{env, ffi::OsString, path::Path};

use clap::{ArgMatches, Command, parser::ValueSource};

use crate::dev;

/// Only commands that need servers have this setting.
const NEEDED: &str = "VERBATIM_DATABASE_URL";
/// Prefixes of the settings that name an installation. If one of them is set, dev mode is not used.
const WHERE: [&str; 3] = ["VERBATIM_NATS_", "VERBATIM_DATABASE_", NODE];
/// The address of a node. Not every command can ask a node, but none may turn to another installation instead.
const NODE: &str = "VERBATIM_URL";
/// These commands run an installation or change it as a whole, so its addresses have to come from the operator.
const NEVER: [&str; 6] = ["serve", "dev", "eraser", "migrate", "log", "restore"];

/// The arguments of a command, and whether they name its servers.
pub(super) struct Completed {
    pub(super) arguments: Vec<OsString>,
    /// Whether the command needs servers, no setting names any, and no dev mode runs on the data folder.
    pub(super) lacks_servers: bool,
}

/// Adds the settings of the dev mode that runs on the data folder to the arguments, if the command needs servers and no
/// setting names any.
pub(super) fn completed(
    arguments: Vec<OsString>,
    command: &Command,
    given: &ArgMatches,
    data_dir: &Path,
) -> Completed {
    let Some((depth, settings)) = wanting(command, given) else {
        return Completed { arguments, lacks_servers: false };
    };
    let Some(env) = dev::running(data_dir) else { return Completed { arguments, lacks_servers: true } };
    let flags = settings.into_iter().filter_map(|Wanted { name, flag, has_value }| {
        let value = env.iter().find(|(known, _)| *known == name).map(|(_, value)| value)?;
        Some(OsString::from(if has_value { format!("--{flag}={value}") } else { format!("--{flag}") }))
    });
    // The parent commands have no flags, so each command's name is at the index of its depth.
    let (before, after) = arguments.split_at(depth + 1);
    let arguments = before.iter().cloned().chain(flags).chain(after.iter().cloned()).collect();
    Completed { arguments, lacks_servers: false }
}

/// A setting of a command.
struct Wanted {
    /// Its variable.
    name: String,
    /// Its flag.
    flag: String,
    /// Whether the flag takes a value. A flag without one is in the environment only if it is set.
    has_value: bool,
}

/// The depth of the command that has settings for servers, and these settings. `None` if no command has any, or if one
/// of them is set.
fn wanting(command: &Command, given: &ArgMatches) -> Option<(usize, Vec<Wanted>)> {
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
        if settings.iter().any(is_given) || env::var_os(NODE).is_some_and(|url| !url.is_empty()) {
            return None;
        }
        // Clap refuses a flag that is given twice.
        let is_free = |(argument, _): &(&clap::Arg, String)| {
            given
                .value_source(argument.get_id().as_str())
                .is_none_or(|from| from == ValueSource::DefaultValue)
        };
        let flags = settings.into_iter().filter(is_free).filter_map(|(argument, name)| {
            let has_value = argument.get_action().takes_values();
            Some(Wanted { name, flag: argument.get_long()?.to_owned(), has_value })
        });
        return Some((depth, flags.collect()));
    }
}
