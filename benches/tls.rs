//! The cost of TLS on the listener: the same sockets connect alternately to two gateways that differ in nothing else.
//! The gateway without TLS is the floor.

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use stage::{
    Stage,
    figures::{Figure, full},
    process::{Node, cpu, memory, run},
    rest::{Person, Rest},
    sockets::{Audience, Door, Visit},
    talk::{flat_out, micros, paced, spent},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs::default_provider},
};

/// Sockets of one user.
const OF_EACH_USER: usize = 20;
/// Connections that are opened concurrently.
const AT_ONCE: usize = 64;
/// Sockets that get messages.
const SPOKEN_TO: usize = 1_000;
const FLOOR: &str = "without TLS";

fn main() {
    run(benchmark);
}

async fn benchmark(stage: &Stage) {
    let count = if full() { 5_000 } else { 2_000 };
    let node = Node::start(stage, "api,projector", &[]).await;
    let rest = Rest::to(node.address, 64);
    let people = rest.people(count / OF_EACH_USER).await;
    let (certificate, key, client) = certified(stage);
    // With a long grace period, users who reconnect between two rounds never go offline.
    let grace = ("VERBATIM_PRESENCE_GRACE", "600");
    let tls = [grace, ("VERBATIM_TLS_CERT_FILE", &*certificate), ("VERBATIM_TLS_KEY_FILE", &*key)];

    let figure = |what: &str, unit| Figure::new("tls", what, unit).beside(FLOOR);
    let mut bytes =
        figure(&format!("{count} sockets: memory of each idle socket"), "bytes").goal("at most 9 KB");
    let mut handshake = figure(&format!("{count} sockets: CPU time per handshake and session"), "µs");
    for _ in 0..rounds() {
        let plain = Node::start(stage, "gateway", &[grace]).await;
        let bare = come(&plain, plain.address.into(), &people).await;
        plain.stop().await;
        let secured = Node::start(stage, "gateway", &tls).await;
        let ours = come(&secured, Door::secured(secured.address, client.clone()), &people).await;
        secured.stop().await;
        bytes.round(ours.bytes, Some(bare.bytes));
        handshake.round(ours.cpu, Some(bare.cpu));
    }
    bytes.note();
    handshake.note();

    let group = rest.group(&people[..SPOKEN_TO / OF_EACH_USER]).await;
    let plain = Node::start(stage, "gateway", &[grace]).await;
    let secured = Node::start(stage, "gateway", &tls).await;
    let say = async |_| {
        rest.say(&people[0], group).await;
    };
    let (each, lasting) = (SPOKEN_TO as u64, Duration::from_secs(if full() { 8 } else { 3 }));
    let name = |how: &str| format!("1 x {SPOKEN_TO} sockets, {how}: CPU time per delivery");
    let mut slow = figure(&name("20 messages/s"), "µs");
    let mut fast = figure(&name("saturated"), "µs");
    for _ in 0..rounds() {
        let doors =
            [(&plain, plain.address.into()), (&secured, Door::secured(secured.address, client.clone()))];
        let mut costs = Vec::new();
        for (gateway, door) in doors {
            let audience =
                Audience::connect(door, visits(&people[..SPOKEN_TO / OF_EACH_USER]), AT_ONCE).await;
            audience.settle().await;
            let paced = async |lasting| each * paced(20, lasting, &say).await;
            spent(&audience, gateway.pid(), async || paced(Duration::from_secs(1)).await).await;
            let slow = spent(&audience, gateway.pid(), async || paced(lasting).await).await;
            let saturated = async || each * flat_out(&audience, each, 16, lasting, &say).await;
            let fast = spent(&audience, gateway.pid(), saturated).await;
            costs.push([slow.each(), fast.each()]);
        }
        slow.round(costs[1][0], Some(costs[0][0]));
        fast.round(costs[1][1], Some(costs[0][1]));
    }
    slow.note();
    fast.note();
    for node in [plain, secured, node] {
        node.stop().await;
    }
}

fn rounds() -> usize {
    if full() { 3 } else { 2 }
}

/// Creates the files of a certificate for `localhost` with an ECDSA key, and a client that trusts it.
fn certified(stage: &Stage) -> (String, String, TlsConnector) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let file = |name: &str, text: String| {
        let path = stage.dir().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let files = (file("certificate.pem", cert.pem()), file("key.pem", signing_key.serialize_pem()));
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a certificate");
    let client = ClientConfig::builder_with_provider(default_provider().into());
    let client = client.with_safe_default_protocol_versions().expect("versions");
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (files.0, files.1, TlsConnector::from(Arc::new(client)))
}

fn visits(people: &[Person]) -> Vec<Visit> {
    let visits = people.iter().map(|user| Visit { token: user.token.clone(), cursor: None });
    visits.flat_map(|visit| std::iter::repeat_n(visit, OF_EACH_USER)).collect()
}

/// The cost of each socket that connects and waits.
struct Cost {
    bytes: f64,
    /// Microseconds.
    cpu: f64,
}

/// Connects all of them to a gateway that has just started.
async fn come(gateway: &Node, door: Door, people: &[Person]) -> Cost {
    let visits = visits(people);
    let (count, memory_before, cpu_before) = (visits.len() as f64, memory(gateway.pid()), cpu(gateway.pid()));
    let began = Instant::now();
    let audience = Audience::connect(door, visits, AT_ONCE).await;
    let cpu = cpu(gateway.pid()) - cpu_before;
    println!("             {count} sockets came in {:.1} s", began.elapsed().as_secs_f64());
    audience.settle().await;
    Cost { bytes: (memory(gateway.pid()) - memory_before) / count, cpu: micros(cpu) / count }
}
