//! The log at the end of a run, folded: the events of each conversation, and its members over time.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use serde_json::Value;
use verbatim::domain::{ConversationId, Event, Fold, Position, Recorded, UserId};

/// An event that counts.
#[derive(Debug, Clone)]
pub struct Counted {
    pub position: u64,
    /// The position of the event before it in the chain.
    pub previous: u64,
    /// The digest of its content without the position.
    pub digest: u64,
    /// Whether it was erased. Devices that received it before its erasure received different content.
    pub is_erased: bool,
}

/// One conversation.
#[derive(Debug, Default)]
pub struct Told {
    /// The events that count, in order.
    pub chain: Vec<Counted>,
    /// The stays of each user: from the event that added them to the event that removed them.
    stays: HashMap<UserId, Vec<(u64, u64)>>,
}

/// The whole log.
#[derive(Debug, Default)]
pub struct Truth {
    pub conversations: BTreeMap<ConversationId, Told>,
}

impl Truth {
    pub fn of(log: &[Recorded]) -> Self {
        let mut folds: HashMap<ConversationId, Fold> = HashMap::new();
        let mut truth = Self::default();
        for recorded in log {
            let fold = folds.entry(recorded.conversation).or_default();
            let told = truth.conversations.entry(recorded.conversation).or_default();
            let Recorded { position, actor, lane, event, .. } = recorded;
            let Some(Position(previous)) = fold.apply(*position, *actor, *lane, event.as_ref()) else {
                continue;
            };
            let data = serde_json::from_slice(&recorded.data).unwrap_or(Value::Null);
            let (id, actor, time) =
                (recorded.id.to_string(), recorded.actor.to_string(), recorded.time.to_string());
            let said = [recorded.word.as_str(), &id, &actor, &time];
            let (position, digest) = (position.0, digest(said, &data));
            told.chain.push(Counted { position, previous, digest, is_erased: recorded.erased.is_some() });
            told.stay(position, event.as_ref());
        }
        truth
    }

    pub fn of_conversation(&self, id: ConversationId) -> Option<&Told> {
        self.conversations.get(&id)
    }
}

impl Told {
    fn stay(&mut self, at: u64, event: Option<&Event>) {
        match event {
            Some(Event::ConversationCreated(created)) => {
                for member in &created.members {
                    self.stays.entry(member.user_id).or_default().push((at, u64::MAX));
                }
            }
            Some(Event::MemberAdded(added)) => {
                self.stays.entry(added.user_id).or_default().push((at, u64::MAX));
            }
            Some(Event::MemberRemoved(removed)) => {
                if let Some(stay) = self.stays.entry(removed.user_id).or_default().last_mut() {
                    stay.1 = at;
                }
            }
            _ => {}
        }
    }

    /// The stays of a user, in order.
    pub fn stays(&self, user: UserId) -> &[(u64, u64)] {
        self.stays.get(&user).map_or(&[], Vec::as_slice)
    }

    /// Whether a user may receive an event: the user was a member, or was added or removed by it.
    pub fn concerns(&self, user: UserId, at: u64) -> bool {
        self.stays(user).iter().any(|(from, to)| (*from..=*to).contains(&at))
    }

    /// Whether a user is a member after an event.
    pub fn has_member(&self, user: UserId, at: u64) -> bool {
        self.stays(user).iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    pub fn at(&self, position: u64) -> Option<&Counted> {
        let found = self.chain.binary_search_by_key(&position, |counted| counted.position);
        found.ok().map(|index| &self.chain[index])
    }

    /// The first event strictly between two positions that a user has to receive. A user whose session has changed in
    /// between need not receive the events of a stay that ended in between.
    pub fn missed(&self, user: UserId, after: u64, before: u64, was_away: bool) -> Option<u64> {
        let ended = self.stays(user).iter().map(|stay| stay.1).filter(|to| (after + 1..before).contains(to));
        let from = if was_away { ended.max().unwrap_or(after).max(after) } else { after };
        let first = self.chain.partition_point(|counted| counted.position <= from);
        let between = self.chain[first..].iter().map(|counted| counted.position);
        between.take_while(|at| *at < before).find(|at| self.concerns(user, *at))
    }

    pub fn head(&self) -> u64 {
        self.chain.last().map_or(0, |counted| counted.position)
    }
}

/// The digest of an event's content: type, id, actor, time and data.
pub fn digest(said: [&str; 4], data: &Value) -> u64 {
    let mut hash = DefaultHasher::new();
    said.hash(&mut hash);
    data.to_string().hash(&mut hash);
    hash.finish()
}
