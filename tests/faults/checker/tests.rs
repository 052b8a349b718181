//! Tests of the checker: it accepts an honest history, and finds each way of spoiling it.

mod erasures;

use std::collections::BTreeMap;

use bytes::Bytes;
use verbatim::domain::{ConversationId, Event, EventId, Lane, MessageId, Position, Time, UserId};

use super::*;
use crate::{history::Key, truth::digest};

fn numbered<T: std::str::FromStr<Err: fmt::Debug>>(number: u64) -> T {
    format!("01930f3c-5a7b-7c3d-8e4f-{number:012x}").parse().expect("an id")
}

const ANA: u64 = 1;
const BEN: u64 = 2;
const CLEO: u64 = 3;
const LUNCH: u64 = 0x100;

fn recorded(position: u64, actor: u64, word: &str, data: serde_json::Value) -> Recorded {
    let data = data.to_string();
    let event = Event::read(word, data.as_bytes()).map(|event| event.expect("data"));
    let lane = event.as_ref().map_or(Lane::Roster, Event::lane);
    Recorded {
        position: Position(position),
        conversation: numbered(LUNCH),
        lane,
        id: numbered::<EventId>(0x1000 + position),
        actor: numbered(actor),
        via: None,
        time: "2026-11-24T13:10:00.123Z".parse::<Time>().expect("a time"),
        word: word.to_owned(),
        event,
        data: Bytes::from(data),
        poison: None,
        erased: None,
    }
}

fn said(position: u64, actor: u64, number: u64) -> Recorded {
    let data = serde_json::json!({ "message_id": numbered::<MessageId>(0x2000 + number).to_string(),
        "client_id": format!("message-{number}"), "text": format!("text {number}") });
    recorded(position, actor, "message.sent", data)
}

/// The evidence of a small run without errors.
#[derive(Clone)]
struct Run {
    history: Vec<Entry>,
    log: Vec<Recorded>,
    views: Views,
}

impl Run {
    /// Ana, Ben and Cleo: Cleo is removed and added again; Ben's socket breaks and resumes.
    fn honest() -> Self {
        let member = |user: u64, role| serde_json::json!({ "user_id": numbered::<UserId>(user).to_string(), "role": role });
        let user = |user: u64| serde_json::json!({ "user_id": numbered::<UserId>(user).to_string() });
        let receipt = |read: u64| serde_json::json!({ "delivered": read, "read": read });
        let created = serde_json::json!({ "kind": "group", "title": "Lunch", "history": "since_join",
            "members": [member(ANA, "owner"), member(BEN, "member"), member(CLEO, "member")] });
        let log = vec![
            recorded(1, ANA, "conversation.created", created),
            said(2, ANA, 1),
            said(3, BEN, 2),
            recorded(4, BEN, "receipt.advanced", receipt(2)),
            recorded(5, ANA, "member.removed", user(CLEO)),
            said(6, ANA, 3),
            // This message was in flight while Cleo was removed, so it is void.
            said(7, CLEO, 4),
            recorded(8, BEN, "receipt.advanced", receipt(6)),
            recorded(9, ANA, "member.added", member(CLEO, "member")),
            said(10, BEN, 5),
        ];
        let mut run = Self { history: Vec::new(), log, views: Views::default() };
        for (device, who) in [(1, ANA), (2, BEN), (3, CLEO)] {
            run.note(ready(device, who, device, false, &[(LUNCH, 1)]));
        }
        for (actor, number) in [(ANA, 1), (BEN, 2), (ANA, 3), (CLEO, 4), (BEN, 5)] {
            run.note(What::Sent { key: key(actor, number), text: format!("text {number}") });
        }
        run.note(What::Unknown { key: key(ANA, 1), why: "no answer".into() });
        run.note(acknowledged(2, ANA, 1, Some(7)));
        run.note(acknowledged(2, ANA, 1, Some(7)));
        run.note(acknowledged(2, ANA, 1, None));
        run.note(acknowledged(3, BEN, 2, None));
        run.note(acknowledged(6, ANA, 3, None));
        run.note(What::Unknown { key: key(CLEO, 4), why: "no answer".into() });
        run.note(What::Refused { key: key(CLEO, 4), status: 404, code: "not_found".into() });
        run.note(acknowledged(10, BEN, 5, None));
        for (who, change) in [(CLEO, Change::Remove), (CLEO, Change::Add)] {
            let (by, conversation, user) = (numbered(ANA), numbered(LUNCH), numbered(who));
            run.note(What::Asked { by, conversation, user, change });
            run.note(What::Changed { by, conversation, user, change });
        }
        run.note(What::Read { user: numbered(BEN), conversation: numbered(LUNCH), position: 6 });
        run.note(watermarks(2));
        run.note(watermarks(6));
        for position in [2, 3, 4, 5, 6, 8, 9, 10] {
            run.frame(1, position);
        }
        run.note(What::Heads { socket: 1, heads: vec![(numbered(LUNCH), 10)] });
        for position in [2, 3, 4] {
            run.frame(2, position);
        }
        run.note(What::Ended { device: 2, socket: 2, node: 0, code: None, why: "reset".into() });
        run.note(ready(2, BEN, 4, true, &[(LUNCH, 8)]));
        for position in [3, 4, 5, 6, 8] {
            run.frame(4, position);
        }
        run.note(What::CaughtUp { socket: 4, millis: 3 });
        for position in [9, 10] {
            run.frame(4, position);
        }
        for position in [2, 3, 4, 5, 9, 10] {
            run.frame(3, position);
        }
        run.note(What::Fault {
            kind: "network_cut".into(),
            target: "0".into(),
            began: 1,
            healed: 2,
            effect: Some("1 cut".into()),
        });
        let rows = ["2", "3", "6", "10"].map(|row| format!("row {row}")).to_vec();
        let tables = BTreeMap::from([("message".to_owned(), rows)]);
        run.views = Views { live: tables.clone(), rebuilt: tables, accounts: BTreeMap::new() };
        run
    }

    fn note(&mut self, what: What) {
        self.history.push(Entry { at: self.history.len() as u64, what });
    }

    fn frame(&mut self, socket: usize, position: u64) {
        let what = self.frame_of(socket, position);
        self.note(what);
    }

    /// Delivers an event to everybody who is a member at the end.
    fn everybody_sees(&mut self, position: u64) {
        for socket in [1, 3, 4] {
            self.frame(socket, position);
        }
    }

    fn frame_of(&self, socket: usize, position: u64) -> What {
        let recorded = &self.log[position as usize - 1];
        // The event at 7 is void.
        let previous = if position == 8 { 6 } else { position - 1 };
        let data = serde_json::from_slice(&recorded.data).expect("JSON");
        let (id, actor, time) =
            (recorded.id.to_string(), recorded.actor.to_string(), recorded.time.to_string());
        let digest = digest([&recorded.word, &id, &actor, &time], &data);
        What::Frame { socket, conversation: numbered(LUNCH), position, previous, digest }
    }

    /// The index of an observation in the history.
    fn find(&self, is_it: impl Fn(&What) -> bool) -> usize {
        self.history.iter().position(|entry| is_it(&entry.what)).expect("it is there")
    }

    fn find_frame(&self, on: usize, of: u64) -> usize {
        self.find(
            |what| matches!(what, What::Frame { socket, position, .. } if (*socket, *position) == (on, of)),
        )
    }

    fn found(&self) -> Vec<Violation> {
        check(&self.history, std::slice::from_ref(&self.log), &self.views)
    }
}

fn key(user: u64, number: u64) -> Key {
    Key { user: numbered(user), conversation: numbered(LUNCH), client_id: format!("message-{number}") }
}

fn acknowledged(position: u64, user: u64, number: u64, body: Option<u64>) -> What {
    What::Acknowledged { key: key(user, number), position, message_id: numbered(0x2000 + number), body }
}

fn watermarks(read: u64) -> What {
    let (by, user, conversation) = (numbered(ANA), numbered(BEN), numbered(LUNCH));
    What::Watermarks { by, conversation, user, delivered: read, read }
}

fn ready(device: usize, user: u64, socket: usize, with_cursor: bool, heads: &[(u64, u64)]) -> What {
    let heads = heads.iter().map(|(id, head)| (numbered::<ConversationId>(*id), *head)).collect();
    What::Ready { device, user: numbered(user), socket, node: 0, with_cursor, heads }
}

/// Spoils the honest run, and asserts that the checker finds at least a violation of this rule.
fn refuses(rule: Rule, spoil: impl FnOnce(&mut Run)) {
    let mut run = Run::honest();
    spoil(&mut run);
    let found = run.found();
    assert!(found.iter().any(|violation| violation.rule == rule), "{rule:?} is not among {found:#?}");
}

#[test]
fn an_honest_history_passes() {
    assert_eq!(Run::honest().found(), []);
}

#[test]
fn a_lost_acknowledgement_is_found() {
    refuses(Rule::AcknowledgedOnce, |run| run.note(acknowledged(11, ANA, 9, None)));
    refuses(Rule::AcknowledgedOnce, |run| {
        let at = run.find(|what| matches!(what, What::Acknowledged { position: 10, .. }));
        run.history[at].what = acknowledged(9, BEN, 5, None);
    });
    refuses(Rule::AcknowledgedOnce, |run| {
        run.note(What::Read { user: numbered(BEN), conversation: numbered(LUNCH), position: 9 });
    });
    refuses(Rule::AcknowledgedOnce, |run| {
        let (by, conversation, user) = (numbered(ANA), numbered(LUNCH), numbered(BEN));
        run.note(What::Changed { by, conversation, user, change: Change::Remove });
    });
}

#[test]
fn a_message_that_is_stored_twice_is_found() {
    refuses(Rule::AcknowledgedOnce, |run| {
        run.log.push(said(11, ANA, 1));
        run.everybody_sees(11);
        run.views.live.entry("message".into()).or_default().push("again".into());
        run.views.rebuilt = run.views.live.clone();
    });
}

#[test]
fn an_event_that_comes_twice_on_one_socket_is_found() {
    refuses(Rule::OneOrder, |run| {
        let at = run.find_frame(1, 6);
        let again = run.history[at].clone();
        run.history.insert(at, again);
    });
}

#[test]
fn a_swapped_order_is_found() {
    refuses(Rule::OneOrder, |run| {
        let (one, other) = (run.find_frame(1, 3), run.find_frame(1, 4));
        run.history.swap(one, other);
    });
    refuses(Rule::OneOrder, |run| {
        let (one, other) = (run.find_frame(1, 3), run.find_frame(1, 4));
        let [a, b] = [one, other].map(|at| run.history[at].what.clone());
        let (What::Frame { digest: a, .. }, What::Frame { digest: b, .. }) = (a, b) else { unreachable!() };
        for (at, other) in [(one, b), (other, a)] {
            if let What::Frame { digest, .. } = &mut run.history[at].what {
                *digest = other;
            }
        }
    });
}

#[test]
fn a_phantom_is_found() {
    refuses(Rule::NoPhantom, |run| {
        run.log.push(said(11, ANA, 9));
        run.everybody_sees(11);
    });
    refuses(Rule::NoPhantom, |run| {
        let at = run.find(|what| matches!(what, What::Asked { change: Change::Add, .. }));
        run.history.remove(at);
    });
    refuses(Rule::NoPhantom, |run| {
        let at = run.find(|what| matches!(what, What::Sent { key, .. } if *key == key_of_first()));
        run.history[at].what = What::Sent { key: key_of_first(), text: "another text".into() };
    });
    // Nobody may see a void event.
    refuses(Rule::NoPhantom, |run| run.frame(1, 7));
}

fn key_of_first() -> Key {
    key(ANA, 1)
}

#[test]
fn an_event_to_somebody_who_is_no_member_is_found() {
    refuses(Rule::MembersOnly, |run| {
        let at = run.find_frame(3, 9);
        let what = run.frame_of(3, 6);
        run.history.insert(at, Entry { at: 0, what });
    });
    refuses(Rule::MembersOnly, |run| {
        run.note(ready(3, CLEO, 9, true, &[(LUNCH, 6)]));
    });
}

#[test]
fn a_hole_in_a_chain_is_found() {
    for (socket, position) in [(1, 4), (1, 10), (4, 6), (4, 8), (3, 5), (3, 9)] {
        refuses(Rule::NoHole, |run| {
            let at = run.find_frame(socket, position);
            run.history.remove(at);
        });
    }
    refuses(Rule::NoHole, |run| {
        let at = run.find_frame(1, 4);
        if let What::Frame { previous, .. } = &mut run.history[at].what {
            *previous = 2;
        }
    });
    // The server sends `caught_up` too early.
    refuses(Rule::CaughtUp, |run| {
        let (one, other) = (run.find_frame(4, 8), run.find(|what| matches!(what, What::CaughtUp { .. })));
        run.history.swap(one, other);
    });
    refuses(Rule::NoHole, |run| {
        let at = run.find_frame(1, 10);
        let what = What::Heads { socket: 1, heads: vec![(numbered(LUNCH), 10)] };
        run.history.insert(at, Entry { at: 0, what });
    });
}

#[test]
fn a_receipt_that_goes_back_is_found() {
    refuses(Rule::ReceiptsRise, |run| {
        let data = serde_json::json!({ "delivered": 5, "read": 5 });
        let later = recorded(11, BEN, "receipt.advanced", data);
        let time = later.time.plus(Duration::from_secs(16));
        run.log.push(Recorded { time, ..later });
        run.everybody_sees(11);
    });
    refuses(Rule::ReceiptsRise, |run| run.note(watermarks(5)));
}

#[test]
fn another_answer_to_a_retry_is_found() {
    refuses(Rule::SameAnswer, |run| run.note(acknowledged(3, ANA, 1, None)));
    refuses(Rule::SameAnswer, |run| run.note(acknowledged(2, ANA, 1, Some(8))));
}

#[test]
fn a_refusal_that_is_not_true_is_found() {
    refuses(Rule::RefusedRightly, |run| {
        let at = run.find(|what| matches!(what, What::Unknown { key, .. } if *key == key_of_void()));
        run.history.remove(at);
    });
    let refused =
        |who, number, code: &str| What::Refused { key: key(who, number), status: 404, code: code.into() };
    refuses(Rule::RefusedRightly, |run| run.note(refused(ANA, 3, "not_found")));
    refuses(Rule::RefusedRightly, |run| run.note(refused(CLEO, 4, "idempotency_mismatch")));
}

fn key_of_void() -> Key {
    key(CLEO, 4)
}

#[test]
fn a_log_with_a_hole_is_found() {
    refuses(Rule::LogWhole, |run| drop(run.log.remove(3)));
}

#[test]
fn views_that_differ_are_found() {
    refuses(Rule::ViewsTrue, |run| {
        run.views.live.entry("member".into()).or_default().push("somebody".into());
    });
    refuses(Rule::ViewsTrue, |run| {
        run.views.live.values_mut().for_each(|rows| rows[0] = "another".into());
    });
    refuses(Rule::ViewsTrue, |run| {
        run.views.live.values_mut().for_each(|rows| drop(rows.pop()));
        run.views.rebuilt = run.views.live.clone();
    });
}

#[test]
fn a_fault_that_nobody_felt_makes_a_run_void() {
    refuses(Rule::FaultFelt, |run| {
        for entry in &mut run.history {
            if let What::Fault { effect, .. } = &mut entry.what {
                *effect = None;
            }
        }
    });
}

#[test]
fn a_reset_and_an_error_of_a_server_are_found() {
    refuses(Rule::NoReset, |run| run.note(What::Reset { socket: 4, reason: "too_old".into() }));
    refuses(Rule::NoBlunder, |run| run.note(What::Blunder { by: numbered(ANA), what: "500".into() }));
}
