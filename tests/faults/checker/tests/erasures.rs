//! The checker finds an erased message wherever it is left, erased alone or with its account, and it finds a message
//! that was erased without a request.

use serde_json::json;
use verbatim::domain::Erasure;

use super::*;

/// The honest run, in which these messages (positions and numbers) are erased at the end, after everybody has seen
/// them.
fn erases(messages: &[(usize, u64)]) -> Run {
    let mut run = Run::honest();
    let entry = |(position, number): &(usize, u64)| {
        let told = &run.log[position - 1];
        json!({ "position": position, "id": told.id, "type": "message.sent", "lane": "timeline", "actor": told.actor,
            "time": told.time, "message_id": numbered::<MessageId>(0x2000 + number), "counts": true })
    };
    let entries: Vec<_> = messages.iter().map(entry).collect();
    let erased = json!({ "request_id": run.log[0].id, "reason": "request", "erased": entries });
    let erasing = recorded(11, ANA, "content.erased", erased);
    for (position, number) in messages {
        run.log[position - 1] = skeleton(&run.log[position - 1], *number, erasing.time);
    }
    run.log.push(erasing);
    run.everybody_sees(11);
    run
}

/// Ben's message at 3 is erased.
fn honest() -> Run {
    let mut run = erases(&[(3, 2)]);
    run.note(What::Forget { key: key(BEN, 2), position: 3 });
    run.note(forgotten("done", json!({ "position": 3, "erased": true })));
    run.note(What::Refused { key: key(BEN, 2), status: 410, code: "erased".into() });
    run
}

fn skeleton(told: &Recorded, number: u64, at: Time) -> Recorded {
    let data = json!({ "message_id": numbered::<MessageId>(0x2000 + number), "erased": true });
    let erased = Some(Box::new(Erasure { told_at: Position(11), at, client_hash: None }));
    Recorded { data: Bytes::from(data.to_string()), erased, ..told.clone() }
}

fn forgotten(state: &str, left: serde_json::Value) -> What {
    What::Forgotten { key: key(BEN, 2), position: 3, state: state.into(), left: left.to_string() }
}

/// Spoils that run, and asserts that the checker finds at least a violation of this rule.
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

#[test]
fn what_counts_for_nobody_is_shown_to_nobody_also_erased() {
    let void = |left: &str| {
        let mut run = erases(&[(7, 4)]);
        run.note(acknowledged(7, CLEO, 4, None));
        run.note(What::Forget { key: key(CLEO, 4), position: 7 });
        let (state, left) = ("done".into(), left.to_owned());
        run.note(What::Forgotten { key: key(CLEO, 4), position: 7, state, left });
        run.found()
    };
    assert_eq!(void(""), []);
    let found = void(r#"{"position":7,"erased":true}"#);
    assert!(found.iter().any(|violation| violation.rule == Rule::Forgotten), "{found:#?}");
}

const NAME: &str = "person.ben";

/// Ben's account is erased, and with it his messages at 3 and 10. He has not received the events that say so.
fn leaving() -> Run {
    let mut run = erases(&[(3, 2), (10, 5)]);
    let at = run.find_frame(4, 11);
    run.history.remove(at);
    run.note(What::ForgetAccount { user: numbered(BEN), name: NAME.into() });
    run.note(gone("done", false, &[json!({ "username": "erased-0123abcd" }), shown("")]));
    run.note(What::Refused { key: key(BEN, 5), status: 403, code: "suspended".into() });
    run
}

fn shown(text: &str) -> serde_json::Value {
    json!({ "position": 3, "sender": numbered::<UserId>(BEN), "erased": true, "text": text })
}

fn gone(state: &str, is_let_in: bool, shown: &[serde_json::Value]) -> What {
    let shown = shown.iter().map(ToString::to_string).collect();
    What::ForgottenAccount { user: numbered(BEN), state: state.into(), is_let_in, shown }
}

#[test]
fn an_honest_erasure_of_an_account_passes() {
    assert_eq!(leaving().found(), []);
}

#[test]
fn what_is_left_of_an_erased_account_is_found() {
    let spoils: &[&dyn Fn(&mut Run)] = &[
        &|run| run.log[9] = said(10, BEN, 5),
        &|run| {
            let row = json!({ "sender": numbered::<UserId>(BEN), "text": "text 5" }).to_string();
            run.views.rebuilt.entry("message".into()).or_default().push(row);
        },
        &|run| drop(run.views.accounts.insert("login".into(), vec![format!("of {NAME}")])),
        &|run| run.note(acknowledged(10, BEN, 5, None)),
        &|run| run.note(ready(2, BEN, 9, true, &[(LUNCH, 10)])),
        &|run| run.note(gone("erasing", false, &[])),
        &|run| run.note(gone("done", true, &[])),
        &|run| run.note(gone("done", false, &[shown("text 2")])),
        &|run| run.note(gone("done", false, &[json!({ "username": NAME })])),
        &|run| run.note(gone("done", false, &[json!({ "position": 3, "sender": numbered::<UserId>(BEN) })])),
        &|run| {
            let at = run.find(|what| matches!(what, What::ForgottenAccount { .. }));
            drop(run.history.remove(at));
        },
    ];
    for (number, spoil) in spoils.iter().enumerate() {
        let mut run = leaving();
        spoil(&mut run);
        let found = run.found();
        assert!(found.iter().any(|one| one.rule == Rule::Forgotten), "{number} is not among {found:#?}");
    }
}

#[test]
fn a_message_that_is_stored_twice_is_found_although_it_is_erased() {
    let mut run = leaving();
    for position in [3, 10] {
        let erasure = run.log[position - 1].erased.as_mut().expect("erased");
        erasure.client_hash = Some("of-message-2".into());
    }
    assert!(run.found().iter().any(|violation| violation.rule == Rule::AcknowledgedOnce));
}

#[test]
fn an_account_that_nobody_wanted_erased_is_missed() {
    for rule in [Rule::Forgotten, Rule::RefusedRightly, Rule::NoHole] {
        let mut run = leaving();
        let at = run.find(|what| matches!(what, What::ForgetAccount { .. }));
        drop(run.history.remove(at));
        let found = run.found();
        assert!(found.iter().any(|violation| violation.rule == rule), "{rule:?} is not among {found:#?}");
    }
}
