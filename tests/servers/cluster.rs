//! Private nats-servers in a cluster, with the same configuration as real ones: `deploy/cluster.conf`.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectError, ConnectOptions, jetstream};
use futures_util::{
    StreamExt as _,
    future::{join_all, try_join_all},
};
use serde::Deserialize;
use verbatim::dev::{DevError, NatsUser, Tools, free_port};

use super::nats::{Member, Nats, NatsOptions, route, start};

/// How long the servers may take to form a cluster and to catch up.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);
/// The interval at which the health of the servers is polled. An answer may take five times as long.
const ASK: Duration = Duration::from_millis(100);

/// Running nats-servers that share one JetStream. They are stopped when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Nats>,
    url: String,
    /// The routes between the servers, and the password of the routes.
    routes: (Vec<String>, String),
    /// The passwords of the users.
    passwords: Vec<(&'static str, String)>,
}

/// The report of a server about its own health.
#[derive(Deserialize)]
struct Answer {
    data: Option<Health>,
}

#[derive(Deserialize)]
struct Health {
    status: String,
}

/// Starts `n` nats-servers on the data in `dir`, or on new data. Returns once they form one cluster in which JetStream
/// works, which takes at most 90 s. Only one process at a time may use `dir`, as with [`verbatim::dev::start_nats`].
pub async fn start_cluster(
    tools: &Tools,
    dir: &Path,
    n: usize,
    options: NatsOptions,
) -> Result<Cluster, DevError> {
    let passwords: Vec<_> = NatsUser::ALL.iter().map(|user| (user.variable(), new_password())).collect();
    let ports: Vec<u16> = (0..n).map(|_| free_port()).collect();
    let secret = new_password();
    let routes: Vec<String> = ports.iter().map(|port| route(*port, &secret)).collect();
    let begins = async |(index, port): (usize, &u16)| {
        let member = Member {
            name: name(index),
            port: *port,
            routes: routes.clone(),
            password: secret.clone(),
            passwords: passwords.clone(),
        };
        start(tools, &home(dir, index), options, Some(member)).await
    };
    let mut ports = ports.iter().enumerate();
    let mut servers = Vec::new();
    if options.operator_mode {
        // The first server creates the accounts, as `verbatim nats init` does. The others get copies.
        for place in ports.by_ref().take(1) {
            servers.push(begins(place).await?);
        }
        for index in 1..n {
            copy_accounts(&home(dir, 0), &home(dir, index)).expect("the files of the accounts");
        }
    }
    servers.extend(try_join_all(ports.map(begins)).await?);
    let url = servers.iter().map(Nats::url).collect::<Vec<_>>().join(",");
    let cluster = Cluster { servers, url, routes: (routes, secret), passwords };
    cluster.settled().await.expect("the servers find one another");
    Ok(cluster)
}

fn home(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("node-{index}"))
}

/// Copies the keys, the `.creds` files and the accounts that nats-server includes.
pub(super) fn copy_accounts(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let ends = path.extension().and_then(|ends| ends.to_str());
        if let Some(name) = path.file_name()
            && (name == "accounts.conf" || ends.is_some_and(|ends| ["nk", "key", "creds"].contains(&ends)))
        {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// A password that no other cluster has. So servers that reach each other through a reused port do not form a cluster.
fn new_password() -> String {
    format!("v{:016x}", RandomState::new().hash_one(()))
}

fn name(index: usize) -> String {
    format!("verbatim-{index}")
}

impl Cluster {
    /// The URLs of all servers, with the user and the password of Verbatim.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same for another user.
    pub fn url_of(&self, user: NatsUser) -> String {
        self.servers.iter().map(|server| server.url_of(user)).collect::<Vec<_>>().join(",")
    }

    /// The servers of the log, with the credentials of `user`.
    pub fn servers_of(&self, user: NatsUser) -> verbatim::log::NatsServers {
        self.servers[0].logged_in(self.url_of(user).into(), user)
    }

    /// The settings with which a process of Verbatim logs in, besides the URLs for nodes.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        self.servers[0].settings(self.url_of(NatsUser::Operator))
    }

    /// The folder with the keys and `.creds` files of the accounts, which all servers have.
    pub fn folder(&self) -> &Path {
        self.servers[0].folder()
    }

    /// The process ids of the servers.
    pub fn pids(&self) -> Vec<u32> {
        self.servers.iter().map(Nats::pid).collect()
    }

    /// One of the servers.
    pub fn nats(&mut self, index: usize) -> &mut Nats {
        &mut self.servers[index]
    }

    /// Cuts one server off from the others, which continue without it. It keeps running, and its clients only notice
    /// that they get no answers. To do this, the other servers are restarted with another password for their routes.
    pub async fn cut_off(&mut self, index: usize) -> Result<(), DevError> {
        let password = new_password();
        let routes: Vec<String> = self.servers.iter().map(|server| server.route(&password)).collect();
        for (other, server) in self.servers.iter_mut().enumerate() {
            if other != index {
                server.join(&routes, &password).await?;
            }
        }
        self.routes = (routes, password);
        Ok(())
    }

    /// Reconnects a server that was cut off.
    pub async fn bring_back(&mut self, index: usize) -> Result<(), DevError> {
        let (routes, password) = &self.routes;
        self.servers[index].join(routes, password).await
    }

    /// The number of servers.
    pub fn size(&self) -> usize {
        self.servers.len()
    }

    /// Connects as `user`, with the inbox of that user, to any server that answers.
    pub async fn connect(&self, user: NatsUser) -> Result<Client, ConnectError> {
        let password = self.passwords.iter().find(|(name, _)| *name == user.variable());
        let password = password.map_or("", |(_, password)| password);
        let addresses: Vec<String> = self.servers.iter().map(Nats::address).collect();
        let options = match self.servers[0].credentials(user) {
            Some(creds) => ConnectOptions::with_credentials(&creds).expect("credentials"),
            None => ConnectOptions::with_user_and_password(user.name().into(), password.into()),
        };
        options
            .custom_inbox_prefix(format!("_INBOX_{}", user.name()))
            .connection_timeout(Duration::from_secs(1))
            .connect(addresses)
            .await
    }

    /// The server that leads a stream; `None` if there is no leader or it is unknown.
    pub async fn leader_of(&self, stream: &str) -> Option<usize> {
        self.copies_of(stream).await.map(|copies| copies[0])
    }

    /// The servers that have a copy of a stream, the leader first; `None` if there is no leader or it is unknown.
    pub async fn copies_of(&self, stream: &str) -> Option<Vec<usize>> {
        let jetstream = jetstream::new(self.connect(NatsUser::Operator).await.ok()?);
        let stream = jetstream.get_stream(stream).await.ok()?;
        let cluster = stream.cached_info().cluster.as_ref()?;
        let index = |of: &str| (0..self.size()).find(|index| name(*index) == of);
        let copies = cluster.replicas.iter().map(|replica| &replica.name);
        std::iter::once(cluster.leader.as_ref()?).chain(copies).map(|of| index(of)).collect()
    }

    /// Waits at most 60 s until every server reports that it is healthy: it sees the other servers, and all its streams
    /// are present and complete.
    pub async fn settled(&self) -> Result<(), String> {
        let deadline = Instant::now() + SETTLE_DEADLINE;
        let mut healthy = 0;
        while Instant::now() < deadline {
            healthy = self.healthy().await.unwrap_or_default();
            if healthy == self.size() {
                return Ok(());
            }
            tokio::time::sleep(ASK).await;
        }
        Err(format!("{healthy} of {} are well after {SETTLE_DEADLINE:?}", self.size()))
    }

    /// The number of servers that report that they are healthy.
    async fn healthy(&self) -> Option<usize> {
        let client = self.connect(NatsUser::System).await.ok()?;
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await.ok()?;
        client.publish_with_reply("$SYS.REQ.SERVER.PING.HEALTHZ", inbox, "".into()).await.ok()?;
        let mut answers = answers.take(self.size());
        let mut healthy = 0;
        while let Ok(Some(answer)) = tokio::time::timeout(ASK * 5, answers.next()).await {
            let answer: Option<Answer> = serde_json::from_slice(&answer.payload).ok();
            if answer.and_then(|answer| answer.data).is_some_and(|health| health.status == "ok") {
                healthy += 1;
            }
        }
        Some(healthy)
    }

    /// Stops all servers without blocking the thread.
    pub async fn stop(self) {
        join_all(self.servers.into_iter().map(Nats::stop)).await;
    }
}
