//! People and programs that follow without a socket.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;
use tokio::time::timeout;

use crate::world::{PATIENCE, World, eventually};

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
                *chain = event["position"].as_u64().expect("position");
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
    eve.get(&format!("/v1/events?after={of_socket}")).await.refuses(410, "cursor_of_another_user");
    ben.get("/v1/events?after=nonsense").await.refuses(410, "cursor_unreadable");
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

#[tokio::test]
async fn a_stream_goes_on_until_the_login_is_revoked() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let begin = ben.get("/v1/events").await.expect(200)["next_cursor"].as_str().expect("cursor").to_owned();
    let open = |last: String| {
        let request = reqwest::Client::new()
            .get(format!("http://{}/v1/events", ben.address))
            .bearer_auth(&ben.token)
            .header("Accept", "text/event-stream")
            .header("Last-Event-ID", last);
        async move { request.send().await.expect("an answer") }
    };
    let answer = open(begin.clone()).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut stream = Box::pin(answer.bytes_stream());
    ana.says(&lunch, "one").await;
    ana.says(&lunch, "two").await;
    let mut text = String::new();
    while !text.contains("two") {
        let chunk =
            timeout(PATIENCE, stream.next()).await.expect("in time").expect("it goes on").expect("bytes");
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = events.map(|data| serde_json::from_str(data).expect("JSON")).collect();
    assert_eq!(events[0]["data"]["text"], "one");
    drop(stream);

    let mut again = Box::pin(open(ids[0].to_owned()).await.bytes_stream());
    let chunk = timeout(PATIENCE, again.next()).await.expect("in time").expect("it goes on").expect("bytes");
    let chunk = String::from_utf8_lossy(&chunk).into_owned();
    assert!(chunk.contains("two") && !chunk.contains("one"), "it goes on behind the last id: {chunk}");
    ben.delete("/v1/logins/current").await.expect(204);
    let ending = rest(again).await;
    assert_eq!(ending["code"], "invalid_token", "a revoked login's stream ends and says why: {ending}");
    world.finish().await;
}

/// What the last event of a stream says.
async fn rest(mut stream: impl Stream<Item = reqwest::Result<Bytes>> + Unpin) -> Value {
    let mut text = String::new();
    let reading = async {
        while let Some(Ok(chunk)) = stream.next().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    timeout(PATIENCE, reading).await.expect("the stream ends");
    let (_, last) = text.rsplit_once("event: end\ndata: ").unwrap_or_else(|| panic!("no last event: {text}"));
    serde_json::from_str(last.trim()).expect("JSON")
}

#[tokio::test]
async fn a_node_that_is_stopped_ends_streams_and_waits_and_says_why() {
    let mut world = World::start().await;
    let ana = world.person("ana").await;
    let ask = |path: &str, accept: &[&str]| {
        let mut request = reqwest::Client::new().get(format!("http://{}{path}", ana.address));
        for accept in accept {
            request = request.header("Accept", *accept);
        }
        request.bearer_auth(&ana.token).send()
    };
    let stream =
        ask("/v1/events", &["application/json;q=0.1", "text/event-stream"]).await.expect("an answer");
    assert_eq!(stream.headers()["content-type"], "text/event-stream", "a list may come in two lines");
    let waiting = tokio::spawn(ask("/v1/events?wait=60", &["application/json"]));
    eventually("both have begun", || async { world.nodes[0].metric("verbatim_events_followed").await == 2 })
        .await;
    world.nodes[0].stop().await;
    let ending = rest(Box::pin(stream.bytes_stream())).await;
    assert_eq!(ending["code"], "stopping", "{ending}");
    let page: Value = waiting.await.expect("no panic").expect("an answer").json().await.expect("a page");
    assert_eq!(page["items"], serde_json::json!([]));
    world.finish().await;
}
