//! What was to be forgotten against what is left.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use verbatim::domain::{ConversationId, Recorded};

use super::{Found, Rule};
use crate::history::{Entry, What};

/// Nothing is erased but what somebody wanted, and what the receipt calls done is erased at every place: nothing is in the log, a
/// reader is shown no text, and a retry is not a second message.
pub(super) fn check(history: &[Entry], log: &[Recorded], found: &mut Found) {
    let mut wanted: HashSet<(ConversationId, u64)> = HashSet::new();
    let at: HashMap<_, &Recorded> =
        log.iter().map(|recorded| ((recorded.conversation, recorded.position.0), recorded)).collect();
    let mut done: HashSet<(ConversationId, u64)> = HashSet::new();
    for entry in history {
        match &entry.what {
            What::Forget { key, position } => drop(wanted.insert((key.conversation, *position))),
            What::Forgotten { key, position, state, left } => {
                let place = (key.conversation, *position);
                let what = || format!("{key:?} at {position}, {state}: ");
                done.insert(place);
                found.unless(state == "done", Rule::Forgotten, || format!("{}at the end", what()));
                let is_gone = at.get(&place).is_some_and(|recorded| recorded.erased.is_some());
                found.unless(is_gone, Rule::Forgotten, || format!("{}the log has it", what()));
                let left: Value = serde_json::from_str(left).unwrap_or(Value::Null);
                let is_right = left["position"] == *position
                    && left["erased"] == true
                    && left["text"].as_str().unwrap_or_default().is_empty();
                found.unless(is_right, Rule::Forgotten, || format!("{}REST shows {left}", what()));
            }
            What::Acknowledged { key, position, .. } => {
                found.unless(!done.contains(&(key.conversation, *position)), Rule::Forgotten, || {
                    format!("{key:?} at {position} was acknowledged once more")
                });
            }
            _ => {}
        }
    }
    for recorded in log.iter().filter(|recorded| recorded.erased.is_some()) {
        let place = (recorded.conversation, recorded.position.0);
        found.unless(wanted.contains(&place), Rule::Forgotten, || format!("nobody wanted {place:?} erased"));
    }
}
