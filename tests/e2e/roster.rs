//! People join, leave and are removed.

use futures_util::future::join_all;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use verbatim::{
    domain::ClientId,
    log::{Draft, Log, Wanted},
    supervise::Supervisor,
};

use crate::world::{Answer, Person, World, a_message, assert_linked, drafted, eventually, key};

#[tokio::test]
async fn fifty_invitations_and_removals_at_once_lose_nothing_and_break_no_rule() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let people = join_all((0..10).map(|_| world.person("guest"))).await;
    let (stay, go) = people.split_at(5);
    let party = ana.starts_group("Party", &go.iter().collect::<Vec<_>>()).await;
    let mut device = ana.connects().await;

    let invitations = (0..5).flat_map(|_| stay).map(|person| ana.invites(&party, person));
    let removals = (0..5).flat_map(|_| go).map(|person| ana.removes(&party, person));
    let (invited, removed) = tokio::join!(join_all(invitations), join_all(removals));
    assert_eq!(invited.iter().filter(|answer| answer.status == 201).count(), 5);
    assert!(invited.iter().all(|answer| answer.status == 201 || answer.status == 200));
    assert!(removed.iter().all(|answer| answer.status == 204));

    let last = ana.says(&party, "who is here?").await["position"].as_u64().expect("position");
    device.sees("who is here?").await;
    let chain = device.chain(&party);
    assert_linked(&chain);
    assert_eq!(chain.len(), 5 + 5 + 1, "each change happened once");
    let members =
        ana.get(&format!("/v1/conversations/{}/members?min_position={last}", party.id)).await.expect(200);
    let mut here: Vec<&str> = members["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|m| m["user_id"].as_str().expect("id"))
        .collect();
    let mut wanted: Vec<&str> = stay.iter().map(|person| &*person.id).chain([&*ana.id]).collect();
    here.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(here, wanted);
    world.finish().await;
}

#[tokio::test]
async fn who_is_put_out_hears_not_one_event_more() {
    let world = World::start().await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let lunch = ana.starts_group("Lunch", &[&ben, &cleo]).await;
    let (mut of_ben, mut of_cleo) = (ben.connects().await, cleo.connects().await);
    ana.says(&lunch, "before").await;
    ana.removes(&lunch, &ben).await.expect(204);
    ana.says(&lunch, "secret").await;
    of_cleo.sees("secret").await;
    let removal = of_ben.gets_event("member.removed").await;
    assert_eq!(removal["data"]["user_id"], ben.id.as_str());
    of_ben.catches_up().await;
    assert_eq!(of_ben.seen.last().expect("frames")["op"], "pong");
    assert!(of_ben.seen.iter().all(|frame| frame["data"]["text"] != "secret"));
    ben.sends(&lunch, &key(), "hello?").await.refuses(404, "not_found");
    ben.get(&format!("/v1/conversations/{}/messages", lunch.id)).await.refuses(404, "not_found");

    ana.invites(&lunch, &ben).await.expect(201);
    of_ben.gets_event("member.added").await;
    ana.says(&lunch, "welcome back").await;
    of_ben.sees("welcome back").await;
    world.finish().await;
}

#[tokio::test]
async fn roles_decide_who_may_do_what() {
    let world = World::start().await;
    let (ana, ben, cleo, dan) = (
        world.person("ana").await,
        world.person("ben").await,
        world.person("cleo").await,
        world.person("dan").await,
    );
    let work = ana.starts_group("Work", &[&ben, &cleo]).await;
    let base = format!("/v1/conversations/{}", work.id);
    ben.invites(&work, &dan).await.refuses(403, "forbidden");
    ben.patch(&base, json!({ "title": "Play" })).await.refuses(403, "forbidden");
    ana.patch(&format!("{base}/members/{}", ben.id), json!({ "role": "admin" })).await.expect(200);
    ben.invites(&work, &dan).await.expect(201);
    ben.removes(&work, &ana).await.refuses(403, "forbidden");
    ben.patch(&base, json!({ "title": "Play" })).await.expect(200);
    assert_eq!(cleo.get(&base).await.expect(200)["title"], "Play");

    ana.removes(&work, &ana).await.refuses(409, "last_owner");
    ana.patch(&format!("{base}/members/{}", ana.id), json!({ "role": "member" }))
        .await
        .refuses(409, "last_owner");
    ana.patch(&format!("{base}/members/{}", ben.id), json!({ "role": "owner" })).await.expect(200);
    ana.removes(&work, &ana).await.expect(204);
    ana.get(&base).await.refuses(404, "not_found");

    let talk = ben.starts_direct(&cleo).await.expect(201);
    let talk = crate::world::Conversation::from(talk);
    ben.invites(&talk, &dan).await.refuses(409, "direct_conversation");
    ben.removes(&talk, &ben).await.refuses(409, "direct_conversation");
    world.finish().await;
}

/// The answers of retries are the same for ever and at every node, whatever has become of the roster since.
#[tokio::test]
async fn a_key_counts_for_changes_of_a_group_and_its_members_too() {
    let mut world = World::start().await;
    world.add_node("api").await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let dan = world.person("dan").await;
    let lunch = ana.starts_group("Lunch", &[&ben, &cleo]).await;
    let base = format!("/v1/conversations/{}", lunch.id);
    let role = |of: &Person| format!("{base}/members/{}", of.id);
    let keyed = |key: &str| ana.with_key(key);
    let (admin, dinner) = (json!({ "role": "admin" }), json!({ "title": "Dinner", "history": "full" }));

    let out = keyed("out-with-ben").removes(&lunch, &ben).await.reached();
    assert_eq!(keyed("out-with-ben").removes(&lunch, &ben).await.reached(), out, "at once");
    ana.invites(&lunch, &ben).await.expect(201);
    let into = keyed("in-with-dan").invites(&lunch, &dan).await.expect(201);
    assert_eq!(keyed("in-with-dan").invites(&lunch, &dan).await.expect(201), into, "at once");
    let up = keyed("up-with-cleo").patch(&role(&cleo), admin.clone()).await.expect(200);
    ana.patch(&role(&cleo), json!({ "role": "member" })).await.expect(200);
    ana.patch(&role(&dan), admin.clone()).await.expect(200);
    let named = keyed("for-dinner").patch(&base, dinner.clone()).await.expect(200);
    assert_eq!(named["title"], "Dinner");
    ana.patch(&base, json!({ "title": "Supper" })).await.expect(200);
    let bye = cleo.with_key("bye-for-now").removes(&lunch, &cleo).await.reached();
    let said = ana.sends(&lunch, "a-mere-message", "hi").await.expect(201);
    let mut device = dan.connects().await;

    for forgets in [false, true] {
        if forgets {
            world.the_log_forgets_keys().await;
        }
        for address in [world.nodes[0].address, world.nodes[1].address] {
            let keyed = |key: &str| ana.at(address).with_key(key);
            assert_eq!(keyed("out-with-ben").removes(&lunch, &ben).await.reached(), out);
            assert_eq!(keyed("in-with-dan").invites(&lunch, &dan).await.expect(201), into);
            assert_eq!(keyed("up-with-cleo").patch(&role(&cleo), admin.clone()).await.expect(200), up);
            let again = keyed("for-dinner").patch(&base, dinner.clone()).await.expect(200);
            assert_eq!((&again["title"], &again["role"]), (&named["title"], &named["role"]));
            let cleo = cleo.at(address);
            assert_eq!(cleo.with_key("bye-for-now").removes(&lunch, &cleo).await.reached(), bye);
            if !forgets {
                cleo.removes(&lunch, &cleo).await.refuses(404, "not_found");
                cleo.with_key("another-key").removes(&lunch, &cleo).await.refuses(404, "not_found");
                cleo.with_key("bye-for-now").removes(&lunch, &ben).await.refuses(404, "not_found");
            }

            let mismatch = (409, "idempotency_mismatch");
            for other in [
                keyed("out-with-ben").removes(&lunch, &dan).await,
                keyed("out-with-ben").invites(&lunch, &ben).await,
                keyed("in-with-dan")
                    .post(&format!("{base}/members"), json!({ "user_id": dan.id, "role": "admin" }))
                    .await,
                keyed("up-with-cleo").patch(&role(&cleo), json!({ "role": "owner" })).await,
                keyed("for-dinner").patch(&base, json!({ "title": "Supper" })).await,
                keyed("for-dinner").patch(&base, json!({ "history": "full" })).await,
                keyed("for-dinner").patch(&base, json!({ "title": "Dinner", "history": "since_join" })).await,
                keyed("a-mere-message").removes(&lunch, &dan).await,
                ana.at(address).sends(&lunch, "out-with-ben", "hi").await,
            ] {
                other.refuses(mismatch.0, mismatch.1);
            }
            assert_eq!(ana.at(address).sends(&lunch, "a-mere-message", "hi").await.expect(201), said);
        }
        if !forgets {
            ana.invites(&lunch, &cleo).await.expect(201);
        }
    }
    keyed("short").removes(&lunch, &ben).await.refuses(400, "invalid_parameter");
    let eve = world.person("eve").await;
    eve.with_key("bye-for-now").removes(&lunch, &eve).await.refuses(404, "not_found");

    // Two attempts at once, at two nodes.
    for round in 0..5 {
        let same = format!("a-race-{round}");
        let (here, there) = (ana.with_key(&same), ana.at(world.nodes[1].address).with_key(&same));
        let (one, other) = tokio::join!(here.invites(&lunch, &eve), there.invites(&lunch, &eve));
        assert_eq!(one.expect(201), other.expect(201));
        ana.removes(&lunch, &eve).await.expect(204);
    }

    // Many attempts to leave at once: most of them find no member any more.
    for round in 0..5 {
        let same = format!("leaving-{round}");
        ana.invites(&lunch, &eve).await.expect(201);
        let attempts: Vec<Person> =
            (0..20).map(|n| eve.at(world.nodes[n % 2].address).with_key(&same)).collect();
        let left = join_all(attempts.iter().map(|attempt| attempt.removes(&lunch, &eve))).await;
        let left: Vec<u64> = left.into_iter().map(Answer::reached).collect();
        assert!(left.iter().all(|position| *position == left[0]), "{left:?}");
    }

    // While the views do not tell of keys, nobody learns for good that there is nothing to leave.
    let gone = eve.with_key("leaving-4");
    let left = gone.removes(&lunch, &eve).await.reached();
    let fay = world.person("fay").await.with_key("leaving-4");
    let mut holder = PgConnection::connect(&world.database.url).await.expect("Postgres");
    let mut locked = holder.begin().await.expect("a transaction");
    sqlx::raw_sql("lock table view.key in access exclusive mode")
        .execute(&mut *locked)
        .await
        .expect("a lock");
    for _ in 0..2 {
        gone.removes(&lunch, &eve).await.refuses(503, "unavailable");
        fay.removes(&lunch, &fay).await.refuses(503, "unavailable");
    }
    locked.rollback().await.expect("unlocked");
    eventually("the views tell of keys again", || async {
        let again = gone.removes(&lunch, &eve).await;
        again.status == 204 && again.reached() == left
    })
    .await;
    fay.removes(&lunch, &fay).await.refuses(404, "not_found");
    ana.says(&lunch, "the end").await;
    device.sees("the end").await;
    let changes = device.seen.iter().filter(|frame| {
        frame["op"] == "event" && frame["type"].as_str().is_some_and(|kind| kind != "message.sent")
    });
    assert_eq!(
        changes.count(),
        1 + 5 * 2 + 5 * 2,
        "cleo is back, and eve came and went: no retry has changed anything"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_send_that_races_with_a_removal_is_before_it_or_void() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    let mut device = ana.connects().await;
    for round in 0..20 {
        ana.invites(&lunch, &ben).await.expect(201);
        let sends = join_all((0..5).map(|n| {
            let (ben, lunch) = (ben.clone(), lunch.clone());
            async move { ben.sends(&lunch, &key(), &format!("{round} {n}")).await }
        }));
        let (answers, removed) = tokio::join!(sends, ana.removes(&lunch, &ben));
        removed.expect(204);
        assert!(answers.iter().all(|answer| answer.status == 201 || answer.status == 404));
    }
    let last = ana.says(&lunch, "the end").await["position"].as_u64().expect("position");
    device.sees("the end").await;
    assert_linked(&device.chain(&lunch));
    let mut is_in = false;
    for frame in device.seen.iter().filter(|frame| frame["op"] == "event") {
        match frame["type"].as_str() {
            Some("member.added") => is_in = true,
            Some("member.removed") => is_in = false,
            _ => assert!(frame["actor"] != ben.id.as_str() || is_in, "an event of nobody: {frame}"),
        }
    }
    let shown = device.seen.iter().filter(|frame| frame["type"] == "message.sent").count();
    let path = format!("/v1/conversations/{}/messages?limit=200&min_position={last}", lunch.id);
    let stored = ana.get(&path).await.expect(200)["items"].as_array().expect("items").len();
    assert_eq!(stored, shown, "REST and socket agree on what counts");
    world.finish().await;
}

/// In a race, a message can be stored after the removal of its sender. It is acknowledged and void.
#[tokio::test]
async fn a_retry_of_what_is_void_gets_the_first_answer_for_ever() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    let log = Log::open(world.nats.url(), Wanted::default(), &Supervisor::new()).await.expect("the log");
    let client_id = ClientId::try_from(key()).expect("a key");
    let too_late = a_message(client_id.as_str(), "too late");
    let draft = Draft { key: Some(client_id.clone()), ..drafted(&lunch, &ben, too_late) };
    let void = log.append(&draft).await.expect("stored").position.0;
    ana.invites(&lunch, &ben).await.expect(201);
    let head = ana.says(&lunch, "welcome").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&lunch, head).await, ["welcome"]);
    world.the_log_forgets_keys().await;
    let again = ben.sends(&lunch, client_id.as_str(), "too late").await.expect(201);
    assert_eq!(again["position"], void, "{again}");
    ben.sends(&lunch, client_id.as_str(), "another text").await.refuses(409, "idempotency_mismatch");
    assert_eq!(ana.history(&lunch, head).await, ["welcome"]);
    world.finish().await;
}
