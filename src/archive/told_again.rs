//! What a restore to an earlier point appends again: the archive knows of erasures that the restored log does not,
//! because the events that list them are after the point.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    domain::{Lane, Position},
    log::Record,
};

/// The type of the events that list erased positions.
const ERASED: &str = "verbatim.content.erased.v1";
/// The type of the events that change a conversation, or change nothing.
const UPDATED: &str = "verbatim.conversation.updated.v1";

/// The record to append after the end of a restored stream, if this record of the archive is after that end and lists
/// erased positions that are restored: the same event with only these positions. The other positions will be reused for
/// other events.
pub(super) fn told_again(record: &Record, upto: Position) -> Option<Record> {
    if record.position <= upto || record.header("ce-type") != Some(ERASED) {
        return None;
    }
    let mut data: Value = serde_json::from_slice(&record.payload).ok()?;
    let entries = data.get_mut("erased")?.as_array_mut()?;
    entries.retain(|entry| entry["position"].as_u64().is_some_and(|at| at <= upto.0));
    if entries.is_empty() {
        return None;
    }
    Some(Record { payload: data.to_string().into(), ..record.clone() })
}

/// The records to append after those: an event that changes nothing, for each roster of which a title is listed. The
/// last event of a roster must never be erased, and the event that followed the title may also be after the point. The
/// event is appended in either case, and at the end, so that every list is no later than it was before.
pub(super) fn behind_titles(again: &[Record]) -> Vec<Record> {
    let mut rosters = BTreeSet::new();
    let nothing = again.iter().filter(|record| lists_a_title(record)).filter_map(Record::nothing_on_roster);
    nothing.filter(|nothing| rosters.insert(nothing.subject.clone())).collect()
}

/// Whether this record after the end of a stream is one that a restore has appended itself, because it hides again what
/// requests for erasure had hidden after the end.
pub(super) fn hides_again(record: &Record) -> bool {
    match record.header("ce-type") {
        Some(ERASED) => true,
        Some(UPDATED) => record.payload == "{}",
        _ => false,
    }
}

fn lists_a_title(record: &Record) -> bool {
    let data: Value = serde_json::from_slice(&record.payload).unwrap_or_default();
    let entries = data["erased"].as_array();
    entries.is_some_and(|entries| entries.iter().any(|entry| entry["lane"] == Lane::Roster.word()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";

    fn record(position: u64, kind: &str, payload: &str) -> Record {
        Record {
            position: Position(position),
            stored_at: 0,
            subject: format!("chat.ab.{ID}.control"),
            headers: format!(
                "ce-actor: {ID}\r\nce-id: {ID}\r\nce-source: /conversations/{ID}\r\nce-time: now\r\nce-type: {kind}\r\n"
            )
            .into(),
            payload: payload.to_owned().into(),
        }
    }

    fn told(position: u64, kind: &str, payload: &str) -> Option<String> {
        let told = told_again(&record(position, kind, payload), Position(10))?;
        assert_eq!(told.headers, record(position, kind, payload).headers);
        Some(String::from_utf8(told.payload.to_vec()).expect("JSON"))
    }

    #[test]
    fn what_lists_restored_positions_is_told_again_without_the_others() {
        let payload =
            r#"{"erased":[{"later":1,"position":4},{"position":10},{"position":11}],"reason":"request"}"#;
        let left = r#"{"erased":[{"later":1,"position":4},{"position":10}],"reason":"request"}"#;
        assert_eq!(told(12, ERASED, payload).as_deref(), Some(left));
        assert_eq!(told(10, ERASED, payload), None, "it is restored itself");
        assert_eq!(told(12, "verbatim.message.sent.v1", payload), None);
        assert_eq!(told(13, ERASED, r#"{"erased":[{"position":11},{"position":12}]}"#), None);
        assert_eq!(told(13, ERASED, "no JSON"), None);
    }

    #[test]
    fn behind_titles_stands_what_changes_nothing_once_for_each_roster() {
        let list = |lane: &str| record(12, ERASED, &format!(r#"{{"erased":[{{}},{{"lane":"{lane}"}}]}}"#));
        let again = [list("timeline"), list("roster"), list("roster")];
        let [nothing] = behind_titles(&again).try_into().expect("one event");
        assert_eq!((&*nothing.subject, &nothing.payload[..]), (&*format!("chat.ab.{ID}.roster"), &b"{}"[..]));
        let [here, there] = [&nothing, &again[1]]
            .map(|record| ["ce-actor", "ce-source", "ce-time"].map(|name| record.header(name)));
        assert_eq!(here, there);
        assert_eq!(nothing.header("ce-type"), Some("verbatim.conversation.updated.v1"));
        assert_eq!(nothing.header("ce-id"), Some("01930f3c-5a7b-7c3d-8e4f-0123456789aa"));
        assert_eq!(behind_titles(&again[..1]), []);
    }
}
