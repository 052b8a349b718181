//! The world of a story: servers, nodes and people.

pub mod alerts;
mod backbone;
mod bot;
pub mod clients;
mod collector;
mod copies;
mod device;
mod document;
mod draft;
mod inside;
mod issuer;
mod machine;
mod node;
mod person;
mod program;
mod receiver;
mod servers;
pub mod template;
mod tls;
mod views;
mod way;
mod wire;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

pub use crate::servers::signal;
pub use backbone::Backbone;
pub use bot::{Bot, NatsReply};
pub use collector::{Collector, Span};
pub use device::{Device, assert_linked, open, open_with};
pub use draft::{a_message, drafted};
pub use inside::Inside;
pub use issuer::{Issuer, Product, Signer, now};
pub use machine::Machine;
pub use node::{Beginning, Node, command, command_on};
pub use person::{Answer, Conversation, ON_BEHALF_OF, PASSWORD, Person, ask, key, position, send};
pub use program::{ALL_SCOPES, Program};
pub use receiver::{Received, Receiver, Told};
pub use servers::{Database, folder, nats, tools};
pub use tls::{Authority, Pair};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use verbatim::{
    app::{self, Addresses},
    dev::NatsUser,
    log::Wanted,
};
pub use views::rows_of;
pub use way::Way;
pub use wire::Wire;

use crate::servers::{Cluster, Nats, NatsOptions, ObjectStorage, PostgresOptions};

/// The time limit of every wait in a story.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A nats-server or a cluster of them, a database and the nodes of one story.
pub struct World<B = Nats> {
    pub nats: B,
    pub database: Database,
    pub nodes: Vec<Node>,
    pub streams: usize,
    /// The server of the bucket with the story's archive. Without it, the archive is in a folder.
    pub storage: Option<ObjectStorage>,
    people: AtomicUsize,
    /// Proxies between separate machines and the servers, which listen only on loopback.
    proxies: JoinSet<()>,
    dir: tempfile::TempDir,
}

impl World {
    /// One node with all roles, and the log in one stream.
    pub async fn start() -> Self {
        Self::with_streams(1).await
    }

    /// The same, with the log in several streams.
    pub async fn with_streams(streams: usize) -> Self {
        let mut world = Self::empty(streams).await;
        world.add_node("api,gateway,projector").await;
        world
    }

    /// The servers without a node, with a Postgres that the story may freeze and kill.
    pub async fn with_its_own_postgres() -> Self {
        Self::empty_with(PostgresOptions { fsync_off: true, ..Default::default() }).await
    }

    /// The same, with options for Postgres.
    pub async fn empty_with(options: PostgresOptions) -> Self {
        let dir = folder();
        let database = Database::on_its_own_server(dir.path(), options);
        let (nats, database) = tokio::join!(nats(dir.path()), database);
        Self::of(nats, database, 1, dir).with_a_log().await
    }

    /// The servers without a node.
    pub async fn empty(streams: usize) -> Self {
        Self::without_a_log(streams).await.with_a_log().await
    }

    /// The same with a nats-server in operator mode, as `verbatim nats init` sets it up.
    pub async fn in_operator_mode(streams: usize) -> Self {
        Self::with_nats(NatsOptions { operator_mode: true, ..NatsOptions::default() }, streams).await
    }

    /// The same with a nats-server of these options.
    pub async fn with_nats(options: NatsOptions, streams: usize) -> Self {
        let dir = folder();
        let (nats, database) = tokio::join!(servers::nats_with(dir.path(), options), Database::new());
        Self::of(nats, database, streams, dir).with_a_log().await
    }

    /// The servers before `verbatim migrate` has created the log.
    pub async fn without_a_log(streams: usize) -> Self {
        let dir = folder();
        let (nats, database) = tokio::join!(nats(dir.path()), Database::new());
        Self::of(nats, database, streams, dir)
    }
}

impl World<Cluster> {
    /// Several servers, three of which have a copy of each stream, without a node.
    pub async fn empty_cluster(servers: usize, streams: usize) -> Self {
        let dir = folder();
        let nats = servers::cluster(dir.path(), servers, Default::default());
        let (nats, database) = tokio::join!(nats, Database::new());
        Self::of(nats, database, streams, dir).with_a_log().await
    }

    /// Three servers in operator mode without a node.
    pub async fn cluster_in_operator_mode(streams: usize) -> Self {
        let dir = folder();
        let options = NatsOptions { operator_mode: true, ..NatsOptions::default() };
        let (nats, database) = tokio::join!(servers::cluster(dir.path(), 3, options), Database::new());
        Self::of(nats, database, streams, dir).with_a_log().await
    }

    /// Three servers and two nodes that have all roles.
    pub async fn with_cluster(streams: usize) -> Self {
        let mut world = Self::empty_cluster(3, streams).await;
        world.add_node("api,gateway,projector").await;
        world.add_node("api,gateway,projector").await;
        world
    }
}

impl<B: Backbone> World<B> {
    fn of(nats: B, database: Database, streams: usize, dir: tempfile::TempDir) -> Self {
        let (nodes, people, proxies) = (Vec::new(), AtomicUsize::new(0), JoinSet::new());
        Self { nats, database, nodes, streams, storage: None, people, proxies, dir }
    }

    /// Creates the log like `verbatim migrate`, with the user of an operator. The nodes' user has no permission for
    /// that.
    async fn with_a_log(self) -> Self {
        let addresses =
            Addresses { nats: self.nats.servers_of(NatsUser::Operator), database: self.database.url.clone() };
        let wanted = Wanted { streams: Some(self.streams), replicas: Some(self.nats.replicas()) };
        app::make_log(&addresses, wanted, self.streams).await.expect("the log is made");
        self
    }

    /// Starts one more node.
    pub async fn add_node(&mut self, roles: &str) -> &Node {
        self.add_node_with(roles, &[]).await
    }

    /// Starts one more node with additional settings.
    pub async fn add_node_with(&mut self, roles: &str, settings: &[(&str, &str)]) -> &Node {
        let settings = [&self.keys_to_the_bucket(), settings].concat();
        let node = Node::start(&self.nats, &self.database, self.streams, roles, &settings).await;
        self.nodes.push(node);
        self.nodes.last().expect("it was pushed just now")
    }

    /// Starts one more node whose connection to the log can be blocked.
    pub async fn add_node_behind_a_way(&mut self, roles: &str) -> Way {
        self.add_node_behind_a_way_with(roles, &[]).await
    }

    /// The same, with additional settings.
    pub async fn add_node_behind_a_way_with(&mut self, roles: &str, settings: &[(&str, &str)]) -> Way {
        let url = self.nats.url().to_owned();
        let server = url.rsplit_once('@').map_or(&*url, |(_, host)| host);
        let way = Way::to(server.parse().expect("an address")).await;
        let url = url.replace(server, &way.address.to_string());
        let settings: Vec<_> = settings.iter().copied().chain([("VERBATIM_NATS_URL", &*url)]).collect();
        self.add_node_with(roles, &settings).await;
        way
    }

    /// Starts one more node on another machine, which uses the machine's cables.
    pub async fn add_node_on(&mut self, machine: &Machine, roles: &str) {
        let host =
            |url: &str| url.rsplit_once('@').map_or(url, |(_, host)| host).parse().expect("an address");
        let server = host(self.nats.url());
        let near = machine.reaches(server, &mut self.proxies).await;
        let nats = self.nats.url().replace(&server.to_string(), &near.to_string());
        let database = self.database.server().url_at(machine.database.address());
        let listen = format!("{}:0", machine.rest.there);
        let settings = [
            ("VERBATIM_NATS_URL", &*nats),
            ("VERBATIM_DATABASE_URL", &database),
            ("VERBATIM_LISTEN", &listen),
            ("VERBATIM_ADMIN_LISTEN", &listen),
        ];
        let command = command_on(machine);
        let node = Node::start_by(command, &self.nats, &self.database, self.streams, roles, &settings).await;
        self.nodes.push(node);
    }

    /// Starts a node that may never serve, with additional arguments.
    pub async fn begins_node(&self, roles: &str, arguments: &[&str]) -> Beginning {
        let mut command = command();
        command.args(["serve", "--roles", roles]).args(arguments);
        let settings = self.keys_to_the_bucket();
        Beginning::start_by(command, &self.nats, &self.database, self.streams, &settings).await
    }

    /// The same world, with a bucket for the archive.
    pub async fn with_a_bucket(mut self) -> Self {
        self.storage = Some(ObjectStorage::in_folder(self.dir.path()).await);
        self
    }

    fn keys_to_the_bucket(&self) -> Vec<(&'static str, &'static str)> {
        self.storage.iter().flat_map(ObjectStorage::settings).collect()
    }

    /// A new person, registered and logged in at the first node.
    pub async fn person(&self, name: &str) -> Person {
        self.person_at(0, name).await
    }

    /// The same at another node.
    pub async fn person_at(&self, node: usize, name: &str) -> Person {
        // Names differ in a letter, not in a digit, because names that look alike are refused.
        let letter = char::from(b'a' + (self.people.fetch_add(1, Ordering::Relaxed) % 26) as u8);
        Person::registers(self.nodes[node].address, &format!("{name}.{letter}")).await
    }

    /// Shortens JetStream's duplicate window, and waits until it has passed.
    pub async fn the_log_forgets_keys(&self) {
        let window = Duration::from_millis(100);
        let client = self.nats.client(NatsUser::Operator).await;
        let jetstream = async_nats::jetstream::new(client);
        for index in 0..self.streams {
            let stream = jetstream.get_stream(format!("CHAT_{index}")).await.expect("stream");
            let mut config = stream.cached_info().config.clone();
            config.duplicate_window = window;
            jetstream.update_stream(config).await.expect("update");
        }
        sleep(window * 5).await;
    }

    /// A folder for files of the story.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Runs a command of the program next to the nodes, to its end.
    pub async fn runs(&self, arguments: &[&str]) -> Ran {
        self.runs_with(arguments, &[]).await
    }

    /// The same, with settings.
    pub async fn runs_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Ran {
        let started = self.starts_with(arguments, settings);
        Ran::of(started.wait_with_output().await.expect("the program runs"))
    }

    /// The same, without waiting for its end.
    pub fn starts(&self, arguments: &[&str]) -> tokio::process::Child {
        self.starts_with(arguments, &[])
    }

    /// The same, with settings.
    pub fn starts_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> tokio::process::Child {
        command()
            .args(arguments)
            .env("VERBATIM_NATS_URL", self.nats.url())
            .envs(self.nats.settings())
            .env("VERBATIM_DATABASE_URL", &self.database.url)
            .env("VERBATIM_STREAMS", self.streams.to_string())
            .env("VERBATIM_REPLICAS", self.nats.replicas().to_string())
            .envs(self.keys_to_the_bucket())
            .envs(settings.iter().copied())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program runs")
    }

    /// Ends a story: asserts that no error was logged, that no projection has stopped, and that the views agree with
    /// the log.
    pub async fn finish(self) {
        self.views_equal_a_rebuild().await;
        self.finish_without_views().await;
    }

    /// The same for a story in which no view was built.
    pub async fn finish_without_views(self) {
        self.finish_with_errors(&[]).await;
    }

    /// The same for a story with expected errors.
    pub async fn finish_with_errors(mut self, meant: &[&str]) {
        for node in &mut self.nodes {
            node.stop().await;
            let mut errors = node.errors();
            errors.retain(|line| !meant.iter().any(|meant| line["message"] == *meant));
            assert!(errors.is_empty(), "errors were logged: {errors:#?}");
        }
        self.nats.end().await;
        self.database.drop().await;
        drop(self.dir);
    }
}

/// The exit status and output of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(ended: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: ended.status.code(), stdout: text(ended.stdout), stderr: text(ended.stderr) }
    }
}

/// Waits until a condition holds, with frequent polls.
pub async fn eventually(what: &str, is_so: impl AsyncFnMut() -> bool) {
    eventually_within(PATIENCE, what, is_so).await;
}

/// The same with another time limit. A longer wait has longer pauses between its polls.
pub async fn eventually_within(limit: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so().await {
        assert!(Instant::now() < deadline, "it did not come to this: {what}");
        sleep(limit / 6_000).await;
    }
}

/// Asserts that a condition holds now and at each poll for some time.
pub async fn stays(what: &str, lasting: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    loop {
        let is_over = begun.elapsed() >= lasting;
        assert!(is_so().await, "it did not stay so: {what}");
        if is_over {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}
