//! Runs the command line, up to the exit status.

use std::{env, ffi::OsString, path::Path, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};

use crate::{
    api,
    app::AppError,
    cli::{
        archive, audit, backup,
        brief::brief,
        check::{self, Check},
        command::{Cli, Command},
        consumers,
        dev::{self, Dev},
        erasures,
        failed::Failed,
        holds, log, logins, migrate, misspelt, nats, people, programs, rebuild, restore,
        running::{self, Completed},
        serve::{self, Serve},
        servers::Servers,
        signing_key, status, webhooks,
    },
    contract::asyncapi,
    telemetry,
};

/// Runs the command line and returns the exit status: 0 for success, 1 for a refusal, 2 for arguments that clap
/// cannot read.
pub fn main() -> ExitCode {
    let data_dir = env::var_os("VERBATIM_DATA_DIR").unwrap_or_else(|| ".verbatim".into());
    let (cli, lacks_servers) = read(Path::new(&data_dir));
    let command = cli.command.unwrap_or_else(default_command);
    if let Some(why) = misspelt::refusal(&Cli::command(), env::vars_os().map(|(name, _)| name)) {
        return fail(&why);
    }
    match &command {
        Command::Dev(Dev { settings, .. })
        | Command::Serve(Serve { settings, .. })
        | Command::Check(Check { serve: Serve { settings, .. }, .. })
        | Command::Status(Serve { settings, .. })
        | Command::Archive(Servers { settings, .. })
        | Command::Eraser(Servers { settings, .. })
        | Command::Verify(Servers { settings, .. }) => telemetry::start(settings.log),
        Command::Rebuild(rebuild) => telemetry::start(rebuild.settings().log),
        Command::Erasures(erasures) => telemetry::start(erasures.servers().settings.log),
        Command::Holds(holds) => telemetry::start(holds.servers().settings.log),
        Command::Backup(backup) => telemetry::start(backup.servers().settings.log),
        Command::Restore(restore) => telemetry::start(restore.servers.settings.log),
        Command::Log(log) => telemetry::start(log.servers().settings.log),
        Command::Invites(invites) => telemetry::start(invites.servers().settings.log),
        Command::Users(users) => telemetry::start(users.servers().settings.log),
        Command::Audit(audit) => telemetry::start(audit.servers().settings.log),
        Command::Logins(logins) => telemetry::start(logins.servers().settings.log),
        Command::SigningKey(keys) => telemetry::start(keys.servers().settings.log),
        Command::Services(programs) => telemetry::start(programs.servers().settings.log),
        Command::Consumers(consumers) => telemetry::start(consumers.servers().settings.log),
        Command::Webhooks(webhooks) => telemetry::start(webhooks.servers().settings.log),
        Command::Migrate(_) | Command::Nats(_) | Command::Openapi | Command::Asyncapi => {
            telemetry::start(telemetry::LogFormat::Text);
        }
    }
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

/// Parses the command line. A command that needs servers, but has no setting for them, gets those of the dev mode that
/// runs here.
///
/// Also returns whether the command still has no setting for its servers.
fn read(data_dir: &Path) -> (Cli, bool) {
    let given: Vec<OsString> = env::args_os().collect();
    let command = brief(Cli::command());
    let matches = command.clone().get_matches_from(&given);
    let Completed { arguments, lacks_servers } = running::completed(given, &command, &matches, data_dir);
    (Cli::parse_from(arguments), lacks_servers)
}

/// `verbatim` without a command is `verbatim dev` with its settings from the environment.
fn default_command() -> Command {
    match Cli::parse_from(["verbatim", "dev"]).command {
        Some(command) => command,
        None => unreachable!("dev is a command"),
    }
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
