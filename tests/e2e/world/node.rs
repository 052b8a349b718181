//! A node: the program itself, as a process of its own.

use std::{
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{Backbone, Database, Machine, PATIENCE};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::oneshot,
    time::timeout,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_verbatim");

pub struct Node {
    child: Child,
    pub address: SocketAddr,
    admin: SocketAddr,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Node {
    pub async fn start(
        nats: &impl Backbone,
        database: &Database,
        streams: usize,
        roles: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        Self::start_by(command(), nats, database, streams, roles, settings).await
    }

    /// The same by a command that runs the program, wherever that is.
    pub async fn start_by(
        mut command: Command,
        nats: &impl Backbone,
        database: &Database,
        streams: usize,
        roles: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut child = command
            .args(["serve", "--roles", roles])
            .env("VERBATIM_NATS_URL", nats.url())
            .env("VERBATIM_DATABASE_URL", &database.url)
            .env("VERBATIM_STREAMS", streams.to_string())
            .env("VERBATIM_REPLICAS", nats.replicas().to_string())
            .env("VERBATIM_LISTEN", "127.0.0.1:0")
            .env("VERBATIM_ADMIN_LISTEN", "127.0.0.1:0")
            .env("VERBATIM_LOG", "json")
            .env("VERBATIM_ARGON2_MEMORY", "64")
            .env("VERBATIM_ARGON2_PASSES", "1")
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let stderr = child.stderr.take().expect("piped");
        let lines = Arc::<Mutex<Vec<Value>>>::default();
        let (serving, is_serving) = oneshot::channel();
        tokio::spawn(gather(stderr, lines.clone(), serving));
        let [address, admin] = match timeout(PATIENCE, is_serving).await {
            Ok(Ok(addresses)) => addresses,
            _ => panic!("the node does not serve: {:#?}", lines.lock().expect("lines")),
        };
        Self { child, address, admin, lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// One of its metrics now.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = reqwest::get(format!("http://{}/metrics", self.admin)).await.expect("an answer");
        let text = text.text().await.expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the metric");
        line.trim().parse().expect("a number")
    }

    /// What it says of itself when it is asked whether it is ready.
    pub async fn readiness(&self) -> (u16, Value) {
        let answer = reqwest::get(format!("http://{}/readyz", self.admin)).await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// SIGKILL: it has no chance to say goodbye.
    pub async fn kill9(&mut self) {
        self.child.kill().await.expect("kill");
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) {
        let Some(pid) = self.child.id() else { return };
        signal(pid, "TERM").await;
        let ended = timeout(Duration::from_secs(30), self.child.wait()).await.expect("it stops in 30 s");
        assert!(ended.expect("wait").success(), "a stopped node ends well");
    }

    /// What it logged as an error.
    pub fn errors(&self) -> Vec<Value> {
        let lines = self.lines.lock().expect("lines");
        lines.iter().filter(|line| line["level"] == "ERROR").cloned().collect()
    }
}

/// When a story fails, what its nodes complained of tells why.
impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.lines.lock().expect("lines");
            for line in lines.iter().filter(|line| line["level"] != "INFO") {
                eprintln!("{}: {line}", self.address);
            }
        }
    }
}

/// The program with a clean environment.
pub fn command() -> Command {
    clean(Command::new(PROGRAM))
}

/// The same on another machine.
pub fn command_on(machine: &Machine) -> Command {
    clean(machine.command(PROGRAM))
}

fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VERBATIM_")) {
        command.env_remove(name);
    }
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

pub async fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await;
    assert!(sent.expect("kill runs").success(), "kill -{name} {pid}");
}

/// Keeps the log lines, and tells the address as soon as it is logged.
async fn gather(
    stderr: impl tokio::io::AsyncRead + Unpin,
    lines: Arc<Mutex<Vec<Value>>>,
    serving: oneshot::Sender<[SocketAddr; 2]>,
) {
    let mut serving = Some(serving);
    let mut read = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = read.next_line().await {
        let line: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| serde_json::json!({ "level": "ERROR", "message": line }));
        if line["message"] == "serving"
            && let [Some(public), Some(admin)] =
                ["listen", "admin"].map(|name| line[name].as_str().and_then(|address| address.parse().ok()))
            && let Some(serving) = serving.take()
        {
            let _ = serving.send([public, admin]);
        }
        lines.lock().expect("lines").push(line);
    }
}
