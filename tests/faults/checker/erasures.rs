//! Compares the requested erasures with the remaining data.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use verbatim::domain::{ConversationId, Event, Recorded, UserId};

use super::{Found, Rule, Views};
use crate::{
    history::{Entry, Key, What},
    truth::Truth,
};

/// The users who have requested the erasure of their accounts, with their names.
pub(super) fn accounts(history: &[Entry]) -> HashMap<UserId, &str> {
    let mut accounts = HashMap::new();
    for entry in history {
        if let What::ForgetAccount { user, name } = &entry.what {
            accounts.insert(*user, name.as_str());
        }
    }
    accounts
}

/// Only requested messages are erased, and a message whose receipt says `done` is erased everywhere: the log has
/// nothing of it, readers see no text, and a retry does not become a second message. A void event is shown to nobody.
pub(super) fn check(history: &[Entry], log: &[Recorded], truth: &Truth, found: &mut Found) {
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
                let counts =
                    truth.of_conversation(key.conversation).is_some_and(|told| told.at(*position).is_some());
                let is_right = match counts {
                    true => left["position"] == *position && left["erased"] == true && says_nothing(&left),
                    false => left.is_null(),
                };
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
    let accounts = accounts(history);
    for recorded in log.iter().filter(|recorded| recorded.erased.is_some()) {
        let place = (recorded.conversation, recorded.position.0);
        let is_wanted = wanted.contains(&place) || accounts.contains_key(&recorded.actor);
        found.unless(is_wanted, Rule::Forgotten, || format!("nobody wanted {place:?} erased"));
    }
}

/// No message of an erased account is left, acknowledged or not, and its name occurs nowhere. Nobody can log in with it
/// any more. Its memberships and receipts stay.
pub(super) fn check_accounts(history: &[Entry], log: &[Recorded], views: &Views, found: &mut Found) {
    let accounts = accounts(history);
    let mut gone: HashSet<UserId> = HashSet::new();
    for entry in history {
        match &entry.what {
            What::ForgottenAccount { user, state, is_let_in, shown } => {
                gone.insert(*user);
                found.unless(state == "done", Rule::Forgotten, || format!("{user} is {state} at the end"));
                found.unless(!is_let_in, Rule::Forgotten, || format!("{user} can log in"));
                for item in shown {
                    let name = accounts.get(user).copied().unwrap_or_default();
                    let is_named = item.contains(name);
                    let item: Value = serde_json::from_str(item).unwrap_or_default();
                    let is_erased = item["sender"].is_null() || item["erased"] == true && says_nothing(&item);
                    found.unless(!is_named && is_erased, Rule::Forgotten, || {
                        format!("REST shows of {user}: {item}")
                    });
                }
            }
            What::Ready { user, .. } | What::Acknowledged { key: Key { user, .. }, .. } => {
                found.unless(!gone.contains(user), Rule::Forgotten, || {
                    format!("{user} was let in: {:?}", entry.what)
                });
            }
            _ => {}
        }
    }
    for user in accounts.keys().filter(|user| !gone.contains(*user)) {
        found.violation(Rule::Forgotten, || format!("nobody knows what became of {user}"));
    }
    for recorded in log.iter().filter(|recorded| accounts.contains_key(&recorded.actor)) {
        let is_said = matches!(recorded.event, Some(Event::MessageSent(_) | Event::MessageEdited(_)));
        found.unless(!is_said || recorded.erased.is_some(), Rule::Forgotten, || {
            format!("the log has what {} said at {}", recorded.actor, recorded.position)
        });
    }
    for (table, rows) in views.live.iter().chain(&views.rebuilt).chain(&views.accounts) {
        for row in rows {
            let names_somebody = accounts.values().any(|name| row.contains(name));
            found.unless(!names_somebody, Rule::Forgotten, || format!("{table} has a name: {row}"));
        }
    }
    let messages =
        [&views.live, &views.rebuilt].into_iter().filter_map(|tables| tables.get("message")).flatten();
    for row in messages {
        let row: Value = serde_json::from_str(row).unwrap_or_default();
        let sender = row["sender"].as_str().and_then(|sender| sender.parse().ok());
        let is_theirs = sender.is_some_and(|sender: UserId| accounts.contains_key(&sender));
        found.unless(!is_theirs || says_nothing(&row), Rule::Forgotten, || format!("the views have {row}"));
    }
}

/// Whether a message in an answer or in a row has no text.
fn says_nothing(message: &Value) -> bool {
    message["text"].as_str().unwrap_or_default().is_empty()
}
