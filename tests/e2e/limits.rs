//! Rate limits: what clients see of them, and how nodes share them.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use sfv::{BareItem, ListEntry, Parser};
use verbatim::dev::NatsUser;

use crate::world::{Answer, Backbone as _, Conversation, Person, World, ask, eventually, key};

const ALL: &str = "api,gateway,projector";
/// A limit so slow that no budget refills during a story.
const SEND_3: (&str, &str) = ("VERBATIM_LIMIT_SEND", "3/3000:3");

/// A node with these limits, and all others off.
async fn world_with(settings: &[(&str, &str)]) -> World {
    let mut world = World::empty(1).await;
    world.add_node_with(ALL, settings).await;
    world
}

/// The integers of a policy in a header, parsed by a library for structured fields.
pub fn said(answer: &Answer, header: &str, policy: &str) -> Option<Vec<(String, i64)>> {
    let text = answer.headers.get(header)?.to_str().expect("text");
    let list: sfv::List = Parser::new(text).parse().expect("a list of RFC 9651");
    let item = list.iter().find_map(|entry| match entry {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(name) if name.as_str() == policy => Some(item),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    })?;
    let number = |value: &BareItem| match value {
        BareItem::Integer(number) => i64::from(*number),
        other => panic!("not an integer: {other:?}"),
    };
    Some(item.params.iter().map(|(name, value)| (name.as_str().to_owned(), number(value))).collect())
}

/// The remaining quota of a policy.
pub fn left(answer: &Answer, policy: &str) -> i64 {
    let said =
        said(answer, "ratelimit", policy).unwrap_or_else(|| panic!("no {policy}: {:?}", answer.headers));
    said.iter().find(|(name, _)| name == "r").expect("what is left").1
}

fn time(answer: &Answer, policy: &str) -> i64 {
    let said = said(answer, "ratelimit", policy).expect("the policy");
    said.iter().find(|(name, _)| name == "t").expect("the time").1
}

pub fn retry_after(answer: &Answer) -> u64 {
    answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds")
}

#[tokio::test]
async fn sends_are_counted_down_and_refused_in_the_words_of_the_draft() {
    let world = world_with(&[SEND_3, ("VERBATIM_LIMIT_CONVERSATION", "1200/60:200")]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    for expected in [2, 1, 0] {
        let answer = ana.sends(&lunch, &key(), "Pizza?").await;
        assert_eq!((answer.status.as_u16(), left(&answer, "send")), (201, expected));
        let policy = said(&answer, "ratelimit-policy", "send").expect("the policy");
        assert_eq!(policy, [("q".to_owned(), 3), ("w".to_owned(), 3000)]);
        assert!(said(&answer, "ratelimit-policy", "conversation").is_some());
        assert!((1..=1000).contains(&time(&answer, "send")));
    }
    let refused = ana.sends(&lunch, &key(), "Pizza?").await;
    assert_eq!(left(&refused, "send"), 0);
    assert!(retry_after(&refused) as i64 >= time(&refused, "send"));
    let body = refused.refuses(429, "rate_limited");
    assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(body["violated-policies"], json!(["send"]));
    let page = ana.get(&format!("/v1/conversations/{}/messages", lunch.id)).await.expect(200);
    assert!(page["items"].as_array().is_some_and(|items| items.len() <= 3), "a refused send has no effect");
    assert_eq!(world.nodes[0].metric("verbatim_rate_limited_total{policy=\"send\"}").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn after_the_told_time_there_is_one_unit_more() {
    let world = world_with(&[("VERBATIM_LIMIT_SEND", "1/2:1")]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let refused = loop {
        let answer = ana.sends(&lunch, &key(), "Pizza?").await;
        if answer.status != 201 {
            break answer;
        }
    };
    tokio::time::sleep(Duration::from_secs(retry_after(&refused))).await;
    ana.says(&lunch, "Pizza!").await;
    world.finish().await;
}

#[tokio::test]
async fn what_does_not_happen_costs_the_user_and_not_the_send() {
    let limits = [
        ("VERBATIM_LIMIT_SEND", "4/4000:4"),
        ("VERBATIM_LIMIT_CONVERSATION", "9/9000:9"),
        ("VERBATIM_LIMIT_USER", "1100/110000:1100"),
    ];
    let world = world_with(&limits).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let first = ana.sends(&lunch, "the-first-message", "Pizza?").await;
    assert_eq!(left(&first, "send"), 3);
    let first = first.expect(201);
    let messages = format!("/v1/conversations/{}/messages", lunch.id);
    let thumb = format!("{messages}/{}/reactions/%F0%9F%91%8D", first["id"].as_str().expect("an id"));
    for _ in 0..5 {
        let answer = ana.put(&thumb, json!({})).await;
        assert_eq!((left(&answer, "send"), left(&answer, "conversation")), (2, 7), "the first one counts");
        answer.reached();
    }
    for _ in 0..3 {
        let to_nothing = json!({ "client_id": key(), "text": "Yes", "reply_to": lunch.id });
        for answer in [
            ana.post(&messages, to_nothing).await,
            ana.patch(&format!("{messages}/{}", lunch.id), json!({ "text": "No" })).await,
        ] {
            assert_eq!((left(&answer, "send"), left(&answer, "conversation")), (2, 7), "{answer:?}");
        }
    }
    let mut before = i64::MAX;
    for _ in 0..1_000 {
        let again = ana.sends(&lunch, "the-first-message", "Pizza?").await;
        let user = left(&again, "user");
        assert!(user < before, "{user} after {before}");
        before = user;
        assert_eq!(again.expect(201), first);
    }
    let second = ana.sends(&lunch, &key(), "Pizza!").await;
    assert_eq!((second.status.as_u16(), left(&second, "send")), (201, 1));
    world.finish().await;
}

#[tokio::test]
async fn a_stranger_never_uses_up_the_budget_of_a_conversation() {
    let world = world_with(&[("VERBATIM_LIMIT_CONVERSATION", "2/3000:2"), SEND_3]).await;
    let (ana, eve) = (world.person("ana").await, world.person("eve").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    for _ in 0..10 {
        eve.sends(&lunch, &key(), "Spam!").await.refuses(404, "not_found");
    }
    let answer = ana.sends(&lunch, &key(), "Pizza?").await;
    assert_eq!((left(&answer, "conversation"), left(&answer, "send")), (1, 2));
    let of_eve = eve.starts_group("Supper", &[]).await;
    assert_eq!(left(&eve.sends(&of_eve, &key(), "Soup?").await, "send"), 2);
    ana.says(&lunch, "Pizza!").await;
    let refused = ana.sends(&lunch, &key(), "Pizza?").await;
    assert_eq!(left(&refused, "send"), 1, "what is refused for the conversation costs no send");
    assert_eq!(refused.refuses(429, "rate_limited")["violated-policies"], json!(["conversation"]));
    world.finish().await;
}

#[tokio::test]
async fn two_people_behind_one_address_are_not_throttled_by_strangers_there() {
    let world = world_with(&[("VERBATIM_LIMIT_ADDRESS", "10/30000:10")]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let at = world.nodes[0].address;
    let mut asked = 0;
    let refused = loop {
        let answer = ask(at, Method::GET, "/v1/info", None).await;
        asked += 1;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(asked, 7, "two registrations and two logins were the first four");
    assert_eq!(refused.refuses(429, "rate_limited")["violated-policies"], json!(["address"]));
    ask(at, Method::GET, "/v1/me", None).await.refuses(429, "rate_limited");
    // The address also pays for a guessed API key in a frame.
    let mut device = ana.connects().await;
    let guessed = "vbk_AAAAAAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_3btYEh";
    device.tells(json!({ "op": "authenticate", "id": "guesses", "token": guessed })).await;
    let refused = device.gets("error").await;
    assert_eq!(
        (&refused["code"], &refused["policy"], &refused["id"]),
        (&json!("rate_limited"), &json!("address"), &json!("guesses"))
    );
    assert!(refused["retry_after_ms"].as_u64() > Some(1_000), "{refused}");
    device.leaves().await;
    let mut nobody = ana.clone();
    nobody.token = "nobody".into();
    nobody.get("/v1/me").await.refuses(429, "rate_limited");
    // Where no token is checked, any text for one spares nothing.
    for path in [
        "/v1/info",
        "/v1/me?x=1",
        "/v1/nothing",
        "/.well-known/jwks.json",
        "/schemas/nothing.json",
        "/nothing",
    ] {
        nobody.get(path).await.refuses(429, "rate_limited");
    }
    let refresh = json!({ "refresh_token": ana.refresh_token });
    nobody.post("/v1/logins/refresh", refresh).await.refuses(429, "rate_limited");
    let encoded = nobody.with_header("content-encoding", "gzip");
    encoded.post("/v1/conversations", json!({})).await.refuses(429, "rate_limited");
    let unknown = Method::from_bytes(b"FOO").expect("the letters of a method");
    nobody.send(unknown, "/v1/me", None).await.refuses(429, "rate_limited");
    for _ in 0..20 {
        ana.get("/v1/me").await.expect(200);
        ben.get("/v1/me").await.expect(200);
        ben.get("/v1/me?x=1").await.refuses(400, "invalid_parameter");
    }

    // Without a valid token, the address pays for a log out, also if it succeeds, and the user pays nothing.
    ben.delete("/v1/logins/current").await.expect(204);
    ben.delete("/v1/logins/current").await.refuses(429, "rate_limited");
    world.finish().await;
}

#[tokio::test]
async fn frames_have_the_same_budget_as_requests_and_a_client_that_never_waits_is_closed() {
    let world = world_with(&[SEND_3]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    ana.says(&lunch, "By REST").await;
    let mut device = ana.connects().await;
    device.says(&lunch, "By frame").await;
    device.says(&lunch, "By frame").await;
    let send = |n: u32| json!({ "op": "send", "id": n.to_string(), "conversation_id": lunch.id, "client_id": key(), "text": "Spam" });
    device.tells(send(0)).await;
    let refused = device.gets("error").await;
    assert_eq!(
        (&refused["code"], &refused["policy"], &refused["id"]),
        (&json!("rate_limited"), &json!("send"), &json!("0"))
    );
    let wait = refused["retry_after_ms"].as_u64().expect("a time");
    assert!((1..=1_000_001).contains(&wait), "{wait}");
    for n in 1..=20 {
        device.tells(send(n)).await;
    }
    let closed = device.gets("closed").await;
    assert_eq!(closed["code"], 4408);
    let reason = closed["reason"].as_str().expect("a reason");
    let after = reason.strip_prefix("rate_limited;retry_after_ms=").expect("the word and the time");
    assert!(after.parse::<u64>().is_ok(), "{reason}");
    let refused = device.seen.iter().filter(|frame| frame["code"] == "rate_limited").count();
    assert_eq!(refused, 21);
    assert!(!device.seen.iter().any(|frame| frame["data"]["text"] == "Spam"));
    ana.sends(&lunch, &key(), "By REST").await.refuses(429, "rate_limited");
    world.finish().await;
}

#[tokio::test]
async fn other_things_have_budgets_of_their_own() {
    let limits = [
        ("VERBATIM_LIMIT_START", "2/3000:2"),
        ("VERBATIM_LIMIT_MEMBERS", "3/3000:3"),
        ("VERBATIM_LIMIT_SEARCH", "1/3000:1"),
        ("VERBATIM_LIMIT_CONNECT", "1/3000:1"),
        ("VERBATIM_LIMIT_FRAMES", "2/3000:2"),
    ];
    let world = world_with(&limits).await;
    let (ana, ben, cid) = (world.person("ana").await, world.person("ben").await, world.person("cid").await);
    let violated = |answer: Answer| answer.refuses(429, "rate_limited")["violated-policies"][0].clone();
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let with_ben = ana.starts_direct(&ben).await.expect(201);
    assert_eq!(violated(ana.starts_direct(&cid).await), "start");
    assert_eq!(ana.starts_direct(&ben).await.expect(200)["id"], with_ben["id"], "what is there is found");
    ana.invites(&lunch, &cid).await.expect(201);
    ana.removes(&lunch, &cid).await.reached();
    assert_eq!(violated(ana.invites(&lunch, &cid).await), "members");
    ana.get("/v1/messages?query=pizza").await.expect(200);
    assert_eq!(violated(ana.get("/v1/messages?query=pizza").await), "search");
    let past = format!("/v1/conversations/{}/messages?as_of=1", lunch.id);
    assert_eq!(violated(ana.get(&past).await), "search");
    let mut device = ana.connects().await;
    assert_eq!(crate::world::open(ana.address, Some(&ana.token)).await.err(), Some(429));
    for id in ["1", "2", "3"] {
        device.tells(json!({ "op": "ping", "id": id })).await;
    }
    let refused = device.gets("error").await;
    assert_eq!((&refused["policy"], &refused["id"]), (&json!("frames"), &json!("3")));
    world.finish().await;
}

#[tokio::test]
async fn what_is_in_force_is_told_and_can_be_off_and_nonsense_is_refused() {
    let world = world_with(&[SEND_3]).await;
    let info = ask(world.nodes[0].address, Method::GET, "/v1/info", None).await.expect(200);
    let rate = info["limits"]["rate"].as_array().expect("a list");
    let send = json!({ "policy": "send", "key": "account", "q": 3, "w": 3000, "burst": 3 });
    assert!(rate.contains(&send), "{rate:?}");
    assert!(!rate.iter().any(|limit| limit["policy"] == "search"), "it is off: {rate:?}");
    for (setting, value, why) in [
        ("--limit-send", "0", "off"),
        ("--limit-send", "many", "QUOTA/SECONDS"),
        ("--limit-send", "1/0", "off"),
        ("--limit-login", "off", "write a high limit"),
    ] {
        let ran = world.runs(&["serve", setting, value]).await;
        assert_ne!(ran.code, Some(0));
        assert!(ran.stderr.contains(setting) && ran.stderr.contains(why), "{}", ran.stderr);
    }
    let login = rate.iter().find(|limit| limit["policy"] == "login").expect("it is never off");
    assert_eq!(login["key"], "address group");
    world.finish().await;
}

#[tokio::test]
async fn a_node_without_nats_goes_on_with_its_own_budgets() {
    let mut world = World::empty(1).await;
    let limits = [("VERBATIM_LIMIT_USER", "8/80000:8")];
    let way = world.add_node_behind_a_way_with(ALL, &limits).await;
    let ana = world.person("ana").await;
    way.block();
    for expected in (0..8).rev() {
        let answer = ana.get("/v1/me").await;
        assert_eq!(left(&answer, "user"), expected);
        answer.expect(200);
    }
    ana.get("/v1/me").await.refuses(429, "rate_limited");
    way.clear();
    world.nodes[0].is_ready().await;
    world.finish().await;
}

#[tokio::test]
async fn what_one_node_admits_the_other_counts_and_nonsense_harms_nobody() {
    let limits = [("VERBATIM_LIMIT_USER", "1000/1000000:1000")];
    let mut world = world_with(&limits).await;
    world.add_node_with(ALL, &limits).await;
    let ana = world.person("ana").await;
    let client = world.nats.client(NatsUser::Verbatim).await;
    for nonsense in ["", "{}", "nonsense of some length"] {
        client.publish("verbatim.limits", nonsense.into()).await.expect("told");
    }
    client.flush().await.expect("told");
    let ignored = "verbatim_limits_gossip_ignored_total ";
    eventually("the nonsense is counted", || async { world.nodes[1].metric(ignored).await == 3 }).await;
    for _ in 0..600 {
        ana.get("/v1/me").await.expect(200);
    }
    let there = ana.at(world.nodes[1].address);
    let asked = std::sync::atomic::AtomicI64::new(0);
    eventually("the other node has counted all of them", || async {
        let answer = there.get("/v1/me").await;
        let asked = 1 + asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        left(&answer, "user") + asked == 400
    })
    .await;
    assert_eq!(world.nodes[1].metric(ignored).await, 3);

    // A login that has ended costs its user nothing, although it may log out again.
    let phone = Person::logs_in(there.address, &ana.name, &ana.id).await;
    phone.delete("/v1/logins/current").await.expect(204);
    let before = left(&there.get("/v1/me").await, "user");
    for _ in 0..5 {
        phone.delete("/v1/logins/current").await.expect(204);
    }
    assert_eq!(left(&there.get("/v1/me").await, "user"), before - 1);
    world.finish().await;
}

/// The number of admitted sends in some time. Many clients offer them to all nodes in turn.
async fn offered(nodes: &[Person], to: &Conversation, time: Duration) -> u64 {
    let begin = Instant::now();
    let each = (0..12).map(|worker| {
        let (nodes, to) = (nodes.to_vec(), to.clone());
        tokio::spawn(async move {
            let mut passed = 0;
            for turn in worker.. {
                if begin.elapsed() >= time {
                    break;
                }
                let answer = nodes[turn % nodes.len()].sends(&to, &key(), "Spam").await;
                match answer.status.as_u16() {
                    201 => passed += 1,
                    _ => drop::<Value>(answer.refuses(429, "rate_limited")),
                }
            }
            passed
        })
    });
    let mut passed = 0;
    for worker in each.collect::<Vec<_>>() {
        passed += worker.await.expect("a worker");
    }
    passed
}

/// `VERBATIM_LIMITS_SECONDS=600` makes it last the ten minutes of the contract.
#[tokio::test]
async fn three_nodes_admit_together_what_one_would() {
    let seconds =
        std::env::var("VERBATIM_LIMITS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let limits = [("VERBATIM_LIMIT_SEND", "300/60:30")];
    let mut world = world_with(&limits).await;
    world.add_node_with(ALL, &limits).await;
    world.add_node_with(ALL, &limits).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let nodes: Vec<Person> = world.nodes.iter().map(|node| ana.at(node.address)).collect();
    let begin = Instant::now();
    let passed = offered(&nodes, &lunch, Duration::from_secs(seconds)).await;
    let most = 5.0 * begin.elapsed().as_secs_f64() * 1.01 + 90.0;
    let least = 5.0 * seconds as f64 * 0.99;
    println!("{passed} of {least} to {most}");
    assert!((least..=most).contains(&(passed as f64)), "{passed} of {least} to {most}");
    world.finish().await;
}
