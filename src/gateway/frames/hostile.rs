//! No data in the log can stop the process: an event is either read, folded and sent, or it is poison.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, value::RawValue};

use crate::{
    domain::{AsOf, Event, Fold, Past, Position, Recorded},
    gateway::frames::server::event,
};

const CONVERSATION: &str = "01930f3d-0c11-7a52-9b3e-4d5f60718293";
const ANA: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";

/// Values that a field may have by mistake or malice.
const VALUES: [&[u8]; 22] = [
    b"null",
    b"true",
    b"-0.0",
    b"1e999",
    b"-1",
    b"9007199254740991",
    b"9007199254740992",
    b"18446744073709551616",
    b"\"\"",
    b"\"a\\u0000b\"",
    b"\"\\ud800\"",
    b"\"\xff\xfe\"",
    b"\"\xed\xa0\x80\"",
    b"\"9999-12-31T23:59:59-00:01\"",
    b"\"0000-01-01T00:00:00+23:59\"",
    b"\"01930F3C-5A7B-7C3D-8E4F-0123456789AB\"",
    b"\"ffffffff-ffff-7fff-8fff-ffffffffffff\"",
    b"[]",
    b"{\n}",
    b"{\"a\":1,\"a\":2}",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    b"{\"n\":123456789012345678901,\"x\":1.7976931348623157e308}",
];

const TIMES: [&str; 8] = [
    "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:60-23:59",
    "0000-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00+00:01",
    "10000-01-01T00:00:00Z",
    "2026-11-24T13:10:00.123Z",
    "",
    "\u{0}",
];

/// Data of a type as its schema describes it, with some fields replaced by others.
fn data(word: &str, changes: &[(usize, usize)], add: bool) -> Vec<u8> {
    let types = Event::types();
    let example = types.iter().find(|kind| kind.word == word).map(|kind| kind.schema["examples"][0].clone());
    let Some(Value::Object(example)) = example else { return b"{}".to_vec() };
    let mut fields: Vec<(String, Vec<u8>)> =
        example.into_iter().map(|(name, value)| (name, value.to_string().into_bytes())).collect();
    for (field, value) in changes {
        let value = VALUES[value % VALUES.len()].to_vec();
        if add {
            fields.push(("surprise".into(), value));
        } else {
            let at = field % fields.len();
            fields[at].1 = value;
        }
    }
    let mut json = b"{".to_vec();
    for (n, (name, value)) in fields.into_iter().enumerate() {
        json.extend_from_slice(if n == 0 { b"" } else { b", \n" });
        json.extend_from_slice(format!("\"{name}\":").as_bytes());
        json.extend(value);
    }
    json.push(b'}');
    json
}

prop_compose! {
    fn any_data()(
        kind in 0..=Event::TYPES.len(),
        changes in prop::collection::vec((any::<usize>(), any::<usize>()), 0..3),
        add in any::<bool>(),
        noise in prop::option::weighted(0.2, (any::<usize>(), prop::collection::vec(any::<u8>(), 0..9))),
    ) -> (String, Vec<u8>) {
        let word = Event::TYPES.get(kind).copied().unwrap_or("something.new");
        let mut data = data(word, &changes, add);
        if let Some((at, bytes)) = noise {
            let at = at % (data.len() + 1);
            data.truncate(at);
            data.extend(bytes);
        }
        (word.to_owned(), data)
    }
}

prop_compose! {
    fn any_recorded()(
        (word, data) in any_data(),
        time in prop::option::weighted(0.3, 0..TIMES.len()),
        id in prop::option::weighted(0.1, "\\PC{0,40}"),
        kind in prop::option::weighted(0.1, "\\PC{0,40}"),
        missing in prop::option::weighted(0.1, 0_usize..4),
        lane in prop::option::weighted(0.1, "[a-z]{0,20}"),
        position in prop_oneof![9 => 2_u64..100, 1 => Just(u64::MAX)],
    ) -> Recorded {
        let lanes = Event::types();
        let own = lanes.iter().find(|kind| kind.word == word).map_or("timeline", |kind| kind.lane.word());
        let subject = format!("chat.93.{CONVERSATION}.{}", lane.as_deref().unwrap_or(own));
        let kind = kind.unwrap_or_else(|| format!("verbatim.{word}.v1"));
        let time = time.map_or("2026-11-24T13:10:00.123Z", |n| TIMES[n]);
        let actor = id.as_deref().unwrap_or(ANA);
        let all = [("ce-id", ANA), ("ce-actor", actor), ("ce-time", time), ("ce-type", &kind)];
        let kept = all.into_iter().enumerate().filter(|(n, _)| missing != Some(*n));
        let headers: Vec<_> = kept.map(|(_, header)| header).collect();
        Recorded::planted(position, &subject, &headers, Bytes::from(data))
    }
}

/// The first event of a group with all users of the examples as members.
fn begun() -> Recorded {
    let headers = [
        ("ce-id", ANA),
        ("ce-actor", ANA),
        ("ce-time", "2026-11-24T13:10:00.123Z"),
        ("ce-type", "verbatim.conversation.created.v1"),
    ];
    let data = format!(r#"{{"kind":"group","members":[{{"user_id":"{ANA}","role":"owner"}}]}}"#);
    let subject = format!("chat.93.{CONVERSATION}.roster");
    Recorded::planted(1, &subject, &headers, data.into())
}

proptest! {
    #[test]
    fn what_the_log_holds_is_read_folded_and_told_or_it_is_poison(
        mut events in prop::collection::vec(any_recorded(), 1..12),
    ) {
        events.sort_by_key(|recorded| recorded.position);
        let mut fold = Fold::default();
        let mut past = Past::of(AsOf::Position(Position(99)));
        prop_assert!(begun().poison.is_none());
        events.insert(0, begun());
        for recorded in &events {
            let previous = recorded.apply_to(&mut fold);
            past.take(recorded.clone());
            let Some(previous) = previous else { continue };
            let frame = event(recorded, previous);
            let text = frame.windows(5).position(|bytes| bytes == b"{\"op\"").map(|begin| &frame[begin..]);
            let json: Result<&RawValue, _> = serde_json::from_slice(text.unwrap_or_default());
            prop_assert!(json.is_ok(), "{:?}", String::from_utf8_lossy(&frame));
        }
    }
}
