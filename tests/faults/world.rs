//! The servers of a run: the backbone, Postgres, two gateways behind proxies, a projector. All of
//! them are processes of their own and can be killed, stopped and started again.

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
        Cluster, Nats, NatsOptions, Postgres, PostgresOptions, start_cluster, start_nats, start_postgres,
    },
    unlimited::UNLIMITED,
};

/// How long a node may take to serve.
const START: Duration = Duration::from_secs(30);
/// The streams of the log.
pub const STREAMS: usize = 4;
/// Signs of life, in seconds: often, so that cursors are fresh.
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
                // Otherwise nodes would learn the way around the network in between.
                let options = NatsOptions { no_advertise: true, ..NatsOptions::default() };
                Self::Many(start_cluster(&tools, &dir, servers, options).await.expect("a cluster starts"))
            }
        }
    }

    /// Where nodes connect to.
    pub fn url(&self) -> &str {
        match self {
            Self::One(nats) => nats.url(),
            Self::Many(cluster) => cluster.url(),
        }
    }

    /// The same with another user.
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

    /// Which server leads each stream; `None` where none does.
    pub async fn leaders(&self) -> Vec<Option<usize>> {
        match self {
            Self::One(_) => vec![Some(0); STREAMS],
            Self::Many(cluster) => {
                let streams: Vec<String> = (0..STREAMS).map(|index| format!("CHAT_{index}")).collect();
                join_all(streams.iter().map(|stream| cluster.leader_of(stream))).await
            }
        }
    }

    /// Waits until all servers are there and complete.
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

/// What `verbatim migrate` makes.
pub async fn make_log(nats: String, database: &str, replicas: usize) {
    let addresses = Addresses { nats: nats.into(), database: database.to_owned() };
    let wanted = Wanted { streams: Some(STREAMS), replicas: Some(replicas) };
    app::make_log(&addresses, wanted, STREAMS).await.expect("the log is made");
}

/// What a node is started with.
#[derive(Clone)]
pub struct Plan {
    pub roles: &'static str,
    pub nats: String,
    /// The same with the user of the eraser, for a node with that role.
    pub eraser: Option<String>,
    pub database: String,
    pub replicas: usize,
}

/// The program itself, as a process of its own.
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

    /// SIGTERM, and waits for the end.
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

    /// What it logged as an error.
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
            // What is no JSON is a panic. Libraries tell of lost connections as errors.
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

pub async fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await;
    assert!(sent.expect("kill runs").success(), "kill -{name} {pid}");
}

/// Everything that a run needs besides its people.
pub struct World {
    pub backbone: Mutex<Backbone>,
    pub postgres: Mutex<Postgres>,
    pub gateways: Vec<Mutex<Node>>,
    /// One in front of each gateway.
    pub doors: Vec<Proxy>,
    pub projector: Mutex<Node>,
    /// The way of each node to its servers: of the gateways, then of the projector.
    pub ways: Vec<Way>,
    /// Where tests read the database, past the proxy.
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
        // A crash of Postgres must lose nothing, so it syncs.
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
        // The first one makes the signing key.
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

    /// The way of the projector.
    pub fn way_of_projector(&self) -> &Way {
        &self.ways[self.gateways.len()]
    }

    /// Where clients reach a gateway.
    pub fn door(&self, node: usize) -> SocketAddr {
        self.doors[node].address
    }

    /// How far the log and the views are, over all streams.
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

    /// Ends all nodes in good order; what they logged as errors, or that they did not end.
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

/// What lies between a node and its servers.
pub struct Way {
    /// One proxy for each nats-server.
    pub to_nats: Vec<Proxy>,
    pub to_postgres: Proxy,
}

impl Way {
    /// A new one, and the addresses of the servers through it.
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

    /// The machine of the node vanishes, and its servers are not told.
    pub fn loses_its_machine(&self) {
        self.to_nats.iter().chain([&self.to_postgres]).for_each(Proxy::loses_a_machine);
    }

    /// Ends of connections at the servers that stand although the machine is lost.
    pub fn left_alone(&self) -> u64 {
        let proxies = self.to_nats.iter().chain([&self.to_postgres]);
        proxies.map(|proxy| proxy.done(|done| &done.left_alone)).sum()
    }
}

/// The same addresses with the user of other ones.
fn as_user_of(others: &str, urls: &str) -> String {
    let (user, _) = others.split_once('@').expect("user and password");
    let host = |url: &str| url.split_once('@').expect("user and password").1.to_owned();
    urls.split(',').map(|url| format!("{user}@{}", host(url))).collect::<Vec<_>>().join(",")
}

/// A proxy to the host in a URL, and the same URL through it.
async fn behind_proxy(url: &str) -> (Proxy, String) {
    let (before, rest) = url.split_once('@').expect("user and password");
    let (host, after) =
        rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    let proxy = Proxy::to(host.parse().expect("an address")).await.expect("a proxy");
    let url = format!("{before}@{}{after}", proxy.address);
    (proxy, url)
}

/// A folder that the servers' own user can reach.
pub fn folder() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("verbatim-faults-").tempdir().expect("a temporary folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).expect("own folder");
    dir
}
