//! Reading missed events, stream by stream and page by page.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    domain::{ConversationId, Event, Fold, Point, Position, Recorded, UserId},
    feed::{behind::Behind, remembered::Remembered},
    live::Shown,
    log::{Log, NotRead, PAGE, PAGE_BYTES, Replay},
    views::{Horizon, Memberships, Stay},
};

/// The number of conversations that are folded concurrently.
const FOLDS: usize = 16;

/// The missed events of a user between two points.
pub struct Missed {
    log: Log,
    remembered: Arc<Remembered>,
    user: UserId,
    /// The points up to which all events have been delivered.
    at: Vec<Point>,
    to: Vec<Point>,
    /// The stays of each stream in which there may be missed events.
    moved: BTreeMap<usize, Stays>,
    reading: Option<(usize, Stays, Reading)>,
    /// The horizons before which messages are no longer shown.
    horizons: HashMap<ConversationId, Horizon>,
    /// Whether the user has missed a message that is no longer shown.
    is_expired: bool,
    /// The last delivered position of each conversation.
    heads: HashMap<ConversationId, Position>,
}

/// The stays in the conversations of one stream.
type Stays = HashMap<ConversationId, Vec<Stay>>;

/// One stream that is being read.
enum Reading {
    /// Events from the memory of this node.
    Remembered(VecDeque<Shown>),
    /// Events from the log, with the conversations folded up to here.
    Stored(Box<Replay>, HashMap<ConversationId, Fold>),
}

/// A page of missed events, and the user's points after the page.
#[derive(Debug, Clone)]
pub struct MissedPage {
    /// The events, in the order of their stream.
    pub events: Vec<Shown>,
    /// The points up to which all events have been delivered, including this page.
    pub at: Vec<Point>,
}

impl Missed {
    pub(super) fn new(
        log: Log,
        remembered: Arc<Remembered>,
        user: UserId,
        from: Vec<Point>,
        to: Vec<Point>,
        memberships: Memberships,
    ) -> Self {
        let (mut moved, mut is_expired): (BTreeMap<usize, Stays>, _) = (BTreeMap::new(), false);
        let horizons = memberships.horizons;
        for stay in memberships.present.into_iter().chain(memberships.past) {
            let stream = log.stream_of(stay.conversation);
            let (after, upto) = (from[stream].position, to[stream].position);
            is_expired |= horizons
                .get(&stay.conversation)
                .is_some_and(|horizon| after.max(stay.since) < horizon.expired && stay.last > after);
            let may_have_moved = stay.parked || stay.last > after;
            if may_have_moved && after < upto {
                moved.entry(stream).or_default().entry(stay.conversation).or_default().push(stay);
            }
        }
        let heads = HashMap::new();
        Self { log, remembered, user, at: from, to, moved, reading: None, horizons, is_expired, heads }
    }

    /// Whether there is nothing to read.
    pub fn is_nothing(&self) -> bool {
        self.moved.is_empty() && self.reading.is_none() && !self.is_expired
    }

    /// Whether the user has missed a message that is no longer shown.
    pub fn is_expired(&self) -> bool {
        self.is_expired
    }

    /// The last delivered position of each conversation with missed events.
    pub fn heads(&self) -> &HashMap<ConversationId, Position> {
        &self.heads
    }

    /// The next events; `None` when all have been delivered. At most `limit` events of the log are read; the user may
    /// be allowed to see fewer of them.
    pub async fn page(&mut self, limit: usize) -> Result<Option<MissedPage>, Behind> {
        if self.is_expired {
            return Err(Behind::Expired);
        }
        loop {
            let Some((stream, stays, reading)) = &mut self.reading else {
                let Some((stream, stays)) = self.moved.pop_first() else {
                    return Ok(self.rest());
                };
                let reading = self.begin(stream, &stays).await?;
                self.reading = Some((stream, stays, reading));
                continue;
            };
            let (stream, end) = (*stream, self.to[*stream]);
            let (events, is_over) = match reading {
                Reading::Remembered(shown) => {
                    let readable = |shown| {
                        let from = visible_from(stays, &shown);
                        readable(shown, from)
                    };
                    let events = front(shown, limit).into_iter().map(readable).collect();
                    (events, shown.is_empty())
                }
                Reading::Stored(replay, folds) => {
                    let read = replay.page(limit).await?;
                    if let Some(last) = read.last() {
                        self.at[stream] = last.point();
                    }
                    (show(self.user, folds, read), replay.is_over())
                }
            };
            for shown in &events {
                let recorded = &shown.recorded;
                self.heads.insert(recorded.conversation, recorded.position);
                if recorded.position > self.at[stream].position {
                    self.at[stream] = recorded.point();
                }
            }
            if is_over {
                self.at[stream] = end;
                self.reading = None;
            }
            if !events.is_empty() {
                let events = events.into_iter().map(|shown| within(&self.horizons, shown)).collect();
                return Ok(Some(MissedPage { events, at: self.at.clone() }));
            }
        }
    }

    /// Releases the consumer of the log. The next page begins at the end of the last one. The folds are handed to the
    /// memory that all readers share and that is bounded: a reader may pause before every page, and many readers may
    /// pause at once.
    pub fn pause(&mut self) {
        if let Some((stream, stays, Reading::Stored(_, folds))) =
            self.reading.take_if(|(.., reading)| matches!(reading, Reading::Stored(..)))
        {
            for (id, fold) in folds {
                self.remembered.folds.keep(id, self.at[stream].position, fold);
            }
            self.moved.insert(stream, stays);
        }
    }

    /// The end, after all streams: a page without events if the points still have to move.
    fn rest(&mut self) -> Option<MissedPage> {
        if self.at == self.to {
            return None;
        }
        self.at.clone_from(&self.to);
        Some(MissedPage { events: Vec::new(), at: self.at.clone() })
    }

    /// Takes the events from memory if all of them are there. Otherwise, first folds the conversations up to the cursor
    /// and then reads the log from the cursor on, because the fold has to be at the position right before the first
    /// event that it judges.
    async fn begin(&self, stream: usize, stays: &Stays) -> Result<Reading, Behind> {
        let (from, to) = (self.at[stream].position, self.to[stream].position);
        if let Some(shown) = self.remembered.lately.between(stream, from, to, stays) {
            return Ok(Reading::Remembered(shown));
        }
        let ids: Vec<ConversationId> = stays.keys().copied().collect();
        let folds = &self.remembered.folds;
        let folds = stream::iter(ids.clone())
            .map(|id| async move { Ok::<_, NotRead>((id, folds.at(&self.log, id, from).await?)) })
            .buffer_unordered(FOLDS)
            .try_collect()
            .await?;
        Ok(Reading::Stored(Box::new(self.log.replay(stream, from, to, &ids).await?), folds))
    }
}

/// The event as it is shown. An edit may be newer than the horizon although its message is older. Such an edit keeps
/// its place in the chain but has no text.
fn within(horizons: &HashMap<ConversationId, Horizon>, shown: Shown) -> Shown {
    let horizon = horizons.get(&shown.recorded.conversation);
    unless(shown, |message| horizon.is_some_and(|horizon| horizon.hides(message)))
}

/// The event for a user who may read the messages after a position. The user may have joined after a message and before
/// its edit, which then has no text, too.
fn readable(shown: Shown, visible_from: Option<Position>) -> Shown {
    unless(shown, |message| visible_from.is_none_or(|from| message <= from))
}

fn unless(shown: Shown, is_hidden: impl FnOnce(Position) -> bool) -> Shown {
    match &shown.recorded.event {
        Some(Event::MessageEdited(edited)) if is_hidden(edited.message_position) => {
            Shown::new(shown.recorded.without_text(), shown.previous)
        }
        _ => shown,
    }
}

/// The position after which the user may read the conversation, by the stay to which an event belongs.
fn visible_from(stays: &Stays, shown: &Shown) -> Option<Position> {
    let Recorded { conversation, position, .. } = &shown.recorded;
    let mut at_the_event = stays.get(conversation)?.iter().filter(|stay| stay.covers(*position));
    at_the_event.next().map(|stay| stay.visible_from)
}

/// The first events, at most `limit`, [`PAGE`] and [`PAGE_BYTES`].
fn front(shown: &mut VecDeque<Shown>, limit: usize) -> Vec<Shown> {
    let mut bytes = 0;
    let fits = |shown: &&Shown| {
        bytes += shown.recorded.data.len();
        bytes <= PAGE_BYTES
    };
    let count = shown.iter().take(limit.min(PAGE)).take_while(fits).count();
    shown.drain(..count).collect()
}

/// The events that count and that the user may see, including the event that brings the user in and the event that
/// removes the user.
fn show(user: UserId, folds: &mut HashMap<ConversationId, Fold>, read: Vec<Recorded>) -> Vec<Shown> {
    let mut events = Vec::new();
    for recorded in read {
        let Some(fold) = folds.get_mut(&recorded.conversation) else { continue };
        let was_in = fold.conversation.membership(user).is_some();
        let Some(previous) = recorded.apply_to(fold) else { continue };
        let is_in = fold.conversation.membership(user).is_some();
        if was_in || is_in {
            let visible_from = fold.conversation.visible_from(user);
            events.push(readable(Shown::new(recorded, previous), visible_from));
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        ConversationCreated, History, Kind, MemberAdded, MessageEdited, MessageId, NewMember, Role,
    };

    fn edit_of(message_position: Position) -> MessageEdited {
        MessageEdited {
            message_id: MessageId::known(Uuid::from_u128(2)),
            message_position,
            client_id: None,
            text: "hello".into(),
            mentions: Vec::new(),
        }
    }

    #[test]
    fn an_edit_of_a_hidden_message_keeps_its_place_and_loses_its_text() {
        let id = ConversationId::known(Uuid::from_u128(1));
        let edited = edit_of(Position(7));
        let event = Event::MessageEdited(edited);
        let shown = Recorded::happened(12, id, UserId::known(Uuid::from_u128(3)), Some(event));
        let shown = Shown::new(shown, Position(9));
        let text = |expired, joined| {
            let horizons = HashMap::from([(id, Horizon { expired: Position(expired), pinned: Vec::new() })]);
            let stay = Stay {
                conversation: id,
                since: Position(5),
                until: None,
                visible_from: Position(joined),
                last: Position(12),
                parked: false,
            };
            let stays = HashMap::from([(id, vec![stay])]);
            let from = visible_from(&stays, &shown);
            let shown = within(&horizons, readable(shown.clone(), from));
            assert_eq!((shown.recorded.position, shown.previous), (Position(12), Position(9)));
            String::from_utf8_lossy(&shown.recorded.data).contains("hello")
        };
        assert!(text(6, 0) && !text(7, 0), "older than the retention");
        assert!(text(0, 6) && !text(0, 7), "older than the join");
    }

    #[test]
    fn an_edit_from_the_log_is_as_readable_as_its_message_was_at_the_edit() {
        let (ana, ben) = (UserId::known(Uuid::from_u128(1)), UserId::known(Uuid::from_u128(2)));
        let id = ConversationId::known(Uuid::from_u128(9));
        let edited = edit_of(Position(2));
        let created = Event::ConversationCreated(ConversationCreated {
            kind: Kind::Group,
            title: None,
            history: History::SinceJoin,
            members: vec![NewMember { user_id: ana, role: Role::Owner }],
        });
        let added = Event::MemberAdded(MemberAdded { user_id: ben, role: Role::Member, client_id: None });
        let log = [(1, created), (3, added), (4, Event::MessageEdited(edited))];
        let has_text = |user| {
            let happened = |(at, event): &(u64, Event)| Recorded::happened(*at, id, ana, Some(event.clone()));
            let log = log.iter().map(happened).collect();
            let shown = show(user, &mut HashMap::from([(id, Fold::default())]), log);
            String::from_utf8_lossy(&shown.last().expect("the edit").recorded.data).contains("hello")
        };
        assert!(has_text(ana) && !has_text(ben));
    }
}
