//! A node inside the story's own process, which provides its clock and its tasks.

use clap::Parser as _;
use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use verbatim::{
    app::{self, Addresses, AppError, Listening, Mode, Process, Weakness},
    clock::Clock,
    config::{NodeRole, Settings},
    log::NatsServers,
    projector::Consent,
    supervise::Supervisor,
};

use super::{Backbone, World};

pub struct Inside {
    pub at: Listening,
    pub tasks: Supervisor,
    pub stop: CancellationToken,
    pub ended: JoinHandle<Result<(), AppError>>,
}

/// The settings of a node, parsed like its command line.
#[derive(clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    settings: Settings,
}

impl Inside {
    pub async fn start<B: Backbone>(world: &World<B>, clock: Clock) -> Self {
        Self::start_with(world, world.nats.url().into(), clock, &[]).await
    }

    /// The same, with a separate login and additional arguments.
    pub async fn start_with<B: Backbone>(
        world: &World<B>,
        nats: NatsServers,
        clock: Clock,
        arguments: &[&str],
    ) -> Self {
        let addresses = Addresses { nats, database: world.database.url.clone() };
        let line = [
            "node".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--admin-listen=127.0.0.1:0".to_owned(),
            "--argon2-memory=64".to_owned(),
            format!("--streams={}", world.streams),
            format!("--replicas={}", world.nats.replicas()),
        ];
        let line = line.into_iter().chain(arguments.iter().map(ToString::to_string));
        let settings = CommandLine::parse_from(line).settings;
        let (tasks, stop) = (Supervisor::new(), CancellationToken::new());
        let process = Process { clock, tasks: tasks.clone(), stop: stop.clone(), drain: Default::default() };
        let (serving, is_serving) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let roles = [NodeRole::Api, NodeRole::Gateway, NodeRole::Projector];
            let ready = |listening| {
                let _ = serving.send(listening);
            };
            let mode = Mode { weakness: Weakness::Refused, rebuild: Consent::Withheld };
            app::serve(&settings, &addresses, &roles, mode, &process, ready).await
        });
        Self { at: is_serving.await.expect("the node serves"), tasks, stop, ended }
    }

    pub async fn readiness(&self) -> (u16, Value) {
        let answer = reqwest::get(format!("http://{}/readyz", self.at.admin)).await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// The metrics of the story's process.
    pub async fn metrics(&self) -> String {
        let answer = reqwest::get(format!("http://{}/metrics", self.at.admin)).await.expect("an answer");
        answer.text().await.expect("text")
    }

    pub async fn stops(self) {
        self.stop.cancel();
        self.ended.await.expect("no panic").expect("a stopped node ends well");
    }
}
