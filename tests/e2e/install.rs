//! The page for operators from a fresh machine to three nodes with TLS, executed as written.

use std::{net::TcpListener, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use crate::world::{Database, eventually, folder, tools};

const WALK: &str = include_str!("install.sh");

/// The base of three free ports, which end in 1, 2 and 3.
fn beginning_of_ports() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| verbatim::dev::free_port() / 10)
        .find(|tens| (1..=3).all(|last| is_free(&(tens * 10 + last))))
        .expect("there are free ports")
}

#[tokio::test]
async fn one_page_leads_from_a_fresh_machine_to_three_nodes_with_tls() {
    tools();
    let (dir, database) = (folder(), Database::new().await);
    let host = database.url.rsplit_once('@').and_then(|(_, rest)| rest.split_once('/')).expect("a URL").0;
    let ports: Vec<_> = (0..4).map(|_| beginning_of_ports().to_string()).collect();
    let mut bash = Command::new("bash");
    bash.args(["-c", WALK]).current_dir(env!("CARGO_MANIFEST_DIR")).kill_on_drop(true);
    bash.env("ROOT", dir.path()).env("PROGRAM", env!("CARGO_BIN_EXE_verbatim"));
    bash.env("HOST_PORT", host).env("PORTS", ports.join(" "));
    bash.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let walking = tokio::spawn(timeout(Duration::from_secs(180), bash.output()));

    // Only the story has access to the superuser of Postgres.
    let asked = dir.path().join("sql");
    eventually("the page asks for a database", || async { asked.exists() || walking.is_finished() }).await;
    if asked.exists() {
        let statements = std::fs::read_to_string(&asked).expect("SQL");
        for statement in statements.split(";\n").filter(|statement| !statement.trim().is_empty()) {
            database.does(statement).await;
        }
        std::fs::write(dir.path().join("sql.done"), "").expect("a file");
    }

    let walked = walking.await.expect("no panic").expect("it ends in time").expect("bash runs");
    let said = String::from_utf8_lossy(&walked.stdout);
    let complained = String::from_utf8_lossy(&walked.stderr);
    assert!(walked.status.success(), "{said}\n{complained}");
    for wanted in [
        "the log is ready: 4 streams, 3 replicas",
        "ok       durability: every acknowledgement is on disk",
        "ok       listener: TLS",
        "node 1: 200",
        "node 2: 200",
        "node 3: 200",
        r#""text":"It runs.""#,
    ] {
        assert!(said.contains(wanted), "{wanted} is not in {said}\n{complained}");
    }
    assert!(!said.contains("REFUSED"), "{said}");
    assert_eq!(said.matches("sessions 0").count(), 3, "three nodes: {said}");
    database.drop().await;
}
