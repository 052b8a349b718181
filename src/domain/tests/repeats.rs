//! A change to a roster that is repeated is recognised by the event that it made.

use super::*;

fn keyed(command: Command) -> Command {
    let client_id = ClientId::try_from("the-first-time".to_owned()).ok();
    match command {
        Command::Update { title, history, retention, .. } => {
            Command::Update { title, history, retention, client_id }
        }
        Command::Add { user, role, .. } => Command::Add { user, role, client_id },
        Command::Remove { user, .. } => Command::Remove { user, client_id },
        Command::ChangeRole { user, role, .. } => Command::ChangeRole { user, role, client_id },
        other => other,
    }
}

fn update(name: Option<&str>, history: Option<History>, retention: Option<Option<u64>>) -> Command {
    Command::Update { title: name.map(title), history, retention, client_id: None }
}

#[test]
fn the_event_has_the_key_of_its_command_and_is_its_own() {
    let before = group(ANA).with(BEN).conversation;
    let changes = [
        add(CEM),
        add_as(CEM, Role::Admin),
        remove(BEN),
        remove(ANA),
        change_role(BEN, Role::Admin),
        change_role(BEN, Role::Owner),
        retitle("Dinner"),
        keep_history(History::SinceJoin),
        update(None, None, Some(Some(3_600))),
        update(Some("Dinner"), Some(History::Full), None),
        update(Some("Dinner"), Some(History::SinceJoin), None),
    ];
    for command in changes.iter().cloned().map(keyed) {
        // The last owner cannot leave.
        let Ok(Some(event)) = before.decide(ANA, command.clone()) else { continue };
        assert_eq!(event.client_id(), Some("the-first-time"), "{event:?}");
        let mut after = before.clone();
        after.evolve(Position(9), &event);
        let mades: Vec<&Command> = changes.iter().filter(|other| other.made(&event, &after)).collect();
        let alike = |other: &Command| keyed(other.clone()) == command;
        // An update that names a value which was set already is as good as one that does not.
        let is_dinner = matches!(&event, Event::ConversationUpdated(made) if made.title.is_some() && made.history.is_none());
        let wanted = if is_dinner { 2 } else { 1 };
        assert_eq!(mades.len(), wanted, "{command:?}: {mades:?}");
        assert!(mades.into_iter().any(alike), "{command:?}");
    }
}

#[test]
fn a_title_that_is_erased_is_not_compared() {
    let before = group(ANA).conversation;
    let event = before.decide(ANA, keyed(retitle("Dinner"))).expect("allowed").expect("an event");
    let erased = event.with_erased_title();
    let mut after = before;
    after.evolve(Position(9), &erased);
    assert!(retitle("Dinner").made(&erased, &after) && retitle("Supper").made(&erased, &after));
    assert!(!keep_history(History::Full).made(&erased, &after));
}
