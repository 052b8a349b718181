//! Requests read from a replica of Postgres while it keeps up, and from the primary otherwise.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{
    servers::Postgres,
    world::{Node, World, eventually},
};

const ROLES: &str = "api,gateway,projector";

/// The state of the replica in a node's answer.
async fn told(node: &Node) -> Value {
    node.readiness().await.1["parts"]["replica"].clone()
}

async fn is_read(node: &Node) -> bool {
    told(node).await["read"] == true
}

/// Pauses or resumes the replay of the replica.
async fn pauses(replica: &Postgres, pauses: bool) {
    let word = if pauses { "pause" } else { "resume" };
    let mut connection = PgConnection::connect(replica.url()).await.expect("a connection");
    let sql = AssertSqlSafe(format!("select pg_wal_replay_{word}()"));
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("a superuser may");
}

#[tokio::test]
async fn requests_read_from_a_replica_that_keeps_up_and_from_the_primary_otherwise() {
    let mut world = World::with_its_own_postgres().await;
    let folder = world.dir().join("replica");
    let mut replica = world.database.server().replica(&folder).await.expect("a replica");
    world.add_node_with(ROLES, &[("VERBATIM_DATABASE_REPLICA_URL", replica.url())]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let said = async |text: &str| ana.says(&lunch, text).await["position"].as_u64().expect("a position");
    let path = format!("/v1/conversations/{}/messages?limit=1", lunch.id);
    let last = async |min: Option<u64>| {
        let min = min.map(|at| format!("&min_position={at}")).unwrap_or_default();
        let page = ben.get(&format!("{path}{min}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        page.body["items"][0]["text"].as_str().expect("a text").to_owned()
    };
    let node = &world.nodes[0];
    eventually("the replica is read", || is_read(node)).await;
    for text in ["one", "two", "three"] {
        let at = said(text).await;
        assert_eq!(last(Some(at)).await, text, "the wait asks the server that is read");
    }

    // A request for data that the replica lacks is answered from the primary, a moment later.
    pauses(&replica, true).await;
    let at = said("four").await;
    assert_eq!(last(None).await, "three", "it was the replica that answered");
    assert_eq!(last(Some(at)).await, "four");
    eventually("it is told that the replica is late", || async {
        let part = told(node).await;
        (&part["status"], &part["code"]) == (&"degraded".into(), &"away".into())
    })
    .await;
    assert_eq!(node.readiness().await.0, 200, "the node serves on");
    assert_eq!(last(None).await, "four");
    pauses(&replica, false).await;
    eventually("the replica is read again", || is_read(node)).await;
    assert_eq!(last(None).await, "four");

    // The loss of a replica has an effect only for a moment.
    replica.kill9();
    eventually("the replica is known to be gone", || async { !is_read(node).await }).await;
    let at = said("five").await;
    assert_eq!(last(Some(at)).await, "five");
    let mut device = ben.connects().await;
    said("six").await;
    device.sees("six").await;
    world.finish().await;
    replica.stop().await;
}

#[tokio::test]
async fn a_replica_that_is_away_keeps_no_node_from_starting_and_check_names_it() {
    let mut world = World::empty(1).await;
    let nowhere = "postgres://verbatim:secret@127.0.0.1:1/verbatim";
    let replica = [("VERBATIM_DATABASE_REPLICA_URL", nowhere)];
    world.add_node_with(ROLES, &replica).await;
    assert_eq!(world.nodes[0].readiness().await.0, 200);
    let ana = world.person("ana").await;
    assert_eq!(ana.get("/v1/conversations").await.status, 200);
    assert_eq!(told(&world.nodes[0]).await["code"], "away");
    let checked = world.runs_with(&["check"], &replica).await;
    let line = checked.stdout.lines().find(|line| line.contains(" replica: ")).expect("a line");
    assert!(line.starts_with("REFUSED") && line.contains("VERBATIM_DATABASE_REPLICA_URL"), "{line}");
    assert!(!checked.stdout.contains("secret"), "{}", checked.stdout);
    world.finish().await;
}
