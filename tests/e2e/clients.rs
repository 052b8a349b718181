//! Libraries and programs of other people work with the product.

use std::collections::BTreeSet;

use async_nats::jetstream;
use serde_json::{Value, json};
use verbatim::{dev::NatsUser, domain::Event};

use crate::world::{
    Conversation, Device, Program, World,
    clients::{node as node_runs, output_of, python},
    eventually, key,
};

#[tokio::test]
async fn what_the_stories_run_is_what_is_pinned() {
    let from_npm = output_of(node_runs("versions.mjs", &["cloudevents", "eventsource"]).await, "").await;
    let from_npm: Value = serde_json::from_str(&from_npm).expect("JSON");
    let pinned: Value = serde_json::from_str(include_str!("../clients/package.json")).expect("JSON");
    for package in ["cloudevents", "eventsource"] {
        assert_eq!(from_npm[package], pinned["dependencies"][package], "{package}");
    }
    let from_pypi = output_of(python("versions.py", &["cloudevents"]).await, "").await;
    let from_pypi: Value = serde_json::from_str(&from_pypi).expect("JSON");
    assert_eq!(from_pypi, json!({ "cloudevents": "2.2.0" }));
}

/// The events of a stream in the format in which the scripts read them: lines of headers and data.
async fn written(world: &World, stream: &str) -> Vec<Value> {
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let mut stream = jetstream.get_stream(stream).await.expect("the stream");
    let last = stream.info().await.expect("info").state.last_sequence;
    let mut all = Vec::new();
    for position in 1..=last {
        let Ok(event) = stream.get_raw_message(position).await else { continue };
        let headers: serde_json::Map<String, Value> =
            event.headers.iter().map(|(name, value)| (name.to_string(), value[0].as_str().into())).collect();
        let data = String::from_utf8(event.payload.to_vec()).expect("text");
        all.push(json!({ "headers": headers, "data": data }));
    }
    all
}

#[tokio::test]
async fn the_libraries_of_cloudevents_read_every_event_of_the_log() {
    let mut world = World::empty(1).await;
    world
        .add_node_with("api,gateway,projector", &[("VERBATIM_PUBLIC_URL", "https://chat.example.com/")])
        .await;
    world.add_node("api,gateway,projector").await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    for (node, base) in [(0, Some("https://chat.example.com")), (1, None)] {
        let (ana, ben) = (world.person_at(node, "ana").await, world.person_at(node, "ben").await);
        let mut device = ana.connects().await;
        let lunch = ana.starts_group("Lunch", &[]).await;
        let path = format!("/v1/conversations/{}", lunch.id);
        ana.invites(&lunch, &ben).await.expect(201);
        // Presence is announced a moment later, in the conversations of a member.
        let of_here = |events: Vec<Value>| {
            let source = format!("/conversations/{}", lunch.id);
            events
                .into_iter()
                .filter(move |event| event["headers"]["ce-source"] == source)
                .collect::<Vec<_>>()
        };
        let _here = ben.connects().await;
        eventually("presence is told", || async { !of_here(written(&world, "PRESENCE").await).is_empty() })
            .await;
        ana.patch(&path, json!({ "title": "Dinner" })).await.expect(200);
        ana.patch(&format!("{path}/members/{}", ben.id), json!({ "role": "admin" })).await.expect(200);
        let said = ben.says(&lunch, "pizza?").await;
        let of_it = format!("{path}/messages/{}", said["id"].as_str().expect("id"));
        ben.patch(&of_it, json!({ "text": "soup?" })).await.expect(200);
        for what in ["reactions/%F0%9F%91%8D", "pin"] {
            ana.put(&format!("{of_it}/{what}"), json!({})).await.reached();
            ana.delete(&format!("{of_it}/{what}")).await.reached();
        }
        ana.reads(&lunch, said["position"].as_u64().expect("position")).await.expect(204);
        ben.delete(&of_it).await.reached();
        let place = json!({ "conversation_id": lunch.id, "position": said["position"] });
        let erase = json!({ "messages": [place], "reason_code": "request" });
        program.person.post("/v1/admin/erasures", erase).await.expect(202);
        device.gets_event("content.erased").await;
        ana.removes(&lunch, &ben).await.expect(204);
        device.gets_event("member.removed").await;

        let mut events = of_here(written(&world, "CHAT_0").await);
        events.extend(of_here(written(&world, "PRESENCE").await));
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        let kinds: BTreeSet<&str> =
            events.iter().map(|event| event["headers"]["ce-type"].as_str().expect("a type")).collect();
        let written: Vec<String> = Event::TYPES.iter().map(|word| verbatim::log::type_name(word)).collect();
        assert_eq!(kinds, written.iter().map(String::as_str).collect());
        let read_by_node = output_of(node_runs("cloudevents.mjs", &[]).await, &lines).await;
        let read_by_python = output_of(python("cloudevents_read.py", &[]).await, &lines).await;
        for read in [read_by_node, read_by_python] {
            let read: Vec<Value> =
                read.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            assert_eq!(read.len(), events.len());
            for (read, event) in read.iter().zip(&events) {
                let headers = &event["headers"];
                let kind = headers["ce-type"].as_str().expect("a type");
                let data: Value = serde_json::from_str(event["data"].as_str().expect("text")).expect("JSON");
                // Either of the two nodes may append the event of an erasure, so it may have the other node's address,
                // or none.
                let schema = match kind {
                    "verbatim.content.erased.v1" => headers["ce-dataschema"].clone(),
                    _ => json!(base.map(|base| format!("{base}/schemas/{kind}.json"))),
                };
                let wanted = json!({
                    "id": headers["ce-id"], "type": kind, "source": headers["ce-source"], "dataschema": schema,
                    "actor": headers["ce-actor"], "data": data,
                });
                assert_eq!(*read, wanted);
            }
        }
    }
    world.finish().await;
}

/// Swift's `UUID` is written in upper case, and so are the ids of clients that are generated for Swift.
#[tokio::test]
async fn a_client_that_writes_ids_in_upper_case_has_a_conversation() {
    let world = World::with_streams(4).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let upper = |id: &Value| id.as_str().expect("an id").to_uppercase();
    let begin = json!({ "kind": "group", "title": "Lunch", "members": [ben.id.to_uppercase()] });
    let begun = ana.post("/v1/conversations", begin).await.expect(201);
    let lunch =
        Conversation { id: upper(&begun["id"]), position: begun["position"].as_u64().expect("position") };
    assert_ne!(begun["id"], lunch.id, "ids are written in lower case");
    let path = format!("/v1/conversations/{}", lunch.id);
    let said = json!({ "client_id": key(), "text": format!("<@{}> pizza?", ben.id.to_uppercase()) });
    let said = ana.post(&format!("{path}/messages"), said).await.expect(201);
    assert_eq!((&said["conversation_id"], &said["mentions"]), (&begun["id"], &json!([ben.id])));
    let of_it = format!("{path}/messages/{}", upper(&said["id"]));
    let reply = json!({ "client_id": key(), "text": "yes", "reply_to": upper(&said["id"]) });
    let reply = ben.post(&format!("{path}/messages"), reply).await.expect(201);
    assert_eq!(reply["reply_to"]["id"], said["id"]);
    ana.patch(&of_it, json!({ "text": "soup?" })).await.expect(200);
    ben.put(&format!("{of_it}/reactions/%F0%9F%91%8D"), json!({})).await.reached();
    ana.put(&format!("{of_it}/pin"), json!({})).await.reached();
    ana.patch(&format!("{path}/members/{}", ben.id.to_uppercase()), json!({ "role": "admin" }))
        .await
        .expect(200);
    let last = ben.reads(&lunch, said["position"].as_u64().expect("position")).await.reached();
    assert_eq!(ana.history(&lunch, last).await, ["soup?", "yes"]);
    for asked in [
        format!("{path}/presence"),
        format!("{path}/receipts"),
        format!("{path}/pins"),
        format!("/v1/users/{}", ben.id.to_uppercase()),
        format!("/v1/messages?query=soup&conversation_id={}", lunch.id),
    ] {
        ana.get(&asked).await.expect(200);
    }

    let hello = json!({ "op": "hello", "filter": { "conversations": [lunch.id] } });
    let mut device = Device::greets(ben.address, &ben.token, hello).await;
    assert_eq!(device.ready["conversations"][0]["id"], begun["id"]);
    let frame = |op: &str| json!({ "op": op, "id": op, "conversation_id": lunch.id, "message_id": upper(&reply["id"]) });
    let with = |op: &str, name: &str, value: &str| {
        let mut frame = frame(op);
        frame[name] = value.into();
        frame
    };
    for told in [
        with("edit", "text", "no"),
        with("react", "emoji", "👍"),
        frame("pin"),
        frame("unpin"),
        frame("delete"),
    ] {
        device.tells(told).await;
        let ack = device.gets("ack").await;
        assert_eq!(ack["message_id"], reply["id"], "{ack}");
    }
    ana.removes(&lunch, &ben).await.expect(204);
    let removed = device.gets_event("member.removed").await;
    assert_eq!(
        (&removed["conversation_id"], &removed["data"]["user_id"]),
        (&begun["id"], &ben.id[..].into())
    );
    world.finish().await;
}
