//! The events of a conversation that a user may see, from the log.
//!
//! The roster at an event decides, by the same fold as everywhere: an event belongs to every user who is a member at
//! its position, and the events that add and remove a user belong to that user too. In addition, a user who is a member
//! at the end of the export may see the same past as in REST: everything, or with `since_join` everything after the
//! last join.

use super::line::Line;
use crate::{
    domain::{Event, Fold, Position, Recorded, UserId},
    log::{Log, NotRead, PAGE, Replay},
    views::Stay,
};

/// The visible events of one conversation, page by page.
pub(super) struct VisibleEvents {
    replay: Replay,
    fold: Fold,
    sight: Sight,
}

/// What a user may see of a conversation.
struct Sight {
    user: UserId,
    /// The position after which a member at the end sees everything; `None` for a user who is not a member then.
    behind: Option<Position>,
}

impl VisibleEvents {
    /// The events up to and including a position, for a user with these stays in the conversation; `None` if the user
    /// was never in it until then.
    pub(super) async fn open(
        log: &Log,
        user: UserId,
        stays: &[Stay],
        upto: Position,
    ) -> Result<Option<Self>, NotRead> {
        let stays: Vec<&Stay> = stays.iter().filter(|stay| stay.since <= upto).collect();
        let (Some(id), Some(since)) =
            (stays.first().map(|stay| stay.conversation), stays.iter().map(|stay| stay.since).min())
        else {
            return Ok(None);
        };
        let behind = log.fold(id, Some(upto)).await?.conversation.visible_from(user);
        let before = Position(since.0.saturating_sub(1));
        let start = behind.map_or(before, |behind| behind.min(before));
        let last = if behind.is_some() { None } else { stays.iter().filter_map(|stay| stay.until).max() };
        let fold = match start {
            Position::START => Fold::default(),
            _ => log.fold(id, Some(start)).await?,
        };
        let end = last.map_or(upto, |last| last.min(upto));
        let replay = log.replay(log.stream_of(id), start, end, &[id]).await?;
        Ok(Some(Self { replay, fold, sight: Sight { user, behind } }))
    }

    /// The next visible events, which may be none; `None` when all have been returned.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<Line>>, NotRead> {
        let read = self.replay.page(PAGE).await?;
        if read.is_empty() {
            return Ok(None);
        }
        let seen = read.into_iter().filter_map(|recorded| self.sight.show(&mut self.fold, recorded));
        Ok(Some(seen.collect()))
    }
}

impl Sight {
    /// Applies the next event. Returns it if it counts and the user may see it. An edit of a message that the user may
    /// not read has no text.
    fn show(&self, fold: &mut Fold, recorded: Recorded) -> Option<Line> {
        let was_in = fold.conversation.membership(self.user).is_some();
        let previous = recorded.apply_to(fold)?;
        let is_in = fold.conversation.membership(self.user).is_some();
        let is_seen = was_in || is_in || self.behind.is_some_and(|behind| recorded.position > behind);
        is_seen.then(|| Line::new(self.readable(fold, recorded), Some(previous)))
    }

    fn readable(&self, fold: &Fold, recorded: Recorded) -> Recorded {
        let Some(Event::MessageEdited(edited)) = &recorded.event else { return recorded };
        let may_read = |from: Option<Position>| from.is_some_and(|from| edited.message_position > from);
        if may_read(fold.conversation.visible_from(self.user)) || may_read(self.behind) {
            recorded
        } else {
            recorded.without_text()
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        ConversationCreated, ConversationId, History, Kind, MemberAdded, MemberRemoved, MessageEdited,
        MessageId, MessageSent, NewMember, Role,
    };

    fn user(n: u128) -> UserId {
        UserId::known(Uuid::from_u128(n))
    }

    fn said(n: u128) -> Event {
        Event::MessageSent(MessageSent {
            message_id: MessageId::known(Uuid::from_u128(n)),
            client_id: "client-1".into(),
            text: "hello".into(),
            reply_to: None,
            reply_to_position: None,
            metadata: None,
            mentions: Vec::new(),
        })
    }

    /// Ben (2) joins at 3, leaves at 5 and joins again at 7; the event at 9 is by a user who is not a member.
    fn seen(behind: Option<u64>) -> Vec<u64> {
        let (ana, ben, cleo) = (user(1), user(2), user(3));
        let created = Event::ConversationCreated(ConversationCreated {
            kind: Kind::Group,
            title: None,
            history: History::Full,
            members: vec![NewMember { user_id: ana, role: Role::Owner }],
        });
        let added = || Event::MemberAdded(MemberAdded { user_id: ben, role: Role::Member, client_id: None });
        let events = [
            (1, ana, created),
            (2, ana, said(2)),
            (3, ana, added()),
            (4, ben, said(4)),
            (5, ana, Event::MemberRemoved(MemberRemoved { user_id: ben, client_id: None })),
            (6, ana, said(6)),
            (7, ana, added()),
            (8, ana, said(8)),
            (9, cleo, said(9)),
        ];
        let sight = Sight { user: ben, behind: behind.map(Position) };
        let (mut fold, id) = (Fold::default(), ConversationId::known(Uuid::from_u128(9)));
        let recorded = events.map(|(at, actor, event)| Recorded::happened(at, id, actor, Some(event)));
        let seen = recorded.into_iter().filter_map(|recorded| sight.show(&mut fold, recorded));
        seen.map(|line| line.recorded.position.0).collect()
    }

    #[test]
    fn a_user_sees_the_stays_and_as_a_member_at_the_end_what_rest_shows() {
        assert_eq!(seen(None), [3, 4, 5, 7, 8], "of somebody who is no member at the end");
        assert_eq!(seen(Some(7)), [3, 4, 5, 7, 8], "with `since_join`");
        assert_eq!(seen(Some(0)), [1, 2, 3, 4, 5, 6, 7, 8], "with the full history");
    }

    #[test]
    fn an_edit_of_a_message_that_a_user_may_not_read_has_no_text() {
        let (ana, ben) = (user(1), user(2));
        let created = Event::ConversationCreated(ConversationCreated {
            kind: Kind::Group,
            title: None,
            history: History::SinceJoin,
            members: vec![NewMember { user_id: ana, role: Role::Owner }],
        });
        let edited = |of: u64| {
            Event::MessageEdited(MessageEdited {
                message_id: MessageId::known(Uuid::from_u128(of.into())),
                message_position: Position(of),
                client_id: None,
                text: "hello again".into(),
                mentions: Vec::new(),
            })
        };
        let added = Event::MemberAdded(MemberAdded { user_id: ben, role: Role::Member, client_id: None });
        let events = [(1, created), (2, said(2)), (3, added), (4, said(4)), (5, edited(2)), (6, edited(4))];
        let texts = |user: UserId, behind: Option<u64>| {
            let sight = Sight { user, behind: behind.map(Position) };
            let (mut fold, id) = (Fold::default(), ConversationId::known(Uuid::from_u128(9)));
            let happened = |(at, event): &(u64, Event)| Recorded::happened(*at, id, ana, Some(event.clone()));
            let seen = events.iter().filter_map(|event| sight.show(&mut fold, happened(event)));
            let has_text = |line: &Line| String::from_utf8_lossy(&line.recorded.data).contains("hello again");
            seen.filter(has_text).map(|line| line.recorded.position.0).collect::<Vec<_>>()
        };
        assert_eq!((texts(ana, Some(1)), texts(ben, Some(3))), (vec![5, 6], vec![6]));
        assert_eq!(texts(ben, Some(0)), [5, 6], "with the full history at the end");
    }
}
