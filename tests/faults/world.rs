//! The servers of a run: the backbone, Postgres, two gateways behind proxies, and a projector. All of them are separate
//! processes that can be killed, stopped and restarted.

use std::{net::SocketAddr, path::Path, process::Stdio, sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::{Mutex, oneshot},
    time::timeout,
};
use verbatim::{
    app::{self, Addresses},
    dev::{self, NatsUser},
    log::Wanted,
};

use crate::{
    history::History,
    proxy::Proxy,
    servers::{
        Cluster, Nats, NatsOptions, Postgres, PostgresOptions, signal, start_cluster, start_nats,
        start_postgres,
    },
    unlimited::UNLIMITED,
};

/// The time limit for a node to serve.
const START: Duration = Duration::from_secs(30);
/// The number of streams of the log.
pub const STREAMS: usize = 4;
/// The interval between heartbeats, in seconds. It is short, so that cursors are fresh.
const HEARTBEAT: &str = "1";

/// The nats-servers of a run.
pub enum Backbone {
    One(Box<Nats>),
    Many(Cluster),
}

impl Backbone {
    async fn start(dir: &Path, servers: usize) -> Self {
        let tools = dev::tools().expect("nats-server and Postgres are found or fetched");
        let dir = dir.join("nats");
        match servers {
            1 => {
                let nats = start_nats(&tools, &dir, NatsOptions::default()).await;
                Self::One(Box::new(nats.expect("nats-server starts")))
            }
            _ => {
                // Otherwise nodes would learn addresses that bypass the proxies.
                let options = NatsOptions { no_advertise: true, ..NatsOptions::default() };
                Self::Many(start_cluster(&tools, &dir, servers, options).await.expect("a cluster starts"))
            }
        }
    }

    /// The URL for nodes.
    pub fn url(&self) -> &str {
        match self {
            Self::One(nats) => nats.url(),
            Self::Many(cluster) => cluster.url(),
        }
    }

    /// The URL with another user.
    fn url_of(&self, user: NatsUser) -> String {
        match self {
            Self::One(nats) => nats.url_of(user),
            Self::Many(cluster) => cluster.url_of(user),
        }
    }

    pub fn size(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(cluster) => cluster.size(),
        }
    }

    pub fn server(&mut self, index: usize) -> &mut Nats {
        match self {
            Self::One(nats) => nats,
            Self::Many(cluster) => cluster.nats(index),
        }
    }

    pub async fn connect(&self) -> Option<async_nats::Client> {
        match self {
            Self::One(nats) => nats.connect(NatsUser::Verbatim).await.ok(),
            Self::Many(cluster) => cluster.connect(NatsUser::Verbatim).await.ok(),
        }
    }

    /// The leader of each stream; `None` for a stream without one.
    pub async fn leaders(&self) -> Vec<Option<usize>> {
        match self {
            Self::One(_) => vec![Some(0); STREAMS],
            Self::Many(cluster) => {
                let streams: Vec<String> = (0..STREAMS).map(|index| format!("CHAT_{index}")).collect();
                join_all(streams.iter().map(|stream| cluster.leader_of(stream))).await
            }
        }
    }

    /// Waits until all servers are up and all replicas are current.
    pub async fn settles(&self) {
        if let Self::Many(cluster) = self {
            cluster.settled().await.expect("the cluster is whole again");
        }
    }

    async fn stop(self) {
        match self {
            Self::One(nats) => nats.stop().await,
            Self::Many(cluster) => cluster.stop().await,
        }
    }
}

/// Creates the log, as `verbatim migrate` does.
pub async fn make_log(nats: String, database: &str, replicas: usize) {
    let addresses = Addresses { nats: nats.into(), database: database.to_owned() };
    let wanted = Wanted { streams: Some(STREAMS), replicas: Some(replicas) };
    app::make_log(&addresses, wanted, STREAMS).await.expect("the log is made");
}

/// The parameters of a node.
#[derive(Clone)]
pub struct Plan {
    pub roles: &'static str,
    pub nats: String,
    /// The same URL with the user of the eraser, for a node with that role.
    pub eraser: Option<String>,
    pub database: String,
    pub replicas: usize,
}

/// The program itself, as a separate process.
pub struct Node {
    plan: Plan,
    child: Child,
    pub address: SocketAddr,
    errors: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Node {
    pub async fn start(plan: Plan) -> Self {
        let errors = Arc::default();
        let (child, address) = launch(&plan, &errors).await;
        Self { plan, child, address, errors }
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub async fn kill9(&mut self) {
        self.child.kill().await.expect("kill");
    }

    /// Sends SIGTERM, and waits for the end.
    pub async fn stop(&mut self) -> bool {
        let Some(pid) = self.pid() else { return true };
        signal(pid, "TERM").await;
        match timeout(START, self.child.wait()).await {
            Ok(ended) => ended.is_ok_and(|status| status.success()),
            Err(_) => false,
        }
    }

    pub async fn start_again(&mut self) {
        (self.child, self.address) = launch(&self.plan, &self.errors).await;
    }

    /// The errors that it logged.
    pub fn errors(&self) -> Vec<String> {
        self.errors.lock().expect("errors").clone()
    }
}

/// The program, without the settings of this process.
pub fn program() -> Command {
    let built = || env!("CARGO_BIN_EXE_verbatim").into();
    let mut command = Command::new(std::env::var_os("VERBATIM_FAULTS_PROGRAM").unwrap_or_else(built));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VERBATIM_")) {
        command.env_remove(name);
    }
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

async fn launch(plan: &Plan, errors: &Arc<std::sync::Mutex<Vec<String>>>) -> (Child, SocketAddr) {
    let mut child = program()
        .args(["serve", "--roles", plan.roles])
        .env("VERBATIM_NATS_URL", &plan.nats)
        .envs(plan.eraser.iter().map(|url| ("VERBATIM_NATS_ERASER_URL", url)))
        .env("VERBATIM_DATABASE_URL", &plan.database)
        .env("VERBATIM_STREAMS", STREAMS.to_string())
        .env("VERBATIM_REPLICAS", plan.replicas.to_string())
        .env("VERBATIM_HEARTBEAT", HEARTBEAT)
        .env("VERBATIM_PRESENCE_GRACE", "2")
        .env("VERBATIM_LISTEN", "127.0.0.1:0")
        .env("VERBATIM_ADMIN_LISTEN", "127.0.0.1:0")
        .env("VERBATIM_LOG", "json")
        .env("VERBATIM_DRAIN_DELAY", "0")
        .env("VERBATIM_ARGON2_MEMORY", "64")
        .env("VERBATIM_ARGON2_PASSES", "1")
        .envs(UNLIMITED.iter().copied())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let (serving, is_serving) = oneshot::channel();
    let errors = errors.clone();
    tokio::spawn(async move {
        let mut serving = Some(serving);
        while let Ok(Some(line)) = lines.next_line().await {
            let parsed: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
            if parsed["message"] == "serving"
                && let Some(address) = parsed["listen"].as_str().and_then(|listen| listen.parse().ok())
                && let Some(serving) = serving.take()
            {
                let _ = serving.send(address);
            }
            // A line that is not JSON is a panic. Libraries log lost connections as errors.
            let is_ours = parsed["target"].as_str().is_some_and(|target| target.starts_with("verbatim"));
            if parsed.is_null() || parsed["level"] == "ERROR" && is_ours {
                errors.lock().expect("errors").push(line);
            }
        }
    });
    match timeout(START, is_serving).await {
        Ok(Ok(address)) => (child, address),
        _ => panic!("the node does not serve"),
    }
}

/// Everything that a run needs besides its people.
pub struct World {
    pub backbone: Mutex<Backbone>,
    pub postgres: Mutex<Postgres>,
    pub gateways: Vec<Mutex<Node>>,
    /// One proxy in front of each gateway.
    pub doors: Vec<Proxy>,
    pub projector: Mutex<Node>,
    /// The links from each node to its servers: first those of the gateways, then that of the projector.
    pub ways: Vec<Way>,
    /// The URL at which tests read the database, without a proxy.
    pub database: String,
    pub nats_urls: String,
    pub replicas: usize,
    pub history: History,
    _dir: tempfile::TempDir,
}

impl World {
    pub async fn start(servers: usize) -> Self {
        let dir = folder();
        let tools = dev::tools().expect("nats-server and Postgres are found or fetched");
        // A crash of Postgres must lose nothing, so fsync stays on.
        let options = PostgresOptions::default();
        let (backbone, postgres) = tokio::join!(Backbone::start(dir.path(), servers), async {
            start_postgres(&tools, &dir.path().join("postgres"), options).await.expect("Postgres starts")
        });
        let database = postgres.url().to_owned();
        app::migrate(&database).await.expect("migrations");
        let (nats_urls, replicas) = (backbone.url().to_owned(), backbone.size());
        make_log(backbone.url_of(NatsUser::Operator), &database, replicas).await;
        let eraser = backbone.url_of(NatsUser::Eraser);
        let (mut ways, mut plans) = (Vec::new(), Vec::new());
        for roles in ["api,gateway", "api,gateway", "projector,eraser"] {
            let (way, nats, database) = Way::laid(&nats_urls, &database).await;
            let eraser = roles.contains("eraser").then(|| as_user_of(&eraser, &nats));
            ways.push(way);
            plans.push(Plan { roles, nats, eraser, database, replicas });
        }
        // The first node generates the signing key.
        let projector = Node::start(plans.pop().expect("three plans")).await;
        let mut world = Self {
            backbone: Mutex::new(backbone),
            postgres: Mutex::new(postgres),
            gateways: Vec::new(),
            doors: Vec::new(),
            projector: Mutex::new(projector),
            ways,
            database,
            nats_urls,
            replicas,
            history: History::begin(),
            _dir: dir,
        };
        for plan in plans {
            let gateway = Node::start(plan).await;
            world.doors.push(Proxy::to(gateway.address).await.expect("a proxy"));
            world.gateways.push(Mutex::new(gateway));
        }
        world
    }

    /// The links of the projector.
    pub fn way_of_projector(&self) -> &Way {
        &self.ways[self.gateways.len()]
    }

    /// The address at which clients reach a gateway.
    pub fn door(&self, node: usize) -> SocketAddr {
        self.doors[node].address
    }

    /// The sums of the positions of the log and of the views, over all streams.
    pub async fn log_and_views(&self) -> Option<(u64, u64)> {
        let reading = async {
            let mut connection = PgConnection::connect(&self.database).await.ok()?;
            let at: Option<i64> = sqlx::query_scalar(
                "select sum(least)::bigint from (select min(position) as least from view.checkpoint group by stream) s",
            )
            .fetch_one(&mut connection)
            .await
            .ok()?;
            let jetstream = async_nats::jetstream::new(self.backbone.lock().await.connect().await?);
            let mut last = 0;
            for index in 0..STREAMS {
                let stream = jetstream.get_stream(format!("CHAT_{index}")).await.ok()?;
                last += stream.cached_info().state.last_sequence;
            }
            Some((last, at.unwrap_or_default() as u64))
        };
        timeout(Duration::from_secs(5), reading).await.ok().flatten()
    }

    /// Stops all nodes in order. Returns the errors that they logged, or that they did not end.
    pub async fn stop(self) -> Vec<String> {
        let mut said = Vec::new();
        for node in self.gateways.into_iter().chain([self.projector]) {
            let mut node = node.into_inner();
            if !node.stop().await {
                said.push(format!("a node with {} did not end well", node.plan.roles));
            }
            said.extend(node.errors());
        }
        self.backbone.into_inner().stop().await;
        self.postgres.into_inner().stop().await;
        said
    }
}

/// The links between a node and its servers.
pub struct Way {
    /// One proxy for each nats-server.
    pub to_nats: Vec<Proxy>,
    pub to_postgres: Proxy,
}

impl Way {
    /// Creates the links, and returns the addresses of the servers through them.
    async fn laid(nats: &str, database: &str) -> (Self, String, String) {
        let (mut to_nats, mut urls) = (Vec::new(), Vec::new());
        for server in nats.split(',') {
            let (proxy, url) = behind_proxy(server).await;
            to_nats.push(proxy);
            urls.push(url);
        }
        let (to_postgres, database) = behind_proxy(database).await;
        (Self { to_nats, to_postgres }, urls.join(","), database)
    }

    /// Lets the machine of the node vanish without notice to its servers.
    pub fn loses_its_machine(&self) {
        self.to_nats.iter().chain([&self.to_postgres]).for_each(Proxy::loses_a_machine);
    }

    /// The number of connection ends at the servers that stay open although the machine is lost.
    pub fn left_alone(&self) -> u64 {
        let proxies = self.to_nats.iter().chain([&self.to_postgres]);
        proxies.map(|proxy| proxy.done(|done| &done.left_alone)).sum()
    }
}

/// The same addresses, with the user from other addresses.
fn as_user_of(others: &str, urls: &str) -> String {
    let (user, _) = others.split_once('@').expect("user and password");
    let host = |url: &str| url.split_once('@').expect("user and password").1.to_owned();
    urls.split(',').map(|url| format!("{user}@{}", host(url))).collect::<Vec<_>>().join(",")
}

/// A proxy to the host in a URL, and the same URL through the proxy.
async fn behind_proxy(url: &str) -> (Proxy, String) {
    let (before, rest) = url.split_once('@').expect("user and password");
    let (host, after) =
        rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    let proxy = Proxy::to(host.parse().expect("an address")).await.expect("a proxy");
    let url = format!("{before}@{}{after}", proxy.address);
    (proxy, url)
}

/// A folder that the servers' user can reach.
pub fn folder() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("verbatim-faults-").tempdir().expect("a temporary folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).expect("own folder");
    dir
}
