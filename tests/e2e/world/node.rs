//! A node: the program itself, as a separate process.

use std::{
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{Backbone, Database, Machine, PATIENCE, eventually};
use crate::{servers::signal, unlimited::UNLIMITED};
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

/// A node that was started and does not serve yet.
pub struct Beginning {
    child: Child,
    admin: SocketAddr,
    lines: Arc<Mutex<Vec<Value>>>,
    serving: oneshot::Receiver<SocketAddr>,
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

    /// The same, with a command that runs the program, possibly on another machine.
    pub async fn start_by(
        mut command: Command,
        nats: &impl Backbone,
        database: &Database,
        streams: usize,
        roles: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        command.args(["serve", "--roles", roles]);
        Beginning::start_by(command, nats, database, streams, settings).await.serves().await
    }
}

impl Beginning {
    /// Starts a node with a command that already has its arguments.
    pub async fn start_by(
        mut command: Command,
        nats: &impl Backbone,
        database: &Database,
        streams: usize,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut child = command
            .env("VERBATIM_NATS_URL", nats.url())
            // A node gets only the login of nodes.
            .envs(nats.settings().into_iter().filter(|(name, _)| *name == "VERBATIM_NATS_CREDENTIALS_FILE"))
            .env("VERBATIM_DATABASE_URL", &database.url)
            .env("VERBATIM_STREAMS", streams.to_string())
            .env("VERBATIM_REPLICAS", nats.replicas().to_string())
            .env("VERBATIM_LISTEN", "127.0.0.1:0")
            .env("VERBATIM_ADMIN_LISTEN", "127.0.0.1:0")
            .env("VERBATIM_LOG", "json")
            .env("VERBATIM_DRAIN_DELAY", "0")
            .env("VERBATIM_ARGON2_MEMORY", "64")
            .env("VERBATIM_ARGON2_PASSES", "1")
            // Several concurrent stories can overload a machine, which must not make a node refuse a story's requests.
            .env("VERBATIM_OVERLOAD_WAIT", "5000")
            .envs(UNLIMITED.iter().copied())
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let stderr = child.stderr.take().expect("piped");
        let lines = Arc::<Mutex<Vec<Value>>>::default();
        let ((answering, answers), (serves, serving)) = (oneshot::channel(), oneshot::channel());
        tokio::spawn(gather(stderr, lines.clone(), answering, serves));
        match timeout(PATIENCE, answers).await {
            Ok(Ok(admin)) => Self { child, admin, lines, serving },
            _ => panic!("the node does not answer: {:#?}", lines.lock().expect("lines")),
        }
    }

    /// Waits until it serves.
    pub async fn serves(self) -> Node {
        let Self { child, admin, lines, serving } = self;
        match timeout(PATIENCE, serving).await {
            Ok(Ok(address)) => Node { child, address, admin, lines },
            _ => panic!("the node does not serve: {:#?}", lines.lock().expect("lines")),
        }
    }

    /// The status and body of `/readyz`.
    pub async fn readiness(&self) -> (u16, Value) {
        readiness(self.admin).await
    }

    /// All of its current metrics, as text.
    pub async fn metrics(&self) -> String {
        metrics(self.admin).await
    }
}

async fn metrics(admin: SocketAddr) -> String {
    let answer = reqwest::get(format!("http://{admin}/metrics")).await.expect("an answer");
    answer.text().await.expect("text")
}

async fn readiness(admin: SocketAddr) -> (u16, Value) {
    // A probe would not wait longer.
    let asked = reqwest::Client::new().get(format!("http://{admin}/readyz"));
    let answer = asked.timeout(Duration::from_secs(1)).send().await.expect("an answer within a second");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

impl Node {
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The current value of a metric.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the metric");
        line.trim().parse().expect("a number")
    }

    /// All of its current metrics, as text.
    pub async fn metrics(&self) -> String {
        metrics(self.admin).await
    }

    /// Whether `/livez` answers with success.
    pub async fn lives(&self) -> bool {
        let asked = reqwest::get(format!("http://{}/livez", self.admin)).await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// The status and body of `/readyz`.
    pub async fn readiness(&self) -> (u16, Value) {
        readiness(self.admin).await
    }

    /// Waits until it is ready without any fault.
    pub async fn is_ready(&self) {
        eventually("the node is ready", || async { self.says("ready").await }).await;
    }

    /// Whether `/readyz` has this status, with the matching HTTP status.
    pub async fn says(&self, status: &str) -> bool {
        let (code, body) = self.readiness().await;
        assert_eq!(code == 503, body["status"] == "not_ready", "{body}");
        body["status"] == status
    }

    /// Waits until one of its parts reports a fault. Returns the status of the whole node.
    pub async fn tells(&self, part: &str, code: &str) -> String {
        eventually(&format!("{part} is {code}"), || async {
            self.readiness().await.1["parts"][part]["code"] == code
        })
        .await;
        self.readiness().await.1["status"].as_str().expect("a status").to_owned()
    }

    /// SIGKILL: the node cannot shut down in order.
    pub async fn kill9(&mut self) {
        self.child.kill().await.expect("kill");
    }

    /// Sends SIGTERM, and waits for the end.
    pub async fn stop(&mut self) {
        let Some(pid) = self.child.id() else { return };
        signal(pid, "TERM").await;
        let ended = timeout(Duration::from_secs(30), self.child.wait()).await.expect("it stops in 30 s");
        assert!(ended.expect("wait").success(), "a stopped node ends well");
    }

    /// Waits until it has ended by itself, and returns its exit status.
    pub async fn ends(&mut self) -> Option<i32> {
        let ended = timeout(PATIENCE, self.child.wait()).await.expect("it ends in time");
        ended.expect("wait").code()
    }

    /// The errors that it logged.
    pub fn errors(&self) -> Vec<Value> {
        self.logged("ERROR")
    }

    /// Clears the lines that it has logged so far.
    pub fn forget_lines(&self) {
        self.lines.lock().expect("lines").clear();
    }

    /// The warnings that it logged.
    pub fn warnings(&self) -> Vec<Value> {
        self.logged("WARN")
    }

    /// The lines that contain a text.
    pub fn lines_with(&self, text: &str) -> Vec<Value> {
        let lines = self.lines.lock().expect("lines");
        lines.iter().filter(|line| line.to_string().contains(text)).cloned().collect()
    }

    fn logged(&self, level: &str) -> Vec<Value> {
        let lines = self.lines.lock().expect("lines");
        lines.iter().filter(|line| line["level"] == level).cloned().collect()
    }
}

/// When a story fails, prints the warnings and errors of its nodes, because they often show the cause.
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

/// Collects the log lines, and sends the addresses as soon as they are logged.
async fn gather(
    stderr: impl tokio::io::AsyncRead + Unpin,
    lines: Arc<Mutex<Vec<Value>>>,
    answers: oneshot::Sender<SocketAddr>,
    serves: oneshot::Sender<SocketAddr>,
) {
    let (mut answers, mut serves) = (Some(answers), Some(serves));
    let tell = |line: &Value, name: &str, to: &mut Option<oneshot::Sender<SocketAddr>>| {
        if let Some(address) = line[name].as_str().and_then(|address| address.parse().ok())
            && let Some(to) = to.take()
        {
            let _ = to.send(address);
        }
    };
    let mut read = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = read.next_line().await {
        let line: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| serde_json::json!({ "level": "ERROR", "message": line }));
        match line["message"].as_str() {
            Some("answering operators") => tell(&line, "admin", &mut answers),
            Some("serving") => tell(&line, "listen", &mut serves),
            _ => {}
        }
        lines.lock().expect("lines").push(line);
    }
}
