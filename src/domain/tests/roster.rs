//! The rules for the roster: permissions, and the events that commands produce.

use crate::domain::tests::*;

#[test]
fn a_direct_conversation_has_two_equal_members_who_read_all_of_it() {
    let both = [(ANA, Role::Member), (BEN, Role::Member)];
    let given = nothing().when(ANA, start_direct(BEN)).then(created(Kind::Direct, None, &both));
    assert_eq!(given.conversation.kind(), Kind::Direct);
    assert_eq!(given.visible_from(BEN), Some(0));
}

#[test]
fn a_direct_conversation_is_started_once_by_whomever_of_the_two() {
    direct(ANA, BEN).when(ANA, start_direct(BEN)).then_nothing();
    direct(ANA, BEN).when(BEN, start_direct(ANA)).then_nothing();
}

#[test]
fn nobody_converses_with_themselves() {
    nothing().when(ANA, start_direct(ANA)).then_rejected(Rejection::WithOneself);
}

#[test]
fn a_direct_conversation_is_fixed_for_its_members_and_hidden_from_others() {
    for command in [
        add(CEM),
        add(BEN),
        remove(BEN),
        remove(ANA),
        remove(CEM),
        change_role(BEN, Role::Owner),
        retitle("Lunch"),
        keep_history(History::SinceJoin),
    ] {
        direct(ANA, BEN).when(ANA, command.clone()).then_rejected(Rejection::DirectIsFixed);
        direct(ANA, BEN).when(DOE, command).then_rejected(Rejection::NotFound);
    }
}

#[test]
fn who_starts_a_group_is_its_owner_and_each_member_is_named_once() {
    nothing().when(ANA, start_group("Lunch", &[BEN, ANA, CEM, BEN])).then(created(
        Kind::Group,
        Some("Lunch"),
        &[(ANA, Role::Owner), (BEN, Role::Member), (CEM, Role::Member)],
    ));
}

#[test]
fn a_group_is_started_once() {
    group(ANA).when(ANA, start_group("Lunch", &[])).then_rejected(Rejection::AlreadyStarted);
}

#[test]
fn a_group_begins_with_no_more_members_than_fit_one_event() {
    let others: Vec<_> = (2..).map(person).take(MAX_FIRST_MEMBERS).collect();
    nothing().when(ANA, start_group("All", &others)).then_rejected(Rejection::TooManyMembers);
    let given = nothing().when(ANA, start_group("All", &others[1..])).goes_on();
    assert_eq!(given.conversation.members().len(), MAX_FIRST_MEMBERS);
}

#[test]
fn a_conversation_that_does_not_exist_looks_like_one_that_is_not_mine() {
    for command in [
        retitle("Lunch"),
        keep_history(History::SinceJoin),
        add(BEN),
        add(CEM),
        remove(BEN),
        remove(CEM),
        change_role(BEN, Role::Admin),
        say("hi"),
        Command::Advance {
            delivered: None,
            read: Some(Position(1)),
            known: ReceiptAdvanced { delivered: Position::START, read: Position::START },
            head: Position(1),
        },
    ] {
        nothing().when(CEM, command.clone()).then_rejected(Rejection::NotFound);
        group(ANA).with(BEN).when(CEM, command).then_rejected(Rejection::NotFound);
    }
}

#[test]
fn members_do_not_change_a_group() {
    for command in [
        retitle("Dinner"),
        keep_history(History::SinceJoin),
        add(DOE),
        remove(CEM),
        remove(ANA),
        remove(DOE),
        change_role(CEM, Role::Admin),
        change_role(BEN, Role::Owner),
    ] {
        group(ANA).with(BEN).with(CEM).when(BEN, command).then_rejected(Rejection::Forbidden);
    }
}

#[test]
fn admins_change_the_title_and_settings() {
    let given = || group(ANA).with_admin(BEN);
    given().when(BEN, retitle("Dinner")).then(updated(Some("Dinner"), None));
    given().when(BEN, keep_history(History::SinceJoin)).then(updated(None, Some(History::SinceJoin)));
}

#[test]
fn only_owners_change_the_retention() {
    let keep =
        |seconds| Command::Update { title: None, history: None, retention: Some(seconds), client_id: None };
    let said = |seconds| {
        Event::ConversationUpdated(ConversationUpdated {
            title: None,
            history: None,
            retention_s: Some(seconds),
            client_id: None,
        })
    };
    let given = group(ANA).with_admin(BEN);
    given.clone().when(BEN, keep(Some(3_600))).then_rejected(Rejection::Forbidden);
    given.clone().when(ANA, keep(None)).then_nothing();
    let given = given.when(ANA, keep(Some(3_600))).then(said(3_600));
    assert_eq!(given.conversation.retention(), Some(3_600));
    given.clone().when(ANA, keep(Some(3_600))).then_nothing();
    assert_eq!(given.when(ANA, keep(None)).then(said(0)).conversation.retention(), None);
    direct(ANA, BEN).when(ANA, keep(Some(3_600))).then_rejected(Rejection::DirectIsFixed);
}

#[test]
fn an_update_says_only_what_becomes_different() {
    let both = |name, history| Command::Update {
        title: Some(title(name)),
        history: Some(history),
        retention: None,
        client_id: None,
    };
    group(ANA).when(ANA, retitle("Lunch")).then_nothing();
    group(ANA).when(ANA, both("Lunch", History::Full)).then_nothing();
    group(ANA)
        .when(ANA, Command::Update { title: None, history: None, retention: None, client_id: None })
        .then_nothing();
    let given = group(ANA).when(ANA, both("Dinner", History::Full)).then(updated(Some("Dinner"), None));
    assert_eq!(given.conversation.title(), Some("Dinner"));
    let given =
        given.when(ANA, both("Dinner", History::SinceJoin)).then(updated(None, Some(History::SinceJoin)));
    assert_eq!(given.conversation.title(), Some("Dinner"), "what is absent stays");
    assert_eq!(given.conversation.history(), History::SinceJoin);
    let given = given.when(ANA, retitle("Supper")).then(updated(Some("Supper"), None));
    assert_eq!(given.conversation.history(), History::SinceJoin, "and so does the setting");
}

#[test]
fn admins_add_members_and_only_owners_add_more_than_members() {
    let given = || group(ANA).with_admin(BEN);
    given().when(BEN, add(CEM)).then(added(CEM, Role::Member));
    for role in [Role::Admin, Role::Owner] {
        given().when(BEN, add_as(CEM, role)).then_rejected(Rejection::Forbidden);
        given().when(ANA, add_as(CEM, role)).then(added(CEM, role));
    }
}

#[test]
fn adding_somebody_again_is_nothing_and_changes_no_role() {
    group(ANA).with(BEN).when(ANA, add(BEN)).then_nothing();
    group(ANA).with(BEN).when(ANA, add_as(BEN, Role::Owner)).then_nothing();
    group(ANA).with_admin(BEN).when(BEN, add_as(ANA, Role::Admin)).then_nothing();
}

#[test]
fn a_full_group_takes_nobody_else_in() {
    let member = |role| Membership { role, since: Position(1) };
    let mut members: std::collections::BTreeMap<_, _> =
        (10..).map(person).take(MAX_MEMBERS - 1).map(|user| (user, member(Role::Member))).collect();
    members.insert(ANA, member(Role::Owner));
    let conversation = Conversation::restored(Kind::Group, None, History::Full, None, members);
    let full = Given { conversation, at: Position(1) };
    full.clone().when(ANA, add(BEN)).then_rejected(Rejection::TooManyMembers);
    full.clone().when(ANA, add(person(10))).then_nothing();
    full.and(removed(person(10))).when(ANA, add(BEN)).then(added(BEN, Role::Member));
}

#[test]
fn everybody_may_leave_but_the_last_owner_of_others() {
    group(ANA).with(BEN).when(BEN, remove(BEN)).then(removed(BEN));
    group(ANA).with_admin(BEN).when(BEN, remove(BEN)).then(removed(BEN));
    group(ANA).with(BEN).when(ANA, remove(ANA)).then_rejected(Rejection::LastOwner);
    group(ANA).with_admin(BEN).when(ANA, remove(ANA)).then_rejected(Rejection::LastOwner);
    group(ANA).with_owner(BEN).when(ANA, remove(ANA)).then(removed(ANA));
}

#[test]
fn somebody_alone_may_leave_and_nobody_is_left() {
    let given = group(ANA).when(ANA, remove(ANA)).then(removed(ANA));
    assert_eq!(given.conversation.members().len(), 0);
    assert!(given.conversation.exists());
    given.clone().when(ANA, add(ANA)).then_rejected(Rejection::NotFound);
    given.when(ANA, start_group("Lunch", &[])).then_rejected(Rejection::AlreadyStarted);
}

#[test]
fn admins_put_members_out_but_neither_their_like_nor_owners() {
    let given = || group(ANA).with_admin(BEN).with_admin(CEM).with(DOE);
    given().when(BEN, remove(DOE)).then(removed(DOE));
    given().when(BEN, remove(CEM)).then_rejected(Rejection::Forbidden);
    given().when(BEN, remove(ANA)).then_rejected(Rejection::Forbidden);
}

#[test]
fn owners_put_out_anybody() {
    let given = || group(ANA).with_owner(BEN).with_admin(CEM).with(DOE);
    for user in [BEN, CEM, DOE] {
        given().when(ANA, remove(user)).then(removed(user));
    }
}

#[test]
fn putting_out_who_is_not_in_is_nothing() {
    group(ANA).when(ANA, remove(BEN)).then_nothing();
    group(ANA).with(BEN).and(removed(BEN)).when(ANA, remove(BEN)).then_nothing();
}

#[test]
fn only_owners_give_and_take_roles() {
    group(ANA).with(BEN).when(ANA, change_role(BEN, Role::Admin)).then(role_changed(BEN, Role::Admin));
    group(ANA).with(BEN).when(ANA, change_role(BEN, Role::Owner)).then(role_changed(BEN, Role::Owner));
    group(ANA)
        .with_owner(BEN)
        .when(ANA, change_role(BEN, Role::Member))
        .then(role_changed(BEN, Role::Member));
    group(ANA)
        .with_admin(BEN)
        .with(CEM)
        .when(BEN, change_role(CEM, Role::Admin))
        .then_rejected(Rejection::Forbidden);
    group(ANA).with_admin(BEN).when(BEN, change_role(BEN, Role::Member)).then_rejected(Rejection::Forbidden);
}

#[test]
fn a_role_that_somebody_has_already_is_nothing() {
    group(ANA).with(BEN).when(ANA, change_role(BEN, Role::Member)).then_nothing();
    group(ANA).when(ANA, change_role(ANA, Role::Owner)).then_nothing();
}

#[test]
fn who_is_not_a_member_gets_no_role() {
    group(ANA).when(ANA, change_role(BEN, Role::Admin)).then_rejected(Rejection::NoSuchMember);
}

#[test]
fn the_last_owner_stays_owner_also_when_alone() {
    for role in [Role::Admin, Role::Member] {
        group(ANA).with(BEN).when(ANA, change_role(ANA, role)).then_rejected(Rejection::LastOwner);
        group(ANA).when(ANA, change_role(ANA, role)).then_rejected(Rejection::LastOwner);
        group(ANA).with_owner(BEN).when(ANA, change_role(ANA, role)).then(role_changed(ANA, role));
    }
}

#[test]
fn a_new_role_leaves_the_time_of_joining() {
    let given = group(ANA).with(BEN).and(sent("hi")).and(role_changed(BEN, Role::Admin));
    assert_eq!(given.since(BEN), Some(2));
}

#[test]
fn who_comes_again_comes_anew() {
    let given = group(ANA).with_admin(BEN).and(sent("hi")).and(removed(BEN));
    assert_eq!((given.since(BEN), given.visible_from(BEN)), (None, None));
    let given = given.when(ANA, add(BEN)).then(added(BEN, Role::Member));
    assert_eq!(given.since(BEN), Some(5));
    assert_eq!(given.conversation.membership(BEN).map(|m| m.role), Some(Role::Member));
}

#[test]
fn the_history_setting_decides_what_later_members_read() {
    let full = group(ANA).with(BEN);
    assert_eq!((full.visible_from(ANA), full.visible_from(BEN)), (Some(0), Some(0)));
    let since_join = full.and(updated(None, Some(History::SinceJoin))).with(CEM);
    assert_eq!(since_join.visible_from(ANA), Some(1));
    assert_eq!(since_join.visible_from(BEN), Some(2));
    assert_eq!(since_join.visible_from(CEM), Some(4));
    assert_eq!(since_join.visible_from(DOE), None);
    let again = since_join.and(removed(BEN)).with(BEN);
    assert_eq!(again.visible_from(BEN), Some(6), "what was read before is before joining now");
    assert_eq!(again.and(updated(None, Some(History::Full))).visible_from(CEM), Some(0));
}

#[test]
fn every_member_may_say_something() {
    group(ANA).with(BEN).when(BEN, say("hi")).then(sent("hi"));
    direct(ANA, BEN).when(BEN, say("hi")).then(sent("hi"));
    group(ANA).with(BEN).and(removed(BEN)).when(BEN, say("hi")).then_rejected(Rejection::NotFound);
}

#[test]
fn who_is_blocked_starts_and_says_nothing_between_the_two() {
    let start = |with| Command::StartDirect { with, blocked: true };
    nothing().when(ANA, start(BEN)).then_rejected(Rejection::Blocked);
    nothing().when(ANA, start(ANA)).then_rejected(Rejection::WithOneself);
    direct(ANA, BEN).when(ANA, start(BEN)).then_nothing();
    for by in [ANA, BEN] {
        direct(ANA, BEN).when(by, say_though("hi", true)).then_rejected(Rejection::Blocked);
        group(ANA).with(BEN).when(by, say_though("hi", true)).then(sent("hi"));
    }
    direct(ANA, BEN).when(CEM, say_though("hi", true)).then_rejected(Rejection::NotFound);
}

#[test]
fn only_a_direct_conversation_has_another_one() {
    let of = |given: Given, user| given.conversation.peer(user);
    assert_eq!((of(direct(ANA, BEN), ANA), of(direct(ANA, BEN), BEN)), (Some(BEN), Some(ANA)));
    assert_eq!(of(group(ANA).with(BEN), ANA), None);
    assert_eq!(of(nothing(), ANA), None);
}

#[test]
fn what_is_said_or_read_changes_no_roster() {
    let before = group(ANA).with(BEN);
    let after = before.clone().and(sent("hi")).and(advanced(3, 3));
    assert_eq!(before.conversation, after.conversation);
}
