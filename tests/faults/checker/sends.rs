//! Compares the sent messages with those in the log.

use std::collections::{BTreeMap, HashMap, HashSet};

use verbatim::domain::{Event, MessageId, Recorded};

use super::{Found, Rule, erasures};
use crate::{
    history::{Entry, Key, What},
    truth::Truth,
};

/// All observations of one message.
#[derive(Default)]
struct Sending<'a> {
    text: Option<&'a str>,
    acknowledged: Vec<(u64, MessageId, Option<u64>)>,
    refused: Vec<(u16, &'a str)>,
    unknown: usize,
}

pub(super) fn check(history: &[Entry], log: &[Recorded], truth: &Truth, found: &mut Found) {
    let sendings = gather(history);
    // An erased message no longer has its key. A message that was not acknowledged is erased only with its account.
    let mut keys: HashMap<_, &Key> = HashMap::new();
    for (key, sending) in &sendings {
        keys.extend(sending.acknowledged.iter().map(|(position, ..)| ((key.conversation, *position), key)));
    }
    let mut hashes = HashSet::new();
    let mut stored: HashMap<Key, Vec<(u64, MessageId)>> = HashMap::new();
    for recorded in log {
        let Some(Event::MessageSent(message)) = &recorded.event else { continue };
        if let Some(erasure) = &recorded.erased {
            let of_key = erasure.client_hash.as_ref().map(|hash| (recorded.conversation, hash));
            found.unless(of_key.is_none_or(|key| hashes.insert(key)), Rule::AcknowledgedOnce, || {
                format!("the message at {} is in the log twice, erased", recorded.position)
            });
            if let Some(key) = keys.get(&(recorded.conversation, recorded.position.0)) {
                stored.entry((*key).clone()).or_default().push((recorded.position.0, message.message_id));
            }
            continue;
        }
        let client_id = message.client_id.as_str().to_owned();
        let key = Key { user: recorded.actor, conversation: recorded.conversation, client_id };
        let wanted = sendings.get(&key).and_then(|sending| sending.text);
        found.unless(wanted == Some(message.text.as_str()), Rule::NoPhantom, || {
            format!("{key:?} at {}: somebody wanted {wanted:?}", recorded.position)
        });
        stored.entry(key).or_default().push((recorded.position.0, message.message_id));
    }
    let forgotten: HashSet<&Key> = history.iter().filter_map(|entry| forgotten(&entry.what)).collect();
    let leaving = erasures::accounts(history);
    for (key, sending) in &sendings {
        let stored = stored.get(key).map_or(&[][..], Vec::as_slice);
        found.unless(stored.len() <= 1, Rule::AcknowledgedOnce, || {
            format!("{key:?} is in the log {} times: {stored:?}", stored.len())
        });
        let (is_to_forget, leaves) = (forgotten.contains(key), leaving.contains_key(&key.user));
        check_answers(key, sending, stored, [is_to_forget, leaves], truth, found);
    }
}

fn forgotten(what: &What) -> Option<&Key> {
    match what {
        What::Forget { key, .. } => Some(key),
        _ => None,
    }
}

fn gather(history: &[Entry]) -> BTreeMap<Key, Sending<'_>> {
    let mut sendings: BTreeMap<Key, Sending<'_>> = BTreeMap::new();
    for entry in history {
        match &entry.what {
            What::Sent { key, text } => sendings.entry(key.clone()).or_default().text = Some(text),
            What::Acknowledged { key, position, message_id, body } => {
                let answer = (*position, *message_id, *body);
                sendings.entry(key.clone()).or_default().acknowledged.push(answer);
            }
            What::Refused { key, status, code } => {
                sendings.entry(key.clone()).or_default().refused.push((*status, code));
            }
            What::Unknown { key, .. } => sendings.entry(key.clone()).or_default().unknown += 1,
            _ => {}
        }
    }
    sendings
}

fn check_answers(
    key: &Key,
    sending: &Sending<'_>,
    stored: &[(u64, MessageId)],
    [is_to_forget, leaves]: [bool; 2],
    truth: &Truth,
    found: &mut Found,
) {
    let first = sending.acknowledged.first();
    if let Some((position, message_id, _)) = first {
        found.unless(stored.contains(&(*position, *message_id)), Rule::AcknowledgedOnce, || {
            format!("{key:?} was acknowledged as {:?}, the log has {stored:?}", (position, message_id))
        });
    }
    let bodies: Vec<u64> = sending.acknowledged.iter().filter_map(|answer| answer.2).collect();
    let same =
        sending.acknowledged.iter().all(|answer| first.is_some_and(|f| (f.0, f.1) == (answer.0, answer.1)))
            && bodies.windows(2).all(|pair| pair[0] == pair[1]);
    found.unless(same, Rule::SameAnswer, || format!("{key:?}: {:?}", sending.acknowledged));

    let only_refused = sending.acknowledged.is_empty() && sending.unknown == 0;
    found.unless(!only_refused || stored.is_empty(), Rule::RefusedRightly, || {
        format!("{key:?} was refused and is in the log at {stored:?}")
    });
    let stays = truth.of_conversation(key.conversation).map_or(&[][..], |told| told.stays(key.user));
    let was_always_in = matches!(stays, [(_, u64::MAX)]);
    for (status, code) in &sending.refused {
        let may_be_out = *code == "not_found" && !was_always_in;
        let may_be_erased = *code == "erased" && is_to_forget;
        let may_be_nobody = *code == "suspended" && leaves;
        found.unless(may_be_out || may_be_erased || may_be_nobody, Rule::RefusedRightly, || {
            format!("{key:?}: {status} {code}, stays {stays:?}")
        });
    }
}
