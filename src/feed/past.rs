//! A conversation as it was, read again from the log. Nothing is stored for it, so its cost grows with the length of
//! the conversation. Events, bytes, time and the number of concurrent reads are limited.

use std::{
    ops::{
        Bound::{self, Excluded, Included, Unbounded},
        RangeBounds as _,
    },
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    domain::{self, AsOf, ConversationId, Marks, MessageId, Position, Said, UserId},
    feed::{Behind, Feed},
    log::{NotRead, PAGE, Replay, Unavailable},
    views::{Direction, Member, Message, QUOTE, Quote, Reaction, ReactionCount, Reader, Receipt},
};

/// The most events that are read for one look back.
pub const MOST_EVENTS: usize = 100_000;
/// The most bytes of events that are read for one look back.
const MOST_BYTES: usize = 32 << 20;
/// How long one look back may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A conversation as it was. It answers the same queries that the views answer for the present, in the same order.
pub struct LookBack(domain::Past);

/// Why a conversation cannot be read as it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PastError {
    /// The events up to that point are more, or larger, than one look back may read.
    #[error("the state at this point needs more than {MOST_EVENTS} events, or too many bytes of them")]
    TooFar,
    /// Looking back is not possible at present.
    #[error(transparent)]
    Behind(#[from] Behind),
}

impl From<Unavailable> for PastError {
    fn from(e: Unavailable) -> Self {
        Behind::from(e).into()
    }
}

/// Looking back to any other point would fail as well, so a damaged log is an outage here and no reason to start over.
impl From<NotRead> for PastError {
    fn from(e: NotRead) -> Self {
        Unavailable::from(e).into()
    }
}

impl Feed {
    /// Reads a conversation up to a point that the log has passed.
    pub async fn past(&self, by: UserId, id: ConversationId, as_of: AsOf) -> Result<LookBack, PastError> {
        let _turn = self.looks_back.take(by).await.map_err(Behind::from)?;
        let mut past = domain::Past::of(as_of);
        let read = async {
            let upto = match as_of {
                AsOf::Position(position) => position,
                AsOf::Time(_) => Position::MAX,
            };
            let mut replay = self.log.replay(self.log.stream_of(id), Position::START, upto, &[id]).await?;
            fold(&mut replay, &mut past).await
        };
        let too_slow = |_| Unavailable::because("a conversation cannot be read again in time");
        timeout(DEADLINE, read).await.map_err(too_slow)??;
        Ok(LookBack(past))
    }
}

/// The cost of one look back so far.
#[derive(Default)]
struct Spent {
    events: usize,
    bytes: usize,
}

impl Spent {
    fn spend(&mut self, bytes: usize) -> Result<(), PastError> {
        self.events += 1;
        self.bytes += bytes;
        if self.events > MOST_EVENTS || self.bytes > MOST_BYTES { Err(PastError::TooFar) } else { Ok(()) }
    }
}

async fn fold(replay: &mut Replay, past: &mut domain::Past) -> Result<(), PastError> {
    let mut spent = Spent::default();
    loop {
        let page = replay.page(PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        for recorded in page {
            let bytes = recorded.data.len();
            if !past.take(recorded) {
                return Ok(());
            }
            spent.spend(bytes)?;
        }
    }
}

impl LookBack {
    /// The last position up to the point.
    pub fn position(&self) -> Position {
        self.0.position()
    }

    /// The members after `after`, by id.
    pub fn members(&self, after: Option<UserId>, limit: i64) -> Vec<Member> {
        let members = self.0.members().filter(|(user, ..)| after.is_none_or(|after| *user > after));
        let member = |(user, membership, joined_at): (_, domain::Membership, _)| Member {
            user,
            role: membership.role,
            joined_at,
        };
        members.map(member).take(count(limit)).collect()
    }

    /// The watermarks of the members after `after`, by id.
    pub fn receipts(&self, after: Option<UserId>, limit: i64) -> Vec<Receipt> {
        let receipt = |Member { user, .. }| {
            let Marks { delivered, read } = self.0.marks(user);
            Receipt { user, delivered: delivered.position, read: read.position, read_at: read.at }
        };
        self.members(after, limit).into_iter().map(receipt).collect()
    }

    /// A page of the messages.
    pub fn history(&self, reader: Reader, direction: Direction, limit: i64) -> Vec<Message> {
        match direction {
            Direction::Before(end) => self.newest(reader, Excluded(end), limit),
            Direction::After(start) => {
                let newer = self.visible(reader, start.max(reader.from()), Unbounded);
                newer.take(count(limit)).collect()
            }
        }
    }

    /// The messages around a position, newest first: `older` at or before the position, and `newer` after it. If there
    /// are fewer on one side, more come from the other. One more message at or before the position shows that there is
    /// more.
    pub fn around(&self, reader: Reader, at: Position, older: i64, newer: i64) -> Vec<Message> {
        let (older, newer) = (count(older), count(newer));
        let limit = older + newer;
        let mut page = self.history(reader, Direction::After(at), limit as i64);
        let behind = self.newest(reader, Included(at), limit as i64 + 1);
        let (has_older, has_newer) = (behind.len().min(older), page.len().min(newer));
        page.truncate(limit - has_older);
        page.reverse();
        page.extend(behind.into_iter().take(limit + 1 - has_newer));
        page
    }

    fn newest(&self, reader: Reader, end: Bound<Position>, limit: i64) -> Vec<Message> {
        self.visible(reader, reader.from(), end).rev().take(count(limit)).collect()
    }

    fn visible(
        &self,
        reader: Reader,
        after: Position,
        end: Bound<Position>,
    ) -> impl DoubleEndedIterator<Item = Message> + '_ {
        let behind = self.0.messages().range((Excluded(after), Unbounded));
        let ends = move |at: &Position| (Unbounded, end).contains(at);
        behind.filter(move |(at, _)| ends(at)).map(move |(at, said)| self.message(reader, at, said))
    }

    /// The reactions to a message after a position, oldest first; `None` if the reader could not see the message.
    pub fn reactions(
        &self,
        reader: Reader,
        message: MessageId,
        after: Position,
        limit: i64,
    ) -> Option<Vec<Reaction>> {
        let mut visible = self.0.messages().range((Excluded(reader.from()), Unbounded));
        let (_, said) = visible.find(|(_, said)| said.id == message)?;
        let reactions = said.reactions.iter().filter(|reacted| reacted.position > after);
        let reaction = |reacted: &domain::Reacted| Reaction {
            user: reacted.user,
            emoji: reacted.emoji.clone(),
            position: reacted.position,
            reacted_at: reacted.at,
        };
        Some(reactions.map(reaction).take(count(limit)).collect())
    }

    fn message(&self, reader: Reader, position: &Position, said: &Said) -> Message {
        Message {
            id: said.id,
            position: *position,
            sender: said.sender,
            client_id: said.client_id.clone(),
            text: said.text.clone(),
            sent_at: said.sent_at,
            edited_at: said.edited_at,
            deleted_at: said.deleted.map(|(_, at)| at),
            deleted_by: said.deleted.and_then(|(by, _)| by),
            reply_to: said.reply_to.map(|(id, at)| self.quote(reader, id, at)),
            metadata: said.metadata.clone(),
            mentions: said.mentions.clone(),
            reactions: counted(reader.user, said),
            pinned: said.pinned,
        }
    }

    fn quote(&self, reader: Reader, id: MessageId, position: Position) -> Quote {
        let quoted = self.0.messages().get(&position).filter(|_| position > reader.from());
        Quote {
            id,
            position,
            sender: quoted.map(|said| said.sender),
            text: quoted.map(|said| said.text.chars().take(QUOTE).collect()),
            deleted: quoted.is_some_and(|said| said.deleted.is_some()),
        }
    }
}

fn counted(user: UserId, said: &Said) -> Vec<ReactionCount> {
    let mut counts: Vec<ReactionCount> = Vec::new();
    for reacted in &said.reactions {
        let emoji = &*reacted.emoji;
        let index = counts.iter().position(|count| count.emoji == emoji).unwrap_or(counts.len());
        if index == counts.len() {
            counts.push(ReactionCount { emoji: emoji.to_owned(), count: 0, mine: false });
        }
        counts[index].count += 1;
        counts[index].mine |= reacted.user == user;
    }
    counts
}

fn count(limit: i64) -> usize {
    usize::try_from(limit).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        ConversationCreated, Event, History, Kind, MessageId, MessageSent, NewMember, Recorded, Role,
    };

    fn person(n: u32) -> UserId {
        format!("01930f3c-5a7b-7c3d-9e4f-0000{n:08x}").parse().expect("id")
    }

    /// A group of five with messages at the positions 2 to 9.
    fn past() -> LookBack {
        let mut past = domain::Past::of(AsOf::Position(Position(9)));
        let members = (1..=5).map(|n| NewMember { user_id: person(n), role: Role::Member }).collect();
        let created = ConversationCreated { kind: Kind::Group, title: None, history: History::Full, members };
        let mut take = |at: u64, event| {
            past.take(Recorded::happened(
                at,
                ConversationId::known(person(0).uuid()),
                person(1),
                Some(event),
            ));
        };
        take(1, Event::ConversationCreated(created));
        for at in 2..=9 {
            let sent = MessageSent {
                // The order of ids differs from that of positions, because clocks differ.
                message_id: MessageId::known(person(100 - at as u32).uuid()),
                client_id: format!("client-{at}"),
                text: format!("{at}"),
                reply_to: None,
                reply_to_position: None,
                metadata: None,
                mentions: Vec::new(),
            };
            take(at, Event::MessageSent(sent));
        }
        LookBack(past)
    }

    fn positions(messages: &[Message]) -> Vec<u64> {
        messages.iter().map(|message| message.position.0).collect()
    }

    #[test]
    fn a_look_costs_so_much_at_most() {
        let mut spent = Spent::default();
        assert!((0..MOST_EVENTS).all(|_| spent.spend(1).is_ok()));
        assert!(matches!(spent.spend(1), Err(PastError::TooFar)));
        let mut spent = Spent::default();
        assert!(spent.spend(MOST_BYTES).is_ok());
        assert!(matches!(spent.spend(1), Err(PastError::TooFar)));
    }

    #[test]
    fn a_page_goes_the_way_that_the_view_goes() {
        let past = past();
        let reader = |visible_from| Reader {
            conversation: ConversationId::known(person(0).uuid()),
            user: person(1),
            visible_from: Position(visible_from),
            expired: Position::START,
        };
        let all = reader(0);
        let page = |direction, limit| positions(&past.history(all, direction, limit));
        assert_eq!(page(Direction::Before(Position::MAX), 3), [9, 8, 7]);
        assert_eq!(page(Direction::Before(Position(7)), 3), [6, 5, 4]);
        assert_eq!(page(Direction::After(Position(7)), 3), [8, 9]);
        assert_eq!(page(Direction::After(Position::START), 3), [2, 3, 4]);
        for (at, around) in [
            (5, vec![8, 7, 6, 5, 4, 3]),
            (2, vec![6, 5, 4, 3, 2]),
            (1, vec![6, 5, 4, 3, 2]),
            (3, vec![6, 5, 4, 3, 2]),
            (8, vec![9, 8, 7, 6, 5, 4]),
            (20, vec![9, 8, 7, 6, 5, 4]),
        ] {
            assert_eq!(positions(&past.around(all, Position(at), 2, 3)), around, "{at}");
        }
        assert_eq!(positions(&past.history(reader(7), Direction::Before(Position::MAX), 9)), [9, 8]);
        let late = Reader { expired: Position(8), ..reader(7) };
        assert_eq!(positions(&past.history(late, Direction::After(Position::START), 9)), [9]);
    }

    #[test]
    fn members_and_receipts_go_on_behind_the_last_one() {
        let past = past();
        let users: Vec<_> = past.members(Some(person(2)), 2).into_iter().map(|member| member.user).collect();
        assert_eq!(users, [person(3), person(4)]);
        let users: Vec<_> = past.receipts(None, 9).into_iter().map(|receipt| receipt.user).collect();
        assert_eq!(users, [1, 2, 3, 4, 5].map(person));
    }
}
