//! A message that was erased is found wherever it is left, and a message that nobody wanted erased is missed.

use serde_json::json;
use verbatim::domain::Erasure;

use super::*;

/// The honest run, in which the message of Ben at 3 is erased in the end. Everybody has seen it before.
fn honest() -> Run {
    let mut run = Run::honest();
    let told = &run.log[2];
    let entry = json!({ "position": 3, "id": told.id, "type": "message.sent", "lane": "timeline", "actor": told.actor,
        "time": told.time, "message_id": numbered::<MessageId>(0x2002), "counts": true });
    let erased = json!({ "request_id": told.id, "reason": "request", "erased": [entry] });
    let erasing = recorded(11, ANA, "content.erased", erased);
    run.log[2] = skeleton(told, erasing.time);
    run.log.push(erasing);
    run.everybody_sees(11);
    run.note(What::Forget { key: key(BEN, 2), position: 3 });
    run.note(forgotten("done", json!({ "position": 3, "erased": true })));
    run.note(What::Refused { key: key(BEN, 2), status: 410, code: "erased".into() });
    run
}

fn skeleton(told: &Recorded, at: Time) -> Recorded {
    let data = json!({ "message_id": numbered::<MessageId>(0x2002), "erased": true });
    let erased = Some(Box::new(Erasure { told_at: Position(11), at, client_hash: None }));
    Recorded { data: Bytes::from(data.to_string()), erased, ..told.clone() }
}

fn forgotten(state: &str, left: serde_json::Value) -> What {
    What::Forgotten { key: key(BEN, 2), position: 3, state: state.into(), left: left.to_string() }
}

/// Each spoils that run; the checker finds at least this.
fn refuses(rule: Rule, spoil: impl FnOnce(&mut Run)) {
    let mut run = honest();
    spoil(&mut run);
    let found = run.found();
    assert!(found.iter().any(|violation| violation.rule == rule), "{rule:?} is not among {found:#?}");
}

#[test]
fn an_honest_erasure_passes() {
    assert_eq!(honest().found(), []);
}

#[test]
fn what_is_left_of_an_erased_message_is_found() {
    refuses(Rule::Forgotten, |run| run.log[2] = said(3, BEN, 2));
    let answers = |run: &mut Run, what: What| {
        let at = run.find(|what| matches!(what, What::Forgotten { .. }));
        run.history[at].what = what;
    };
    refuses(Rule::Forgotten, |run| {
        answers(run, forgotten("erasing", json!({ "position": 3, "erased": true })));
    });
    refuses(Rule::Forgotten, |run| {
        answers(run, forgotten("done", json!({ "position": 3, "erased": true, "text": "text 2" })));
    });
    refuses(Rule::Forgotten, |run| run.note(acknowledged(3, BEN, 2, None)));
}

#[test]
fn a_message_that_nobody_wanted_erased_is_missed() {
    let unwanted = |run: &mut Run| {
        let at = run.find(|what| matches!(what, What::Forget { .. }));
        drop(run.history.remove(at));
    };
    refuses(Rule::Forgotten, unwanted);
    refuses(Rule::RefusedRightly, unwanted);
}

#[test]
fn an_erased_message_that_was_told_in_two_ways_is_found() {
    refuses(Rule::OneOrder, |run| {
        let at = run.find_frame(4, 3);
        if let What::Frame { digest, .. } = &mut run.history[at].what {
            *digest += 1;
        }
    });
}
