//! The command line.

mod check;
mod log;
mod logins;
mod migrate;
mod rebuild;
mod status;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    api,
    app::{self, Addresses, AppError, Listening, Mode, Process, Weakness},
    clock::Clock,
    config::{Role, ServerSettings, Settings},
    contract::asyncapi,
    dev,
    projector::{self, Consent},
    supervise::Supervisor,
    telemetry,
};

/// How long `serve` still accepts connections after it was told to stop, unless something else is set.
const DRAIN: Duration = Duration::from_secs(5);

/// The chat backend that keeps every word, in order, once, and can prove it.
#[derive(Debug, Parser)]
#[command(name = "verbatim", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts private servers and serves everything (the default).
    Dev(Dev),
    /// Serves with real servers.
    Serve(Serve),
    /// Makes the tables and the log of a new installation, and upgrades them to this version.
    Migrate(migrate::Migrate),
    /// Checks the settings and the servers, and changes nothing; exit status 1 on a refusal.
    Check(Serve),
    /// Shows the streams of the log, the lag of the views, parked conversations, and the nodes; exit status 1 if
    /// the log has a hole or the views do not follow from the log.
    Status(Serve),
    /// Builds views anew from the log beside the live views, and then replaces the live views.
    Rebuild(rebuild::Rebuild),
    /// Compares the views with the log, row by row; exit status 1 on a difference.
    Verify(rebuild::Servers),
    /// Begins a new epoch of the log, or makes lost streams anew, after a disaster.
    Log(log::LogCommand),
    /// Ends logins of all users, after a restore of the accounts.
    Logins(logins::Logins),
    /// Prints the OpenAPI document.
    Openapi,
    /// Prints the AsyncAPI document.
    Asyncapi,
}

#[derive(Debug, Args)]
struct Dev {
    /// Folder for the data of the private servers.
    #[arg(long, env = "VERBATIM_DATA_DIR", default_value = ".verbatim", value_name = "FOLDER")]
    data_dir: PathBuf,

    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
struct Serve {
    /// Roles of this process, separated by commas.
    #[arg(
        long,
        env = "VERBATIM_ROLES",
        value_enum,
        value_delimiter = ',',
        default_value = "api,gateway,projector"
    )]
    roles: Vec<Role>,

    /// Rebuilds the views at the start if they belong to another log. Data that only the old views have is lost.
    #[arg(long)]
    rebuild: bool,

    #[command(flatten)]
    servers: ServerSettings,

    #[command(flatten)]
    settings: Settings,
}

/// Runs the command line and returns the exit status: 0 for success, 1 for a refusal, 2 for arguments that clap
/// cannot read.
pub fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or_else(default_command);
    match &command {
        Command::Dev(Dev { settings, .. })
        | Command::Serve(Serve { settings, .. })
        | Command::Check(Serve { settings, .. })
        | Command::Status(Serve { settings, .. })
        | Command::Verify(rebuild::Servers { settings, .. }) => telemetry::start(settings.log),
        Command::Rebuild(rebuild) => telemetry::start(rebuild.settings().log),
        Command::Log(log) => telemetry::start(log.servers().settings.log),
        Command::Logins(logins) => telemetry::start(logins.servers().settings.log),
        Command::Migrate(_) | Command::Openapi | Command::Asyncapi => {
            telemetry::start(telemetry::LogFormat::Text);
        }
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("cannot start: {e}")),
    };
    match runtime.block_on(run(command)) {
        Ok(code) => code,
        Err(e) => fail(&e.to_string()),
    }
}

/// `verbatim` alone is `verbatim dev`, its settings from the environment.
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

/// The reasons for which a command fails.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Dev(#[from] dev::DevError),
    #[error(transparent)]
    NotBuilt(#[from] projector::NotBuilt),
}

async fn run(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Dev(dev) => develop(dev).await?,
        Command::Serve(Serve { roles, rebuild, servers, settings }) => {
            let addresses = addresses(&servers)?;
            let ready = |Listening { public, admin }: Listening| {
                tracing::info!(listen = %public, %admin, "serving");
            };
            let rebuild = if rebuild { Consent::Given } else { Consent::Withheld };
            let mode = Mode { weakness: Weakness::Refused, rebuild };
            let process = process(until_told(), settings.drain_delay(DRAIN));
            app::serve(&settings, &addresses, &roles, mode, &process, ready).await?;
        }
        Command::Migrate(what) => migrate::migrate(what).await?,
        Command::Check(serve) => return Ok(check::check(serve).await?),
        Command::Status(serve) => return Ok(status::status(serve).await?),
        Command::Log(what) => log::log(what).await?,
        Command::Logins(what) => logins::logins(what).await?,
        Command::Rebuild(what) => return rebuild::rebuild(what).await,
        Command::Verify(servers) => return rebuild::verify(servers).await,
        Command::Openapi => print!("{}", api::document()),
        Command::Asyncapi => print!("{}", asyncapi::text()),
    }
    Ok(ExitCode::SUCCESS)
}

/// A process on this machine.
fn process(stop: CancellationToken, drain: Duration) -> Process {
    Process { clock: Clock::system(), tasks: Supervisor::new(), stop, drain }
}

/// The addresses of the servers, with the NATS user that may make and change streams if one is set.
fn operators_addresses(servers: &ServerSettings) -> Result<Addresses, AppError> {
    Ok(Addresses { nats: servers.operators_nats_url()?, database: servers.database_url()? })
}

/// The addresses of the servers in the settings.
fn addresses(servers: &ServerSettings) -> Result<Addresses, AppError> {
    Ok(Addresses { nats: servers.nats_url()?, database: servers.database_url()? })
}

/// A token that Ctrl-C or SIGTERM cancels.
fn until_told() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            tracing::error!("could not listen for signals: only SIGKILL ends this process");
            return;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        told.cancel();
    });
    stop
}

async fn develop(Dev { data_dir, settings }: Dev) -> Result<(), Failed> {
    let stop = until_told();
    let tools = tokio::task::spawn_blocking(dev::tools)
        .await
        .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
    let servers = dev::Servers::start(&tools, &data_dir).await?;
    let addresses =
        Addresses { nats: servers.nats.url().to_owned(), database: servers.postgres.url().to_owned() };
    let operators = Addresses { nats: servers.nats.url_of(dev::NatsUser::Operator), ..addresses.clone() };
    let roles = [Role::Api, Role::Gateway, Role::Projector];
    let served = async {
        app::migrate(&addresses.database).await?;
        app::make_log(&operators, settings.layout(), 1).await?;
        let ready = |listening| println!("{}", welcome(listening, &data_dir));
        let mode = Mode { weakness: Weakness::Warned, rebuild: Consent::Withheld };
        let process = process(stop, settings.drain_delay(Duration::ZERO));
        app::serve(&settings, &addresses, &roles, mode, &process, ready).await
    }
    .await;
    servers.stop().await;
    Ok(served?)
}

/// What to do next, ready to paste.
fn welcome(Listening { public: listen, admin }: Listening, data_dir: &Path) -> String {
    let data = data_dir.display();
    format!(
        r#"
Verbatim is ready. Ctrl-C stops it; {data} keeps the data.

  REST, try it out   http://{listen}/docs/
  OpenAPI            http://{listen}/openapi.json
  WebSocket          ws://{listen}/v1/ws          (subprotocol verbatim.v1)
  Health, metrics    http://{admin}/readyz  http://{admin}/metrics
  NATS, Postgres     their addresses and passwords are in {data}/dev.env

A first conversation, to paste into another terminal:

  api=http://{listen}/v1
  say() {{ curl -sS -H 'Content-Type: application/json' "$@"; echo; }}
  field() {{ python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }}
  say $api/accounts -d '{{"username":"ana","password":"correct horse battery"}}'
  ben=$(say $api/accounts -d '{{"username":"ben","password":"correct horse battery"}}' | field id)
  token=$(say $api/logins -d '{{"username":"ana","password":"correct horse battery"}}' | field access_token)
  as_ana="Authorization: Bearer $token"
  lunch=$(say $api/conversations -H "$as_ana" -d '{{"kind":"group","title":"Lunch","members":["'$ben'"]}}' | field id)
  position=$(say $api/conversations/$lunch/messages -H "$as_ana" -d '{{"client_id":"first-message","text":"Pizza?"}}' | field position)
  say "$api/conversations/$lunch/messages?min_position=$position" -H "$as_ana"
"#
    )
}
