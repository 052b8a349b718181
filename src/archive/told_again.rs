//! What a restore to an earlier point tells again: the archive knows erasures that the restored log does not, because the events
//! that list them stand behind the point.

use serde_json::Value;

use crate::{domain::Position, log::Record};

/// The type of the events that list erased positions.
const ERASED: &str = "verbatim.content.erased.v1";

/// What stands behind the end of a restored stream, if this record of the archive stands behind it and lists erased positions that
/// are restored: the same event with these positions alone. The others will be positions of other events.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(position: u64, kind: &str, payload: &str) -> Record {
        Record {
            position: Position(position),
            stored_at: 0,
            subject: "chat.00.x.control".into(),
            headers: format!("ce-id: 1\r\nce-type: {kind}\r\n").into(),
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
}
