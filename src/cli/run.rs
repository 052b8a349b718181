//! Runs the command line, up to the exit status.

use std::{env, ffi::OsString, path::Path, process::ExitCode};

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use crate::{
    api,
    app::AppError,
    cli::{
        archive, audit, backup,
        brief::brief,
        check,
        command::{Cli, Command},
        consumers, dev, erasures,
        failed::Failed,
        holds, log, logins, migrate, misspelt, nats, people, programs, rebuild, restore,
        running::{self, Completed},
        serve, signing_key, status, webhooks,
    },
    contract::asyncapi,
    telemetry::{self, LogFormat},
};

/// Runs the command line and returns the exit status: 0 for success, 1 for a refusal, 2 for arguments that clap
/// cannot read.
pub fn main() -> ExitCode {
    let data_dir = env::var_os("VERBATIM_DATA_DIR").unwrap_or_else(|| ".verbatim".into());
    let Given { command, log, lacks_servers } = read(Path::new(&data_dir));
    if let Some(why) = misspelt::refusal(&Cli::command(), env::vars_os().map(|(name, _)| name)) {
        return fail(&why);
    }
    telemetry::start(log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("cannot start: {e}")),
    };
    match runtime.block_on(run(command)) {
        Ok(code) => code,
        Err(e @ Failed::App(AppError::Servers(_))) if lacks_servers => {
            fail(&format!("{e}. No dev mode is running on {}", data_dir.display()))
        }
        Err(e) => fail(&e.to_string()),
    }
}

/// The parsed command line.
struct Given {
    command: Command,
    log: LogFormat,
    /// Whether the command still has no setting for its servers.
    lacks_servers: bool,
}

/// Parses the command line. A command that needs servers, but has no setting for them, gets those of the dev mode that
/// runs here. `verbatim` without a command is `verbatim dev` with its settings from the environment.
fn read(data_dir: &Path) -> Given {
    let given: Vec<OsString> = env::args_os().collect();
    let command = brief(Cli::command());
    let matches = command.clone().get_matches_from(&given);
    let Completed { arguments, lacks_servers } = running::completed(given, &command, &matches, data_dir);
    let arguments = match matches.subcommand_name() {
        Some(_) => arguments,
        None => vec!["verbatim".into(), "dev".into()],
    };
    let matches = Cli::command().get_matches_from(arguments);
    let log = log_format(&matches).unwrap_or(LogFormat::Text);
    match Cli::from_arg_matches(&matches) {
        Ok(Cli { command: Some(command) }) => Given { command, log, lacks_servers },
        Ok(Cli { command: None }) => unreachable!("dev is a command"),
        Err(error) => error.format(&mut Cli::command()).exit(),
    }
}

/// The format of log lines, if the command has this setting.
fn log_format(matches: &ArgMatches) -> Option<LogFormat> {
    let own = matches.try_get_one("log").ok().flatten().copied();
    own.or_else(|| log_format(matches.subcommand()?.1))
}

fn fail(why: &str) -> ExitCode {
    eprintln!("verbatim: {why}");
    ExitCode::FAILURE
}

async fn run(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Dev(what) => dev::develop(what).await?,
        Command::Serve(what) => serve::serve(what).await?,
        Command::Migrate(what) => migrate::migrate(what).await?,
        Command::Check(what) => return Ok(check::check(what).await?),
        Command::Status(serve) => return Ok(status::status(serve).await?),
        Command::Archive(servers) => archive::archive(servers).await?,
        Command::Eraser(servers) => erasures::eraser(servers).await?,
        Command::Erasures(what) => return erasures::erasures(what).await,
        Command::Holds(what) => holds::holds(what).await?,
        Command::Backup(what) => return backup::backup(what).await,
        Command::Restore(what) => restore::restore(what).await?,
        Command::Log(what) => log::log(what).await?,
        Command::Invites(what) => people::invites(what).await?,
        Command::Users(what) => people::users(what).await?,
        Command::Audit(what) => audit::audit(what).await?,
        Command::Logins(what) => logins::logins(what).await?,
        Command::Services(what) => programs::programs(what).await?,
        Command::SigningKey(what) => signing_key::signing_key(what).await?,
        Command::Webhooks(what) => webhooks::webhooks(what).await?,
        Command::Rebuild(what) => return rebuild::rebuild(what).await,
        Command::Verify(servers) => return rebuild::verify(servers).await,
        Command::Consumers(what) => consumers::consumers(what).await?,
        Command::Nats(what) => nats::nats(what)?,
        Command::Openapi => print!("{}", api::document()),
        Command::Asyncapi => print!("{}", asyncapi::text()),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_with_the_setting_starts_with_its_format() {
        let format = |arguments: &[&str]| {
            let arguments = ["verbatim"].iter().chain(arguments);
            log_format(&Cli::command().try_get_matches_from(arguments).expect("a command line"))
        };
        // The setting belongs to a command, to its part, or to a command with parts.
        for arguments in [
            &["dev", "--log", "json"][..],
            &["log", "recreate", "--log", "json"],
            &["services", "--log", "json", "list"],
        ] {
            assert_eq!(format(arguments), Some(LogFormat::Json), "{arguments:?}");
        }
        assert_eq!(format(&["verify", "--log", "text"]), Some(LogFormat::Text));
        assert_eq!(format(&["openapi"]), None);
    }
}
