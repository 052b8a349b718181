//! The reader of stored events: whatever stands in the log is read, folded and told, or it is poison.

#![no_main]

use async_nats::HeaderMap;
use libfuzzer_sys::fuzz_target;
use verbatim::{
    domain::{Event, Fold, Recorded},
    gateway::frames::server,
};

const CONVERSATION: &str = "01930f3d-0c11-7a52-9b3e-4d5f60718293";
const ANA: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";
const TIME: &str = "2026-11-24T13:10:00.123Z";
const LANES: [&str; 5] = ["roster", "timeline", "receipts", "presence", "control"];

/// Position, lane, type, time, actor and data. What is absent is as it should be.
type Stored = (u64, u8, Result<u8, String>, Option<String>, Option<String>, Vec<u8>);

fuzz_target!(|events: Vec<Stored>| {
    let mut fold = begun();
    for (position, lane, kind, time, actor, data) in events {
        let lane = LANES[usize::from(lane) % LANES.len()];
        let kind = kind.map(|n| Event::TYPES[usize::from(n) % Event::TYPES.len()].to_owned());
        let kind = format!("verbatim.{}.v1", kind.unwrap_or_else(|other| other));
        let (time, actor) = (time.unwrap_or(TIME.into()), actor.unwrap_or(ANA.into()));
        let Some(recorded) = stored(position, lane, [&kind, &time, &actor], data) else { continue };
        if let Some(previous) = recorded.apply_to(&mut fold) {
            server::event(&recorded, previous);
        }
    }
});

/// A group in which the actor is.
fn begun() -> Fold {
    let data = format!(r#"{{"kind":"group","members":[{{"user_id":"{ANA}","role":"owner"}}]}}"#);
    let created = stored(1, "roster", ["verbatim.conversation.created.v1", TIME, ANA], data.into());
    let mut fold = Fold::default();
    created.expect("it can be read").apply_to(&mut fold);
    fold
}

/// `None` if no header can have these values, or it cannot be read.
fn stored(position: u64, lane: &str, [kind, time, actor]: [&str; 3], data: Vec<u8>) -> Option<Recorded> {
    let mut headers = HeaderMap::new();
    for (name, value) in [("ce-id", ANA), ("ce-type", kind), ("ce-time", time), ("ce-actor", actor)] {
        headers.insert(name, value.parse::<async_nats::HeaderValue>().ok()?);
    }
    let subject = format!("chat.93.{CONVERSATION}.{lane}");
    Recorded::read(position, &subject, Some(&headers), data.into()).ok()
}
