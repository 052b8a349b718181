//! People and programs that follow events without a socket.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use reqwest::header::HeaderValue;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    time::{sleep, timeout},
};

use crate::world::{PATIENCE, Person, World, clients::node, eventually, position};

#[tokio::test]
async fn a_program_follows_by_page_from_any_cursor() {
    let world = World::with_streams(4).await;
    let (ana, ben, eve) = (world.person("ana").await, world.person("ben").await, world.person("eve").await);
    let begin = ben.get("/v1/events").await.expect(200);
    assert_eq!(begin["items"].as_array().expect("items").len(), 0);
    let of_socket = ben.connects().await.cursor();
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let work = ana.starts_group("Work", &[&ben]).await;
    for n in 0..20 {
        ana.says(if n % 2 == 0 { &lunch } else { &work }, &format!("{n}")).await;
    }
    for start in [begin["next_cursor"].as_str().expect("cursor"), &of_socket] {
        let mut cursor = start.to_owned();
        let mut last = std::collections::HashMap::from([(lunch.id.clone(), 0), (work.id.clone(), 0)]);
        let mut count = 0;
        loop {
            let page = ben.get(&format!("/v1/events?limit=7&after={cursor}")).await.expect(200);
            page["next_cursor"].as_str().expect("cursor").clone_into(&mut cursor);
            let items = page["items"].as_array().expect("items");
            if items.is_empty() {
                break;
            }
            assert!(items.len() <= 7);
            for event in items {
                let chain =
                    last.get_mut(event["conversation_id"].as_str().expect("id")).expect("of these two");
                assert_eq!(event["previous"], *chain);
                *chain = position(event);
                count += 1;
            }
        }
        assert_eq!(count, 22);
        let mut device = ben.resumes(&cursor).await;
        device.gets("caught_up").await;
        assert!(
            device.chain(&lunch).is_empty() && device.chain(&work).is_empty(),
            "a socket goes on from it too"
        );
    }
    eve.get(&format!("/v1/events?after={of_socket}")).await.refuses_cursor("cursor_of_another_user");
    ben.get("/v1/events?after=nonsense").await.refuses_cursor("cursor_unreadable");
    ben.get("/v1/events?wait=61").await.expect(400);
    world.finish().await;
}

#[tokio::test]
async fn an_answer_is_put_off_until_there_is_something() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let begin = ben.get("/v1/events").await.expect(200);
    let path = format!("/v1/events?wait=60&after={}", begin["next_cursor"].as_str().expect("cursor"));
    let (page, _) = tokio::join!(ben.get(&path), ana.says(&lunch, "at last"));
    let page = page.expect(200);
    assert_eq!(page["items"][0]["data"]["text"], "at last");
    world.finish().await;
}

/// Opens a stream of a person's events.
pub async fn stream_of(who: &Person, path: &str, headers: &[(&str, &str)]) -> Stream {
    let mut request = reqwest::Client::new().get(format!("http://{}{path}", who.address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.bearer_auth(&who.token).header("Accept", EVENTS).send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &HeaderValue::from_static(EVENTS))
    );
    Stream { chunks: answer.bytes_stream().boxed(), text: String::new() }
}

const EVENTS: &str = "text/event-stream";

/// A stream of events.
pub struct Stream {
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
    text: String,
}

/// One event of a stream.
#[derive(Debug)]
struct Told {
    kind: Option<String>,
    id: Option<String>,
    data: String,
}

impl Stream {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Told> {
        let (block, rest) = loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                break (block.to_owned(), rest.to_owned());
            }
            let chunk = timeout(PATIENCE, self.chunks.next()).await.expect("something comes in time")?;
            self.text.push_str(std::str::from_utf8(&chunk.expect("bytes")).expect("UTF-8"));
        };
        self.text = rest;
        let field = |name: &str| {
            let value = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim_start().to_owned())
        };
        Some(Told { kind: field("event"), id: field("id"), data: field("data").unwrap_or_default() })
    }

    /// The next event of the log, and the id after it.
    pub async fn happens(&mut self) -> (Value, String) {
        loop {
            let told = self.next().await.expect("it goes on");
            match told.kind.as_deref() {
                None => return (serde_json::from_str(&told.data).expect("JSON"), told.id.expect("an id")),
                Some(kind) => assert_eq!(kind, "cursor", "{told:?}"),
            }
        }
    }

    /// The reason why it ends. Fails if an event comes before.
    pub async fn ends(&mut self) -> String {
        loop {
            let told = self.next().await.expect("it says why");
            if told.kind.as_deref() == Some("end") {
                assert!(self.next().await.is_none(), "it has ended");
                let why: Value = serde_json::from_str(&told.data).expect("JSON");
                return why["code"].as_str().expect("a code").to_owned();
            }
            assert_eq!(told.kind.as_deref(), Some("cursor"), "{told:?}");
        }
    }
}

async fn cursor_of(who: &Person) -> String {
    who.get("/v1/events").await.expect(200)["next_cursor"].as_str().expect("cursor").to_owned()
}

#[tokio::test]
async fn a_stream_goes_on_behind_its_last_id() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let begin = cursor_of(&ben).await;
    ana.says(&lunch, "one").await;
    ana.says(&lunch, "two").await;
    let mut stream = stream_of(&ben, &format!("/v1/events?after={begin}"), &[]).await;
    let (one, behind_one) = stream.happens().await;
    assert_eq!(
        (&one["data"]["text"], &stream.happens().await.0["data"]["text"]),
        (&"one".into(), &"two".into())
    );
    // A browser reconnects to the same URL, and sends its position in a header.
    for path in [format!("/v1/events?after={begin}"), "/v1/events?after=nonsense".into(), "/v1/events".into()]
    {
        let mut again = stream_of(&ben, &path, &[("Last-Event-ID", &behind_one)]).await;
        assert_eq!(again.happens().await.0["data"]["text"], "two", "{path}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_stream_says_at_once_where_it_is() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut stream = stream_of(&ben, "/v1/events", &[]).await;
    let told = stream.next().await.expect("something");
    assert_eq!((told.kind.as_deref(), &*told.data), (Some("cursor"), ""));
    drop(stream);
    ana.says(&lunch, "meanwhile").await;
    let mut again = stream_of(&ben, "/v1/events", &[("Last-Event-ID", &told.id.expect("an id"))]).await;
    assert_eq!(again.happens().await.0["data"]["text"], "meanwhile");
    world.finish().await;
}

#[tokio::test]
async fn a_page_or_a_stream_is_given_as_it_is_wanted_more() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    for (accept, kind) in [
        ("application/json, text/event-stream;q=0.5", "application/json"),
        ("*/*", "application/json"),
        ("application/json;q=0.5, text/event-stream", EVENTS),
        ("text/*, application/json;q=0.9", EVENTS),
    ] {
        let request = reqwest::Client::new().get(format!("http://{}/v1/events", ana.address));
        let answer =
            request.bearer_auth(&ana.token).header("Accept", accept).send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], kind, "{accept}");
    }
    world.finish().await;
}

#[tokio::test]
async fn whoever_follows_is_cut_off_with_the_login_on_every_node() {
    let mut world = World::start().await;
    world.add_node("api,projector").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let there = ben.at(world.nodes[1].address);
    let begin = cursor_of(&ben).await;
    let path = format!("/v1/events?wait=60&after={begin}");
    let (mut stream, mut other) =
        (stream_of(&ben, "/v1/events", &[]).await, stream_of(&there, "/v1/events", &[]).await);
    let waits = tokio::spawn({
        let (there, path) = (there.clone(), path.clone());
        async move { there.get(&path).await }
    });
    eventually("all have begun", || async { world.nodes[1].metric("verbatim_events_followed").await == 2 })
        .await;
    let revoked = Instant::now();
    ben.delete("/v1/logins/current").await.expect(204);
    assert_eq!(stream.ends().await, "login_revoked");
    assert_eq!(other.ends().await, "login_revoked");
    waits.await.expect("no panic").refuses(401, "login_revoked");
    assert!(
        revoked.elapsed() < Duration::from_secs(5),
        "nobody waits for the next event: {:?}",
        revoked.elapsed()
    );
    ana.says(&lunch, "of no concern to ben").await;
    there.get(&path).await.refuses(401, "login_revoked");
    world.finish().await;
}

#[tokio::test]
async fn whoever_follows_hears_who_comes_in_and_nothing_after_being_removed() {
    let world = World::with_streams(4).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let mut stream = stream_of(&ben, "/v1/events", &[]).await;
    let told = stream.next().await.expect("something");
    assert_eq!(told.kind.as_deref(), Some("cursor"));
    for n in 0..5 {
        let group = ana.starts_group(&format!("Group {n}"), &[]).await;
        ana.says(&group, "before").await;
        ana.invites(&group, &ben).await.expect(201);
        ana.says(&group, "hello").await;
        ana.removes(&group, &ben).await.expect(204);
        ana.says(&group, "after").await;
        for expected in ["member.added", "message.sent", "member.removed"] {
            let (event, _) = stream.happens().await;
            assert_eq!((&event["type"], &event["conversation_id"]), (&expected.into(), &(&*group.id).into()));
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn only_so_many_of_a_user_follow_at_once() {
    let mut world = World::empty(1).await;
    let bounds = [("VERBATIM_FOLLOWERS_PER_USER", "2"), ("VERBATIM_FOLLOWERS", "3")];
    world.add_node_with("api,gateway,projector", &bounds).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let of_ana = [stream_of(&ana, "/v1/events", &[]).await, stream_of(&ana, "/v1/events", &[]).await];
    let refused = ana.get("/v1/events?wait=1").await;
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    refused.refuses(429, "too_many_followers");
    ana.get("/v1/events").await.expect(200);
    let of_ben = stream_of(&ben, "/v1/events", &[]).await;
    ben.get("/v1/events?wait=1").await.refuses(503, "at_capacity");
    drop(of_ana);
    eventually("the places are free again", || async { ana.get("/v1/events?wait=1").await.status == 200 })
        .await;
    drop(of_ben);
    world.finish().await;
}

/// Postgres counts the queries of the views: no other query reads which conversations a user has left.
#[tokio::test]
async fn whoever_waits_is_not_looked_after_when_others_talk() {
    const WAITING: i64 = 15;
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (lunch, notes) = (ana.starts_group("Lunch", &[&ben]).await, ana.starts_group("Notes", &[]).await);
    let mut streams = Vec::new();
    for _ in 0..WAITING {
        let mut stream = stream_of(&ben, "/v1/events", &[]).await;
        assert_eq!(stream.next().await.expect("something").kind.as_deref(), Some("cursor"));
        streams.push(stream);
    }
    ana.says(&lunch, "to all").await;
    for stream in &mut streams {
        assert_eq!(stream.happens().await.0["data"]["text"], "to all");
    }
    for n in 0..100 {
        ana.says(&notes, &format!("{n}")).await;
    }
    ana.says(&lunch, "to all again").await;
    for stream in &mut streams {
        assert_eq!(stream.happens().await.0["data"]["text"], "to all again");
    }
    let asked = async || {
        let scans = "select (coalesce(seq_scan, 0) + coalesce(idx_scan, 0))::bigint
                     from pg_stat_user_tables where relname = 'past_member'";
        // One statement scans the table once.
        world.database.finds::<i64>(scans).await
    };
    eventually("Postgres has counted", || async { asked().await >= WAITING }).await;
    let asked = asked().await;
    assert!(asked <= WAITING * 6, "twice at the beginning, and twice for each of two messages: {asked}");

    // The first two look-ups of a user take both places, for longer than the others wait for one.
    let mut holder = PgConnection::connect(&world.database.url).await.expect("Postgres");
    let mut locked = holder.begin().await.expect("a transaction");
    let lock = "lock table view.past_member in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut *locked).await.expect("a lock");
    ana.says(&lunch, "in spite of the crowd").await;
    // Longer than a look-up waits for a place.
    sleep(Duration::from_millis(3_700)).await;
    locked.rollback().await.expect("unlocked");
    for stream in &mut streams {
        assert_eq!(stream.happens().await.0["data"]["text"], "in spite of the crowd");
    }
    world.finish().await;
}

#[tokio::test]
async fn the_event_source_of_other_people_goes_on_where_it_was_cut() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let url = format!("http://{}/v1/events?after={}", ben.address, cursor_of(&ben).await);
    let mut follows = node("follow.mjs", &[&url, &ben.token]).await;
    let mut follows = follows.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs");
    let mut orders = follows.stdin.take().expect("piped");
    let mut lines = BufReader::new(follows.stdout.take().expect("piped")).lines();
    let mut told = async |wanted: &str| loop {
        let line =
            timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text").expect("a line");
        match serde_json::from_str::<String>(&line).expect("JSON") {
            told if told == wanted => return,
            told => assert_eq!(told, "here", "before {wanted}"),
        }
    };
    told("here").await;
    // Nothing has happened yet, but it knows its position.
    orders.write_all(b"break\n").await.expect("it reads");
    ana.says(&lunch, "one").await;
    told("one").await;
    for text in ["two", "three"] {
        orders.write_all(b"break\n").await.expect("it reads");
        ana.says(&lunch, text).await;
        told(text).await;
    }
    ben.delete("/v1/logins/current").await.expect(204);
    told("login_revoked").await;
    assert!(timeout(PATIENCE, follows.wait()).await.expect("it ends").expect("wait").success());
    world.finish().await;
}

#[tokio::test]
async fn a_node_that_is_stopped_ends_streams_and_waits_and_says_why() {
    let mut world = World::start().await;
    let ana = world.person("ana").await;
    let request = reqwest::Client::new().get(format!("http://{}/v1/events", ana.address));
    let listed = request.header("Accept", "application/json;q=0.1").header("Accept", EVENTS);
    let listed = listed.bearer_auth(&ana.token).send().await.expect("an answer");
    assert_eq!(listed.headers()["content-type"], EVENTS, "a list may come in two lines");
    let mut stream = Stream { chunks: listed.bytes_stream().boxed(), text: String::new() };
    let waiting = tokio::spawn({
        let ana = ana.clone();
        async move { ana.get("/v1/events?wait=60").await }
    });
    eventually("both have begun", || async { world.nodes[0].metric("verbatim_events_followed").await == 2 })
        .await;
    world.nodes[0].stop().await;
    assert_eq!(stream.ends().await, "stopping");
    let page = waiting.await.expect("no panic").expect(200);
    assert_eq!(page["items"], serde_json::json!([]));
    world.finish().await;
}
