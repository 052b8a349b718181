//! Password attempts and registrations: the limits for groups of addresses, and the waits for names.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    limits::{left, retry_after, said},
    world::{Answer, PASSWORD, Person, World, eventually, send},
};

const ALL: &str = "api,gateway,projector";
const WRONG: &str = "not the right one";

/// A client at an address of the loopback network, in which each /24 is a group.
#[derive(Clone)]
struct Guest(Client);

impl Guest {
    fn at(address: &str) -> Self {
        let client = Client::builder().local_address(Some(address.parse().expect("an address")));
        Self(client.build().expect("a client"))
    }

    async fn posts(&self, node: SocketAddr, path: &str, body: Value) -> Answer {
        send(&self.0, node, Method::POST, path, None, Some(body)).await
    }

    async fn logs_in(&self, node: SocketAddr, name: &str, password: &str) -> Answer {
        self.posts(node, "/v1/logins", json!({ "username": name, "password": password })).await
    }

    async fn registers(&self, node: SocketAddr, name: &str) -> Answer {
        self.posts(node, "/v1/accounts", json!({ "username": name, "password": PASSWORD })).await
    }

    /// Tries wrong passwords until an attempt has to wait. Returns the number of attempts, and the refusal. The time
    /// that a machine takes for one does not matter, because each attempt doubles the wait.
    async fn guesses(&self, node: SocketAddr, name: &str) -> (usize, Answer) {
        for tried in 0..20 {
            let answer = self.logs_in(node, name, WRONG).await;
            if answer.status == 429 {
                return (tried, answer);
            }
            answer.refuses(401, "bad_credentials");
        }
        panic!("20 wrong passwords and no wait");
    }
}

async fn world_with(settings: &[(&str, &str)]) -> World {
    let mut world = World::empty(1).await;
    world.add_node_with(ALL, settings).await;
    world
}

fn violated(answer: Answer) -> Value {
    answer.refuses(429, "rate_limited")["violated-policies"].clone()
}

/// Makes all wrong passwords older.
async fn waits(world: &World, seconds: u32) {
    let sql = format!("update auth.failure set failed_at = failed_at - interval '{seconds} s'");
    world.database.does(&sql).await;
}

#[tokio::test]
async fn wrong_passwords_of_a_group_of_addresses_are_counted_by_all_nodes_and_over_a_restart() {
    let limit = [("VERBATIM_LIMIT_LOGIN", "4/40000:4")];
    let mut world = world_with(&limit).await;
    world.add_node_with(ALL, &limit).await;
    let [one, two] = [0, 1].map(|node: usize| world.nodes[node].address);
    let ana = world.person("ana").await;
    let neighbours = ["127.0.1.1", "127.0.1.2", "127.0.1.254"].map(Guest::at);
    for (turn, node) in [one, two, one, two].into_iter().enumerate() {
        let name = format!("nobody{turn}");
        neighbours[turn % 3].logs_in(node, &name, WRONG).await.refuses(401, "bad_credentials");
    }
    for node in [one, two] {
        let refused = neighbours[0].logs_in(node, &ana.name, PASSWORD).await;
        assert_eq!(said(&refused, "ratelimit-policy", "login").expect("q and w")[0], ("q".into(), 4));
        assert_eq!(left(&refused, "login"), 0);
        assert!((1..=10_000).contains(&retry_after(&refused)));
        assert_eq!(violated(refused), json!(["login"]));
    }
    assert_eq!(world.nodes[0].metric("verbatim_rate_limited_total{policy=\"login\"}").await, 1);
    world.nodes[1].stop().await;
    world.nodes.pop();
    let again = world.add_node_with(ALL, &limit).await.address;
    assert_eq!(violated(neighbours[1].logs_in(again, &ana.name, PASSWORD).await), json!(["login"]));
    let elsewhere = Guest::at("127.0.2.1");
    elsewhere.logs_in(again, &ana.name, PASSWORD).await.expect(201);
    // With a higher limit, what was used up before delays an attempt by one unit at the new rate at most.
    let faster = world.add_node_with(ALL, &[("VERBATIM_LIMIT_LOGIN", "60/60:4")]).await.address;
    let refused = neighbours[0].logs_in(faster, &ana.name, PASSWORD).await;
    assert_eq!(retry_after(&refused), 1);
    assert_eq!(violated(refused), json!(["login"]));
    sleep(Duration::from_millis(1_100)).await;
    neighbours[0].logs_in(faster, &ana.name, PASSWORD).await.expect(201);
    world.finish().await;
}

#[tokio::test]
async fn the_right_password_costs_nothing() {
    let world = world_with(&[("VERBATIM_LIMIT_LOGIN", "2/20000:2")]).await;
    let (node, ana) = (world.nodes[0].address, world.person("ana").await);
    for _ in 0..10 {
        Person::logs_in(node, &ana.name, &ana.id).await;
    }
    let here = Guest::at("127.0.0.1");
    for _ in 0..2 {
        here.logs_in(node, &ana.name, WRONG).await.refuses(401, "bad_credentials");
    }
    assert_eq!(violated(here.logs_in(node, &ana.name, PASSWORD).await), json!(["login"]));
    world.finish().await;
}

#[tokio::test]
async fn a_name_that_exists_and_one_that_does_not_wait_alike() {
    let world = World::start().await;
    let (node, ana) = (world.nodes[0].address, world.person("ana").await);
    let guest = Guest::at("127.0.1.1");
    let mut seen = Vec::new();
    for name in [&*ana.name, "nobody.at.all", "no name \u{202e}"] {
        let first = guest.logs_in(node, name, WRONG).await;
        let (tried, refused) = guest.guesses(node, name).await;
        assert!((4..20).contains(&tried), "{tried}");
        assert_eq!(left(&refused, "login"), 0);
        assert!((1..=900).contains(&retry_after(&refused)));
        seen.push([first, refused].map(|answer| {
            let names: BTreeSet<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
            let mut body = answer.body;
            body["request_id"] = Value::Null;
            (answer.status, names, body)
        }));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    world.finish().await;
}

#[tokio::test]
async fn after_the_told_time_the_right_password_is_taken_and_the_failures_are_forgotten() {
    let world = World::start().await;
    let (node, ana) = (world.nodes[0].address, world.person("ana").await);
    let here = Guest::at("127.0.0.1");
    let (tried, refused) = here.guesses(node, &ana.name).await;
    assert!(tried >= 5, "{tried}");
    sleep(Duration::from_secs(retry_after(&refused))).await;
    here.logs_in(node, &ana.name, PASSWORD).await.expect(201);
    for _ in 0..4 {
        here.logs_in(node, &ana.name, WRONG).await.refuses(401, "bad_credentials");
    }
    world.database.does("update auth.failure set failures = 1000, failed_at = now()").await;
    assert_eq!(violated(here.logs_in(node, &ana.name, PASSWORD).await), json!(["login"]));
    waits(&world, 901).await;
    here.logs_in(node, &ana.name, PASSWORD).await.expect(201);
    world.finish().await;
}

#[tokio::test]
async fn strangers_never_keep_an_owner_out() {
    let world = World::start().await;
    let (node, ana) = (world.nodes[0].address, world.person("ana").await);
    let [home, new, stranger, other] = ["127.0.0.7", "127.0.9.1", "127.0.1.1", "127.0.2.1"].map(Guest::at);
    // One stranger tries for days. From another network, that delays the owner by a second at most.
    stranger.guesses(node, &ana.name).await;
    for _ in 0..6 {
        waits(&world, 901).await;
        stranger.guesses(node, &ana.name).await;
    }
    let counted: i32 = world.database.finds("select min(failures) from auth.failure").await;
    assert_eq!(counted, 5);
    let refused = stranger.logs_in(node, &ana.name, PASSWORD).await;
    assert!(retry_after(&refused) > 1, "the stranger waits");
    home.logs_in(node, &ana.name, PASSWORD).await.expect(201);
    // Many strangers try: log-ins from new networks wait, for 15 minutes at most, and those from the owner's networks
    // do not.
    other.guesses(node, &ana.name).await;
    world.database.does("update auth.failure set failures = 1000, failed_at = now()").await;
    let refused = new.logs_in(node, &ana.name, PASSWORD).await;
    assert!((600..=900).contains(&retry_after(&refused)), "{}", retry_after(&refused));
    assert_eq!(violated(refused), json!(["login"]));
    home.logs_in(node, &ana.name, PASSWORD).await.expect(201);
    waits(&world, 901).await;
    new.logs_in(node, &ana.name, PASSWORD).await.expect(201);
    world.finish().await;
}

#[tokio::test]
async fn a_password_that_is_guessed_with_a_stolen_token_counts_like_one_at_the_log_in() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let changes = async |current: &str| {
        let body = json!({ "current_password": current, "new_password": "staple, but longer" });
        ana.put("/v1/me/password", body).await
    };
    for _ in 0..4 {
        changes(WRONG).await.refuses(403, "wrong_password");
    }
    world.database.does("update auth.failure set failures = 14, failed_at = now() - interval '1 day'").await;
    changes(WRONG).await.refuses(403, "wrong_password");
    assert_eq!(violated(changes(PASSWORD).await), json!(["login"]));
    let here = Guest::at("127.0.0.1");
    assert_eq!(violated(here.logs_in(ana.address, &ana.name, PASSWORD).await), json!(["login"]));
    waits(&world, 901).await;
    assert_eq!(changes(PASSWORD).await.status, 204);
    world.finish().await;
}

#[tokio::test]
async fn registrations_from_a_group_of_addresses_are_limited() {
    let world = world_with(&[("VERBATIM_LIMIT_REGISTER", "3/30000:3")]).await;
    let node = world.nodes[0].address;
    let [here, there] = ["127.0.1.1", "127.0.2.1"].map(Guest::at);
    here.registers(node, "x y").await.refuses(400, "invalid_body");
    here.registers(node, "ana").await.expect(201);
    here.registers(node, "ana").await.refuses(409, "username_taken");
    here.registers(node, "ben").await.expect(201);
    let refused = here.registers(node, "cid").await;
    assert_eq!(left(&refused, "register"), 0);
    assert!(retry_after(&refused) <= 10_000);
    assert_eq!(violated(refused), json!(["register"]));
    assert_eq!(world.nodes[0].metric("verbatim_rate_limited_total{policy=\"register\"}").await, 1);
    here.logs_in(node, "ana", PASSWORD).await.expect(201);
    there.registers(node, "cid").await.expect(201);
    world.finish().await;
}

#[tokio::test]
async fn without_postgres_nobody_is_let_in_and_nobody_is_told_that_the_password_is_wrong() {
    let limit = [("VERBATIM_LIMIT_LOGIN", "2/20000:2"), ("VERBATIM_LIMIT_REGISTER", "2/20000:2")];
    let world = world_with(&limit).await;
    let (node, ana) = (world.nodes[0].address, world.person("ana").await);
    let here = Guest::at("127.0.1.1");
    world
        .database
        .is_gone_for(async {
            for password in [WRONG, PASSWORD, WRONG, WRONG] {
                let answer = here.logs_in(node, &ana.name, password).await;
                assert!(retry_after(&answer) >= 1);
                answer.refuses(503, "unavailable");
            }
            here.registers(node, "ben").await.refuses(503, "unavailable");
        })
        .await;
    eventually("she is let in", || async { here.logs_in(node, &ana.name, PASSWORD).await.status == 201 })
        .await;
    world.finish().await;
}

#[tokio::test]
async fn a_flood_of_passwords_from_one_side_keeps_nobody_else_from_logging_in() {
    let dear = [("VERBATIM_ARGON2_MEMORY", "19456"), ("VERBATIM_ARGON2_PASSES", "2")];
    let world = world_with(&dear).await;
    let (node, ana) = (world.nodes[0].address, world.person("ana").await);
    let (strangers, elsewhere) = (Guest::at("127.0.1.1"), Guest::at("127.0.2.1"));
    let (mut flood, refused) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    // More than the places in which one group can wait.
    for n in 0..250 {
        let (strangers, refused) = (strangers.clone(), refused.clone());
        flood.spawn(async move {
            loop {
                if strangers.logs_in(node, &format!("nobody{n}"), WRONG).await.status == 503 {
                    refused.fetch_add(1, Ordering::Relaxed);
                    // The flood tests the turns at hashing. Without a pause, it would test the CPU.
                    sleep(Duration::from_millis(200)).await;
                }
            }
        });
    }
    eventually("more come than find a turn", || async { refused.load(Ordering::Relaxed) > 0 }).await;
    for _ in 0..11 {
        elsewhere.logs_in(node, &ana.name, PASSWORD).await.expect(201);
    }
    flood.shutdown().await;
    world.finish().await;
}

#[tokio::test]
async fn what_is_forgotten_is_removed() {
    let world = World::start().await;
    let node = world.nodes[0].address;
    Guest::at("127.0.1.1").logs_in(node, "nobody", WRONG).await.refuses(401, "bad_credentials");
    let rows = "select (select count(*) from auth.failure) + (select count(*) from auth.budget)";
    eventually("the budget is full", || async { world.database.finds::<i64>(rows).await == 2 }).await;
    world.database.does("update auth.failure set forgotten_at = now()").await;
    eventually("nothing is left", || async { world.database.finds::<i64>(rows).await == 0 }).await;
    world.finish().await;
}
