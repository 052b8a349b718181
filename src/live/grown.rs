//! Keys that only grow. A client that generates its idempotency keys as UUIDv7, as the SDKs do, uses a greater one for
//! each command. So the greatest key that a user has used in a conversation proves that every greater one is new, and a
//! send needs no query of the view. Other keys, and keys that arrive out of order, are looked up.
//!
//! An entry is complete if no key can be missing from it, and it becomes complete in this order:
//!
//! 1. **The entry is created, and then the position is read up to which the follower has heard** ([`Grown::begin`]).
//!    The follower notes the end of a batch before it looks for entries. So a batch that missed the entry ends at or
//!    before that position, and the keys of all later events are in the entry.
//! 2. **The view is queried afterwards.** If it has reached that position, its greatest key covers everything before
//!    ([`Grown::learn`]). If it has not, the entry stays as it is, and the next command queries again.
//!
//! The proof then reaches as far as the stream has been followed. JetStream itself recognises the keys after that, as
//! with every look-up (`commands/earlier.rs`). An entry that is evicted costs one look-up.
//!
//! An erased command has left a hash of its key, and hashes have no order. If a user has one in a conversation, the
//! user's keys are looked up there.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use uuid::Uuid;

use crate::{
    cache::Cache,
    domain::{ConversationId, Point, Position, Recorded, RecordedKey, Time, UserId},
    views::{LatestKeys, Sending},
};

/// The most pairs of conversation and user whose greatest key is kept.
const MOST: usize = 100_000;
/// The view is queried for keys that are at most this far in the future. Otherwise, one key of a client whose clock is
/// wrong would make all its later keys look old.
const AHEAD: std::time::Duration = std::time::Duration::from_secs(3_600);

type Pair = (ConversationId, UserId);

/// The greatest keys. Cheap to clone.
#[derive(Clone)]
pub struct Grown(Arc<Inner>);

struct Inner {
    /// By stream: no further event up to this position will be heard.
    heard: Vec<AtomicU64>,
    greatest: Cache<Pair, Greatest>,
}

/// The greatest key of one user in one conversation.
struct Greatest {
    /// `key` covers all events after this position.
    since: Position,
    key: Option<Uuid>,
    before: Before,
}

/// What is known about the keys up to `since`.
enum Before {
    Nothing,
    /// `key` also covers those that are smaller than this one.
    Covered(Uuid),
    /// They have no order.
    Unordered,
}

impl Grown {
    /// Starts without entries, for streams that are followed from the given points on.
    pub(super) fn new(followed: &[Point]) -> Self {
        let heard = followed.iter().map(|point| AtomicU64::new(point.position.0)).collect();
        Self(Arc::new(Inner { heard, greatest: Cache::new("greatest_keys", MOST) }))
    }

    /// Takes in a batch of a stream, before the batch is noted as followed, because a proof reaches up to the noted
    /// position.
    pub(super) fn hear(&self, stream: usize, batch: &[Recorded]) {
        let Some(last) = batch.last() else { return };
        self.0.heard[stream].store(last.position.0, Ordering::Relaxed);
        if self.0.greatest.is_empty() {
            return;
        }
        for recorded in batch {
            let pair = (recorded.conversation, recorded.actor);
            match recorded.key() {
                Some(RecordedKey::Erased(_)) => {
                    self.0.greatest.change(&pair, |greatest| greatest.before = Before::Unordered);
                }
                Some(RecordedKey::Plain(key)) => {
                    let Some(key) = growing(key) else { continue };
                    self.0.greatest.change(&pair, |greatest| greatest.key = greatest.key.max(Some(key)));
                }
                None => {}
            }
        }
    }

    /// Whether a key is greater than all keys that its user has used in the conversation, up to where the stream had
    /// been followed before the call.
    pub(crate) fn is_new(&self, sending: &Sending) -> bool {
        let Some(key) = growing(sending.key.as_str()) else { return false };
        let is_new = |greatest: &mut Greatest| {
            matches!(greatest.before, Before::Covered(end) if key < end) && greatest.key < Some(key)
        };
        self.0.greatest.change(&sending.pair(), is_new).unwrap_or(false)
    }

    /// Begins to keep the greatest key of a pair, before the view is queried for one of its keys. The view has to name
    /// the greatest keys below the returned end. `None` if the query would prove nothing.
    pub(crate) fn begin(&self, stream: usize, sending: &Sending, now: Time) -> Option<Uuid> {
        let (pair, key, end) = (sending.pair(), growing(sending.key.as_str())?, first_of(now.plus(AHEAD)));
        if key >= end {
            return None;
        }
        let is_wanted = |greatest: &mut Greatest| match greatest.before {
            Before::Nothing => true,
            Before::Covered(end) => key >= end,
            Before::Unordered => false,
        };
        let is_wanted = self.0.greatest.change(&pair, is_wanted).unwrap_or_else(|| {
            let entry = Greatest { since: Position::MAX, key: None, before: Before::Nothing };
            self.0.greatest.insert(pair, entry);
            let heard = Position(self.0.heard[stream].load(Ordering::Relaxed));
            self.0.greatest.change(&pair, |greatest| greatest.since = heard);
            true
        });
        is_wanted.then_some(end)
    }

    /// Takes in the view's greatest keys before `end`, and the position that the view has reached.
    pub(crate) fn learn(&self, pair: Pair, end: Uuid, latest: &LatestKeys, reached: Position) {
        self.0.greatest.change(&pair, |greatest| {
            if latest.has_erased {
                greatest.before = Before::Unordered;
            }
            if reached < greatest.since || matches!(greatest.before, Before::Unordered) {
                return;
            }
            // A greater key of another form hides the greatest growing key, until a growing key follows it.
            let keys: Option<Vec<Uuid>> = latest.keys.iter().map(|key| growing(key)).collect();
            if let Some(keys) = keys {
                greatest.key = greatest.key.max(keys.into_iter().max());
                greatest.before = Before::Covered(end);
            }
        });
    }
}

/// Parses a key that is a UUIDv7 in its canonical form, with hyphens and lower case. The order of such keys is that of
/// their texts.
fn growing(key: &str) -> Option<Uuid> {
    let has_form = key.len() == 36 && !key.bytes().any(|byte| byte.is_ascii_uppercase());
    Uuid::try_parse(key).ok().filter(|id| has_form && id.get_version_num() == 7)
}

/// The smallest UUIDv7 at a time.
fn first_of(time: Time) -> Uuid {
    let millis = u64::try_from(time.datetime().unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClientId, Erasure, Event, MessageDeleted, MessageId};

    fn ana() -> UserId {
        UserId::known(Uuid::from_u128(1))
    }

    fn grown(position: u64) -> Grown {
        Grown::new(&[Point { position: Position(position), ..Point::START }])
    }

    fn now() -> Time {
        "2026-11-30T12:00:00Z".parse().expect("a time")
    }

    /// The key that Ana generates the given number of seconds later.
    fn key(seconds: u64) -> String {
        first_of(now().plus(std::time::Duration::from_secs(seconds))).to_string()
    }

    fn sending(key: &str) -> Sending {
        Sending {
            conversation: ConversationId::known(Uuid::from_u128(7)),
            user: ana(),
            key: ClientId::try_from(key.to_owned()).expect("a key"),
        }
    }

    fn done(position: u64, key: &str) -> Recorded {
        let (conversation, actor) = sending(key).pair();
        let deleted = MessageDeleted {
            message_id: MessageId::known(Uuid::from_u128(9)),
            message_position: Position(1),
            client_id: Some(key.into()),
        };
        Recorded::happened(position, conversation, actor, Some(Event::MessageDeleted(deleted)))
    }

    fn latest(keys: &[&str]) -> LatestKeys {
        LatestKeys { keys: keys.iter().map(|key| (*key).to_owned()).collect(), has_erased: false }
    }

    /// Asks about a key, and feeds the answer of the view.
    fn ask(grown: &Grown, asked: &str, latest: &LatestKeys, reached: u64) -> bool {
        let sending = sending(asked);
        let Some(end) = grown.begin(0, &sending, now()) else { return false };
        grown.learn(sending.pair(), end, latest, Position(reached));
        true
    }

    #[test]
    fn a_key_is_new_if_it_is_greater_than_those_of_the_view_and_of_the_follower() {
        let grown = grown(0);
        assert!(!grown.is_new(&sending(&key(9))), "nothing is known");
        assert!(ask(&grown, &key(9), &latest(&[&key(3), &key(5)]), 0));
        assert!(!grown.is_new(&sending(&key(5))) && grown.is_new(&sending(&key(6))));
        grown.hear(0, &[done(1, &key(7)), done(2, &key(6))]);
        assert!(!grown.is_new(&sending(&key(7))) && grown.is_new(&sending(&key(8))));
        let of_another = Sending { user: UserId::known(Uuid::from_u128(2)), ..sending(&key(8)) };
        assert!(!grown.is_new(&of_another), "of another user nothing is known");
    }

    #[test]
    fn a_view_that_is_behind_the_follower_proves_nothing() {
        let grown = grown(4);
        grown.hear(0, &[done(9, &key(8))]);
        assert!(ask(&grown, &key(5), &latest(&[]), 8));
        assert!(!grown.is_new(&sending(&key(7))), "the view lacks the event at 9, and so does the entry");
        grown.hear(0, &[done(10, &key(6))]);
        assert!(ask(&grown, &key(7), &latest(&[&key(8)]), 9));
        assert!(!grown.is_new(&sending(&key(8))) && grown.is_new(&sending(&key(9))));
    }

    #[test]
    fn a_key_from_the_far_future_is_looked_up_and_does_not_make_others_old() {
        let grown = grown(0);
        assert!(!ask(&grown, &key(3_600), &latest(&[]), 0));
        assert!(ask(&grown, &key(1), &latest(&[]), 0));
        assert!(grown.is_new(&sending(&key(3_599))) && !grown.is_new(&sending(&key(3_600))));
        assert!(!ask(&grown, &key(2), &latest(&[]), 0), "the greatest key is known already");
    }

    #[test]
    fn only_keys_in_one_form_have_an_order() {
        let grown = grown(0);
        assert!(ask(&grown, &key(1), &latest(&[]), 0));
        for other in
            [key(2).to_uppercase(), key(2).replace('-', ""), key(2).replace("-7", "-4"), "00000000".into()]
        {
            assert!(!grown.is_new(&sending(&other)), "{other}");
            assert!(!ask(&grown, &other, &latest(&[]), 0), "{other}");
        }
        let hidden = self::grown(0);
        assert!(ask(&hidden, &key(1), &latest(&["00000000"]), 0));
        assert!(!hidden.is_new(&sending(&key(2))), "a greater key may stand before the one that was named");
        assert!(ask(&hidden, &key(2), &latest(&[&key(1)]), 0));
        assert!(hidden.is_new(&sending(&key(2))));
    }

    #[test]
    fn an_erased_key_has_no_order() {
        let grown = grown(0);
        assert!(ask(&grown, &key(1), &LatestKeys { has_erased: true, ..LatestKeys::default() }, 0));
        assert!(!grown.is_new(&sending(&key(2))));
        assert!(!ask(&grown, &key(2), &latest(&[]), 0));
        let followed = self::grown(0);
        assert!(ask(&followed, &key(1), &latest(&[]), 0) && followed.is_new(&sending(&key(2))));
        let erasure = Erasure { told_at: Position(2), at: now(), client_hash: Some("a hash".into()) };
        followed.hear(0, &[Recorded { erased: Some(erasure.into()), ..done(1, &key(1)) }]);
        assert!(!followed.is_new(&sending(&key(2))));
    }
}
