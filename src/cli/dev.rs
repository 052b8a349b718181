//! `verbatim dev`: starts private servers, and serves everything with them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use crate::{
    app::{self, Addresses, Listening, Mode, Weakness},
    archive,
    cli::{
        failed::Failed,
        process::{process, until_told},
    },
    config::{NodeRole, Settings},
    dev, log,
    projector::Consent,
};

#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Folder for the data of the private servers.
    #[arg(long, env = "VERBATIM_DATA_DIR", default_value = ".verbatim", value_name = "FOLDER")]
    data_dir: PathBuf,

    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn develop(Dev { data_dir, mut settings }: Dev) -> Result<(), Failed> {
    let stop = until_told();
    let folder = data_dir.clone();
    let tools = tokio::task::spawn_blocking(move || dev::tools_in(&folder))
        .await
        .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
    let servers = dev::Servers::start(&tools, &data_dir).await?;
    let operators = addresses(&servers, dev::NatsUser::Operator)?;
    let system = addresses(&servers, dev::NatsUser::System)?.nats;
    let erasers = addresses(&servers, dev::NatsUser::Eraser)?;
    let addresses = addresses(&servers, dev::NatsUser::Verbatim)?;
    let roles = [
        NodeRole::Api,
        NodeRole::Gateway,
        NodeRole::Projector,
        NodeRole::Webhooks,
        NodeRole::Archiver,
        NodeRole::Eraser,
    ];
    settings.default_master_key(servers.master_key()?);
    settings.default_archive(archive::ArchivePlace::Folder(servers.archive()));
    settings.default_chat_page();
    let (scoped, operator) = servers.nats.keys()?.unwrap_or_default();
    settings.default_consumers_key(scoped);
    let keys = app::ConsumerKeys::of_dev(&settings, &operator, system).map_err(Failed::App)?;
    let served = async {
        app::migrate(&addresses.database).await?;
        app::make_log(&operators, settings.layout(), 1).await?;
        let key = app::key_of_dev(&addresses.database, servers.key()?).await?;
        servers.keep(&key, &settings.given_for_webhooks())?;
        let ready = |listening| println!("{}", welcome(listening, settings.has_chat_page(), &data_dir));
        let mode = Mode { weakness: Weakness::Warned, rebuild: Consent::Withheld };
        let process = process(stop, settings.drain_delay(Duration::ZERO));
        tokio::select! {
            served = app::serve(&settings, &addresses, &roles, mode, &process, ready) => served?,
            never = app::erase_patiently(&settings, &erasers) => match never {},
            swept = app::sweep_always(&addresses.database, keys) => swept?,
        }
        Ok::<_, Failed>(())
    }
    .await;
    servers.stop().await;
    served
}

/// The addresses of both servers, with the login of a NATS user.
fn addresses(servers: &dev::Servers, user: dev::NatsUser) -> Result<Addresses, Failed> {
    let nats = match servers.nats.credentials(user)? {
        Some(creds) => log::NatsServers::from(servers.nats.url()).with_credentials(&creds),
        None => servers.nats.url_of(user).into(),
    };
    Ok(Addresses { nats, database: servers.postgres.url().to_owned() })
}

/// The text that is printed at the start: all addresses, and commands to paste for a first conversation.
fn welcome(listening: Listening, has_chat_page: bool, data_dir: &Path) -> String {
    let Listening { public: listen, is_secured, admin } = listening;
    let s = if is_secured { "s" } else { "" };
    let data = data_dir.display();
    let chat = match has_chat_page {
        true => {
            format!("  Chat, in a browser http{s}://{listen}/chat/   (open two windows to be two users)\n")
        }
        false => String::new(),
    };
    format!(
        r#"
Verbatim is ready. Press Ctrl-C to stop it. The data stays in {data}.

{chat}  REST, interactive  http{s}://{listen}/docs/
  OpenAPI            http{s}://{listen}/openapi.json
  WebSocket          ws{s}://{listen}/v1/ws          (subprotocol verbatim.v1)
  Health, metrics    http://{admin}/ops/  http://{admin}/readyz  http://{admin}/metrics
  NATS, Postgres     addresses and credentials are in {data}/dev.env
  Admin API          the key of a service account with all scopes is there too (VERBATIM_KEY)

For a first conversation, paste this into another terminal:

  api=http{s}://{listen}/v1
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_addresses_say_whether_they_are_secured() {
        let address = "127.0.0.1:1".parse().expect("an address");
        let text = |is_secured| {
            let listening = Listening { public: address, is_secured, admin: address };
            welcome(listening, true, Path::new("."))
        };
        let count = |text: &str, scheme: &str| text.matches(&format!("{scheme}://127.0.0.1:1")).count();
        assert_eq!(["http", "https", "ws", "wss"].map(|scheme| count(&text(false), scheme)), [7, 0, 1, 0]);
        assert_eq!(["http", "https", "ws", "wss"].map(|scheme| count(&text(true), scheme)), [3, 4, 0, 1]);
    }
}
