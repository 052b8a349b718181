//! A host application provisions its users and conversations, and logs its users in.

use std::collections::BTreeMap;

use async_nats::jetstream;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use futures_util::future::join_all;
use serde_json::{Value, json};
use verbatim::dev::NatsUser;

use crate::world::{
    Conversation, Device, PASSWORD, Person, Program, World, ask,
    clients::{output_of, python},
    eventually, key,
};

const SCOPES: [&str; 5] =
    ["users:read", "users:write", "users:tokens", "conversations:read", "conversations:write"];

pub fn user(id: &str) -> String {
    format!("/v1/provision/users/{id}")
}

fn group(members: &[(&str, &str)]) -> Value {
    let members: Vec<Value> =
        members.iter().map(|(id, role)| json!({ "external_id": id, "role": role })).collect();
    json!({ "kind": "group", "title": "Team", "members": members })
}

async fn program(world: &World, name: &str, scopes: &[&str]) -> Person {
    Program::bootstraps(world).await.makes(name, scopes).await.person
}

pub async fn host(world: &World) -> Person {
    program(world, "shop", &SCOPES).await
}

/// The number of audit events about a user.
async fn audited(world: &World, user: &str) -> usize {
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let mut stream = jetstream.get_stream("AUDIT").await.expect("the stream");
    let last = stream.info().await.expect("info").state.last_sequence;
    let mut about = 0;
    for position in 1..=last {
        let event = stream.get_raw_message(position).await.expect("an event");
        about += usize::from(event.subject.ends_with(user));
    }
    about
}

/// The roster events of a conversation, as they are in the log.
async fn roster_events(world: &World, id: &str) -> Vec<Value> {
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let mut stream = jetstream.get_stream("CHAT_0").await.expect("the stream");
    let last = stream.info().await.expect("info").state.last_sequence;
    let mut all = Vec::new();
    for position in 1..=last {
        let event = stream.get_raw_message(position).await.expect("an event");
        if event.subject.contains(id) && event.subject.ends_with(".roster") {
            let header = |name: &str| event.headers.get(name).map(ToString::to_string);
            all.push(json!({ "type": header("ce-type"), "actor": header("ce-actor") }));
        }
    }
    all
}

#[tokio::test]
async fn a_user_is_made_once_and_follows_the_table_of_the_host() {
    let world = World::start().await;
    let host = host(&world).await;
    let ana = json!({ "display_name": "Ana María", "metadata": { "plan": "free", "n": 1.50 }, "roles": ["b", "a"] });
    let made = host.put(&user("7"), ana.clone()).await;
    assert_eq!(made.headers["location"], "/v1/provision/users/7");
    let made = made.expect(201);
    assert_eq!(
        (&made["result"], &made["username"], &made["kind"]),
        (&json!("created"), &json!("ana.maría"), &json!("user"))
    );
    assert_eq!((&made["roles"], &made["external_id"]), (&json!(["a", "b"]), &json!("7")));
    let same = host.put(&user("7"), ana.clone()).await.expect(200);
    assert_eq!((&same["result"], &same["id"]), (&json!("unchanged"), &made["id"]));
    assert_eq!(host.get(&user("7")).await.expect(200)["metadata"]["plan"], "free");

    let changed = json!({ "display_name": "Ana B.", "avatar_url": "https://example.com/7.png" });
    let changed = host.put(&user("7"), changed).await.expect(200);
    assert_eq!((&changed["result"], &changed["id"]), (&json!("updated"), &made["id"]));
    assert_eq!(
        (&changed["metadata"], &changed["roles"]),
        (&Value::Null, &json!([])),
        "the whole user is replaced"
    );
    assert_eq!(changed["username"], "ana.maría", "a name that was derived stays");
    let seen = host.get(&format!("/v1/users/{}", made["id"].as_str().expect("id"))).await.expect(200);
    assert_eq!(
        (&seen["display_name"], &seen["avatar_url"]),
        (&json!("Ana B."), &json!("https://example.com/7.png"))
    );

    let other = host.put(&user("8"), json!({ "display_name": "Ana María" })).await.expect(201);
    let name = other["username"].as_str().expect("a name");
    assert!(name.starts_with("ana.maría-") || name.starts_with("user-"), "{name}");
    let chosen = json!({ "display_name": "Ana", "username": "Ana.María" });
    host.put(&user("9"), chosen.clone()).await.refuses(409, "username_taken");
    host.put(&user("8"), chosen).await.refuses(409, "username_taken");
    host.get(&user("9")).await.refuses(404, "not_found");
    // The account has no password, so nobody can log in with one.
    let login = json!({ "username": name, "password": PASSWORD });
    ask(host.address, reqwest::Method::POST, "/v1/logins", Some(login)).await.refuses(401, "bad_credentials");
    // And nobody can give it one.
    let id = other["id"].as_str().expect("id");
    host.post(&format!("/v1/admin/users/{id}/recovery"), json!({})).await.refuses(409, "no_password");
    let refused = world.runs(&["users", "recover", id]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("no password"), "{refused:?}");
    // Its user is told so too, and no guess of a password is counted.
    let tokens = host.post(&format!("{}/tokens", user("8")), json!({})).await.expect(201);
    let hosted = host.with_token(tokens["access_token"].as_str());
    for _ in 0..7 {
        let change = json!({ "current_password": PASSWORD, "new_password": "another horse battery" });
        hosted.put("/v1/me/password", change).await.refuses(409, "no_password");
    }
    let erase = json!({ "scope": "account", "confirm": PASSWORD });
    hosted.post("/v1/me/erasure", erase).await.refuses(409, "no_password");
    world.finish().await;
}

#[tokio::test]
async fn a_hundred_requests_at_once_make_one_account() {
    let mut world = World::start().await;
    world.add_node("api").await;
    let host = host(&world).await;
    let hosts = [host.at(world.nodes[0].address), host.at(world.nodes[1].address)];
    let ana = json!({ "display_name": "Ana" });
    let answers = join_all((0..100).map(|n| hosts[n % 2].put("/v1/provision/users/7", ana.clone()))).await;
    let mut results = BTreeMap::new();
    let mut ids: Vec<Value> = Vec::new();
    for answer in answers {
        let status = answer.status.as_u16();
        assert!([200, 201].contains(&status), "{}", answer.body);
        assert_eq!(status == 201, answer.body["result"] == "created", "{}", answer.body);
        *results.entry(answer.body["result"].to_string()).or_insert(0) += 1;
        ids.push(answer.body["id"].clone());
    }
    assert_eq!(results, BTreeMap::from([("\"created\"".into(), 1), ("\"unchanged\"".into(), 99)]));
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(
        world.database.finds::<i64>("select count(*) from auth.account where origin = 'provisioned'").await,
        1
    );
    world.finish().await;
}

#[tokio::test]
async fn each_user_of_a_batch_has_a_result() {
    let world = World::start().await;
    let host = host(&world).await;
    let taken = world.person("ben").await;
    host.put(&user("1"), json!({ "display_name": "Ana" })).await.expect(201);
    host.put(&user("2"), json!({ "display_name": "Cem" })).await.expect(201);
    let users = json!({ "users": [
        { "external_id": "1", "display_name": "Ana" },
        { "external_id": "2", "display_name": "Cem B." },
        { "external_id": "3", "display_name": "Dora", "username": taken.name },
        { "external_id": "4", "display_name": "" },
        { "external_id": "5", "display_name": "Eva" },
        { "external_id": "6", "display_name": "Fay", "metadata": [] },
        { "external_id": "7", "display_name": "Gil", "roles": "admin" },
        { "external_id": "8", "display_name": "Hal", "surprise": 1 },
        { "external_id": "9", "metadata": { "n": 1.50 } },
        { "external_id": "10", "display_name": "Ida", "metadata": { "n": 1.50 } },
    ] });
    let results = host.post("/v1/provision/users", users).await.expect(200)["results"].clone();
    let said: Vec<_> = results.as_array().expect("results").iter().map(|result| &result["result"]).collect();
    assert_eq!(
        json!(said),
        json!([
            "unchanged",
            "updated",
            "error",
            "error",
            "created",
            "error",
            "error",
            "error",
            "error",
            "created"
        ])
    );
    for (at, field, code) in [
        (5, "metadata", "wrong_type"),
        (6, "roles", "wrong_type"),
        (7, "surprise", "unknown_field"),
        (8, "display_name", "missing"),
    ] {
        let error = &results[at]["error"];
        let pointer = format!("/users/{at}/{field}");
        assert_eq!((&error["code"], &error["pointer"]), (&json!(code), &json!(pointer)), "{error}");
    }
    let nameless =
        json!({ "users": [{ "external_id": "11", "display_name": "Jo" }, { "external_id": "a b" }] });
    let refused = host.post("/v1/provision/users", nameless).await.refuses(400, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/users/1/external_id");
    host.get(&user("11")).await.refuses(404, "not_found");
    assert_eq!(results[2]["error"]["code"], "username_taken");
    assert_eq!(
        (&results[3]["error"]["code"], &results[3]["error"]["pointer"]),
        (&json!("empty_text"), &json!("/users/3/display_name"))
    );
    let many: Vec<Value> =
        (0..101).map(|n| json!({ "external_id": n.to_string(), "display_name": "X" })).collect();
    let refused =
        host.post("/v1/provision/users", json!({ "users": many })).await.refuses(400, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/users");
    let all = host.post("/v1/provision/users", json!({ "users": many[..100] })).await.expect(200);
    assert_eq!(all["results"].as_array().expect("results").len(), 100);
    world.finish().await;
}

#[tokio::test]
async fn a_deactivated_user_is_cut_off_until_reactivated() {
    let mut world = World::start().await;
    world.add_node("api,gateway").await;
    let host = host(&world).await;
    host.put(&user("7"), json!({ "display_name": "Ana" })).await.expect(201);
    let tokens = async || host.post(&format!("{}/tokens", user("7")), json!({ "refresh": true })).await;
    let login = tokens().await.expect(201);
    let ana = Person::with(&login, world.nodes[1].address);
    let mut device = ana.connects().await;
    host.delete(&user("7")).await.expect(204);
    assert_eq!(device.is_closed_with().await, 4504);
    ana.get("/v1/me").await.refuses(403, "suspended");
    let mut late = Device::says_hello(ana.address, &ana.token, json!({ "op": "hello" })).await;
    assert_eq!(late.is_closed_with().await, 4504);
    // A node that starts now knows the reason too.
    let fresh = world.add_node("api,gateway").await.address;
    ana.at(fresh).get("/v1/me").await.refuses(403, "suspended");
    let refresh = json!({ "refresh_token": login["refresh_token"] });
    ask(ana.address, reqwest::Method::POST, "/v1/logins/refresh", Some(refresh))
        .await
        .refuses(401, "invalid_grant");
    tokens().await.refuses(403, "suspended");
    host.delete(&user("7")).await.expect(204);
    assert!(host.get(&user("7")).await.expect(200)["deactivated_at"].is_string());
    let again = host.post(&format!("{}/reactivate", user("7")), json!({})).await.expect(200);
    assert_eq!(again["deactivated_at"], Value::Null);
    let back = Person::with(&tokens().await.expect(201), world.nodes[1].address);
    back.get("/v1/me").await.expect(200);
    for node in &world.nodes {
        let there = ana.at(node.address);
        eventually("the node knows that the account is active", || async {
            there.get("/v1/me").await.status == 401
        })
        .await;
        there.get("/v1/me").await.refuses(401, "login_revoked");
    }
    host.delete(&user("8")).await.refuses(404, "not_found");
    world.finish().await;
}

#[tokio::test]
async fn a_token_of_the_host_is_an_ordinary_login() {
    let world = World::start().await;
    let host = host(&world).await;
    let tokens = format!("{}/tokens", user("7"));
    host.post(&tokens, json!({})).await.refuses(404, "not_found");
    let wanted = json!({ "expires_in": 3600, "device": "Web", "upsert": { "display_name": "Ana" } });
    let login = host.post(&tokens, wanted).await.expect(201);
    assert_eq!((&login["expires_in"], &login["refresh_token"]), (&json!(3600), &Value::Null));
    let token = login["access_token"].as_str().expect("a token");
    let claims = BASE64URL.decode(token.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!((&claims["via"], &claims["sub"]), (&json!(host.id), &login["user_id"]));
    assert_eq!(claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat"), 3600);

    let ana = Person::with(&login, host.address);
    let logins = ana.get("/v1/logins").await.expect(200);
    let listed = &logins["items"][0];
    assert_eq!(
        (&listed["id"], &listed["device"], &listed["current"]),
        (&login["login_id"], &json!("Web"), &json!(true))
    );
    ana.get(&user("7")).await.refuses(403, "missing_scope");
    let mut device = ana.connects().await;
    ana.delete(&format!("/v1/logins/{}", login["login_id"].as_str().expect("id"))).await.expect(204);
    assert_eq!(device.is_closed_with().await, 4503);
    ana.get("/v1/me").await.refuses(401, "login_revoked");

    let plain = host.send(reqwest::Method::POST, &tokens, None).await.expect(201);
    assert_eq!(plain["expires_in"], 600, "a request without a body has the defaults");
    let lasting = host.post(&tokens, json!({ "refresh": true, "expires_in": 60 })).await.expect(201);
    let refresh = json!({ "refresh_token": lasting["refresh_token"] });
    let next =
        ask(host.address, reqwest::Method::POST, "/v1/logins/refresh", Some(refresh)).await.expect(200);
    assert_eq!((&next["expires_in"], &next["login_id"]), (&json!(60), &lasting["login_id"]));
    for wrong in [59, 3601, 0] {
        let refused = host.post(&tokens, json!({ "expires_in": wrong })).await.refuses(400, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], "/expires_in");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_key_without_the_scope_is_refused_by_its_name() {
    let world = World::start().await;
    let host = program(&world, "shop", &["users:tokens", "conversations:write"]).await;
    let missing = |answer: crate::world::Answer, scope: &str| {
        let detail = answer.refuses(403, "missing_scope")["detail"].to_string();
        assert!(detail.contains(scope), "{detail}");
    };
    missing(host.put(&user("7"), json!({ "display_name": "Ana" })).await, "users:write");
    missing(host.get(&user("7")).await, "users:read");
    missing(host.get("/v1/provision/conversations/t").await, "conversations:read");
    let upsert = json!({ "upsert": { "display_name": "Ana" } });
    missing(host.post(&format!("{}/tokens", user("7")), upsert).await, "users:write");
    let mut team = group(&[("7", "member")]);
    team["create_users"] = true.into();
    missing(host.put("/v1/provision/conversations/t", team).await, "users:write");
    world.finish().await;
}

#[tokio::test]
async fn the_members_of_a_conversation_are_a_set() {
    let world = World::start().await;
    let host = host(&world).await;
    let path = "/v1/provision/conversations/team-1";
    for (id, name) in [("1", "Ana"), ("2", "Ben"), ("3", "Cem")] {
        host.put(&user(id), json!({ "display_name": name })).await.expect(201);
    }
    let first = group(&[("1", "admin"), ("2", "member")]);
    let made = host.put(path, first.clone()).await.expect(201);
    let id = made["id"].as_str().expect("id").to_owned();
    assert_eq!(made["result"], "created");
    let roles = |answer: &Value| -> BTreeMap<String, String> {
        let members = answer["members"].as_array().expect("members").iter();
        let text = |value: &Value| value.as_str().unwrap_or("the host").to_owned();
        members.map(|member| (text(&member["external_id"]), text(&member["role"]))).collect()
    };
    let of = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
        all.iter().map(|(id, role)| ((*id).to_owned(), (*role).to_owned())).collect()
    };
    assert_eq!(roles(&made), of(&[("1", "admin"), ("2", "member"), ("the host", "owner")]));
    let same = host.put(path, first.clone()).await.expect(200);
    assert_eq!((&same["result"], &same["position"]), (&json!("unchanged"), &made["position"]));

    let mut second = group(&[("2", "admin"), ("3", "member")]);
    second["title"] = "Team 1".into();
    let answers = join_all((0..8).map(|_| host.put(path, second.clone()))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let now = host.get(path).await.expect(200);
    assert_eq!(roles(&now), of(&[("2", "admin"), ("3", "member"), ("the host", "owner")]));
    assert_eq!((&now["title"], &now["id"]), (&json!("Team 1"), &json!(id)));
    assert_eq!(now.get("result"), None);
    let words: Vec<String> = roster_events(&world, &id)
        .await
        .iter()
        .map(|event| {
            assert_eq!(event["actor"], host.id.as_str());
            event["type"].as_str().expect("a type").to_owned()
        })
        .collect();
    let mut later = words[1..].to_vec();
    later.sort();
    assert_eq!(words[0], "verbatim.conversation.created.v1");
    let expected = ["conversation.updated", "member.added", "member.removed", "member.role_changed"];
    assert_eq!(later, expected.map(|word| format!("verbatim.{word}.v1")), "one event for each difference");

    let mut unknown = group(&[("2", "admin"), ("4", "member")]);
    let refused = host.put(path, unknown.clone()).await.refuses(400, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/members/1/external_id");
    unknown["create_users"] = true.into();
    let created = host.put(path, unknown).await.expect(200);
    assert_eq!(roles(&created), of(&[("2", "admin"), ("4", "member"), ("the host", "owner")]));
    assert_eq!(host.get(&user("4")).await.expect(200)["display_name"], "4");
    host.get("/v1/provision/conversations/team-2").await.refuses(404, "not_found");
    world.finish().await;
}

#[tokio::test]
async fn two_programs_do_not_share_a_conversation_unless_one_lets_the_other_in() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let host = operator.makes("shop", &SCOPES).await.person;
    let other = operator.makes("crm", &SCOPES).await.person;
    let path = "/v1/provision/conversations/team-1";
    host.put(&user("1"), json!({ "display_name": "Ana" })).await.expect(201);
    assert_eq!(
        other.put(&user("1"), json!({ "display_name": "Ana" })).await.expect(200)["result"],
        "unchanged"
    );
    let made = host.put(path, group(&[("1", "member")])).await.expect(201);
    let refused = other.put(path, group(&[])).await.refuses(409, "external_id_taken");
    assert!(!refused["detail"].as_str().expect("text").contains("kind"), "{refused}");
    other.get(path).await.refuses(404, "not_found");
    let direct = json!({ "kind": "direct", "members": [{ "external_id": "1" }] });
    let refused = host.put("/v1/provision/conversations/d", direct).await.refuses(400, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/members");
    host.put(&user("2"), json!({ "display_name": "Ben" })).await.expect(201);
    let direct = json!({ "kind": "direct", "members": [{ "external_id": "1" }, { "external_id": "2" }] });
    let talk = host.put("/v1/provision/conversations/d", direct.clone()).await.expect(201);
    assert_eq!(host.put("/v1/provision/conversations/d", direct.clone()).await.expect(200)["id"], talk["id"]);
    for (path, of_other_kind) in [(path, direct), ("/v1/provision/conversations/d", group(&[]))] {
        let refused = host.put(path, of_other_kind).await.refuses(409, "external_id_taken");
        let detail = refused["detail"].as_str().expect("text");
        assert!(detail.contains("which cannot change"), "{detail}");
    }
    let login = host.post(&format!("{}/tokens", user("1")), json!({})).await.expect(201);
    let ana = Person::with(&login, host.address);
    let to = Conversation { id: talk["id"].as_str().expect("id").to_owned(), position: 0 };
    ana.sends(&to, &key(), "hello").await.expect(201);
    let to = Conversation { id: made["id"].as_str().expect("id").to_owned(), position: 0 };
    ana.sends(&to, &key(), "hello").await.expect(201);
    world.finish().await;
}

#[tokio::test]
async fn a_request_that_was_cut_off_is_completed_by_the_next() {
    let mut world = World::start().await;
    world.add_node("api,gateway,projector").await;
    let host = host(&world).await;
    let path = "/v1/provision/conversations/all";
    host.put(path, group(&[])).await.expect(201);
    let ids: Vec<String> = (0..60).map(|n| format!("u{n}")).collect();
    let members: Vec<(&str, &str)> = ids.iter().map(|id| (&**id, "member")).collect();
    let mut wanted = group(&members);
    wanted["create_users"] = true.into();
    let asking = {
        let (host, wanted) = (host.clone(), wanted.clone());
        tokio::spawn(async move { host.put(path, wanted).await })
    };
    let other = host.at(world.nodes[1].address);
    eventually("some members are there", || async {
        let now = other.get(path).await;
        now.body["members"].as_array().is_some_and(|members| members.len() > 3)
    })
    .await;
    world.nodes[0].kill9().await;
    asking.abort();
    let done = other.put(path, wanted.clone()).await.expect(200);
    assert_eq!(done["members"].as_array().expect("members").len(), 61);
    assert_eq!(other.put(path, wanted).await.expect(200)["result"], "unchanged");
    let added = roster_events(&world, done["id"].as_str().expect("id")).await;
    assert_eq!(added.len(), 61, "each member was added once");
    world.finish().await;
}

#[tokio::test]
async fn the_example_of_a_host_application_brings_its_users_and_says_hello() {
    let world = World::start().await;
    let scopes = ["users:write", "users:tokens", "conversations:write"];
    let host = program(&world, "shop", &scopes).await;
    let mut said = Vec::new();
    for _ in 0..2 {
        let mut example = python("../../examples/host.py", &[]).await;
        example.env("VERBATIM_URL", format!("http://{}", host.address)).env("VERBATIM_KEY", &host.token);
        example.envs([("NO_PROXY", "*"), ("no_proxy", "*")]);
        said.push(output_of(example, "").await);
    }
    assert_eq!(said[0], "user 7 created\nuser 8 created\nconversation team-1 created\nack 2\n");
    assert_eq!(said[1], "user 7 unchanged\nuser 8 unchanged\nconversation team-1 unchanged\nack 2\n");
    let ana: String =
        world.database.finds("select account_id::text from auth.external_id where external_id = '7'").await;
    eventually("all audit events are in their stream", || async {
        world.database.finds::<i64>("select count(*) from auth.audit").await == 0
    })
    .await;
    assert_eq!(audited(&world, &ana).await, 1, "the second request makes no audit event");
    world.finish().await;
}
