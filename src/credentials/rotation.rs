//! The times at which each key signs. A key is published for a while before it signs, so that every node and every
//! reader of the key set knows it by then. Afterwards it stays published until its last token has expired.

use std::{cmp::Ordering, time::Duration};

use crate::{
    credentials::keys::{BadKey, Key, Keys},
    domain::Time,
};

/// How long a key is published before it signs: 15 minutes, plus the time within which all nodes read a key from the
/// database.
pub(crate) const PUBLISHED_FIRST: Duration = Duration::from_secs(16 * 60);

/// How long a key is accepted after another one has begun to sign. This is longer than a login lives without a refresh,
/// because these keys make refresh tokens too.
const RETIRES: Duration = Duration::from_secs(8 * 86_400);

/// The keys of an installation, each with the time from which it signs, in the order of these times.
#[derive(Debug)]
pub(crate) struct Ring(Vec<(Key, Signs)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signs {
    /// There is no key before it.
    Always,
    From(Time),
    /// The operator decides when.
    NotYet,
}

/// The keys that an operator supplies as PEM texts.
pub(crate) struct GivenKeys {
    /// The key that signs.
    pub(crate) current: Keys,
    /// The key that signed before.
    pub(crate) previous: Option<Keys>,
    /// The key that will sign.
    pub(crate) next: Option<Keys>,
}

impl Ring {
    /// The keys in the database: the first key, and the later ones, each with its time of publication.
    pub(crate) fn stored(first: &str, later: &[(String, Time)], now: Time) -> Result<Self, BadKey> {
        let mut ring = vec![(Key::from_pem(first)?, Signs::Always)];
        for (pem, published_at) in later {
            ring.push((Key::from_pem(pem)?, Signs::From(published_at.plus(PUBLISHED_FIRST))));
        }
        ring.sort_by_key(|(_, signs)| match signs {
            Signs::From(time) => Some(*time),
            Signs::Always | Signs::NotYet => None,
        });
        let has_retired = |successor: &(Key, Signs)| match successor.1 {
            Signs::From(time) => time.plus(RETIRES) <= now,
            Signs::Always | Signs::NotYet => false,
        };
        let retired = ring.iter().rposition(has_retired).unwrap_or(0);
        Ok(Self(ring.split_off(retired)))
    }

    /// The keys from the operator. After a change of the current key, the previous one continues to sign until the
    /// current one has been published for long enough. The operator decides how long the previous one is accepted.
    pub(crate) fn given(keys: GivenKeys, published_at: Time) -> Self {
        let GivenKeys { current, previous, next } = keys;
        let from = match previous {
            Some(_) => Signs::From(published_at.plus(PUBLISHED_FIRST)),
            None => Signs::Always,
        };
        let each = [(previous, Signs::Always), (Some(current), from), (next, Signs::NotYet)];
        Self(each.into_iter().filter_map(|(keys, signs)| Some((keys?.into_current(), signs))).collect())
    }

    /// The ids of the keys with their states, in the order in which the keys sign.
    pub(crate) fn described(&self, now: Time) -> Vec<(String, String)> {
        let current = self.current(now);
        let described = |(n, (key, signs)): (usize, &(Key, Signs))| {
            let what = match (n.cmp(&current), signs) {
                (Ordering::Less, _) => "valid, no longer signs".to_owned(),
                (Ordering::Equal, _) => "signs".to_owned(),
                (Ordering::Greater, Signs::From(time)) => format!("signs from {time}"),
                (Ordering::Greater, Signs::Always | Signs::NotYet) => "valid, does not sign yet".to_owned(),
            };
            (key.id.clone(), what)
        };
        self.0.iter().enumerate().map(described).collect()
    }

    /// Whether a published key has not begun to sign.
    pub(crate) fn has_next(&self, now: Time) -> bool {
        self.current(now) + 1 < self.0.len()
    }

    fn current(&self, now: Time) -> usize {
        let signs = |signs: &Signs| match signs {
            Signs::Always => true,
            Signs::From(time) => *time <= now,
            Signs::NotYet => false,
        };
        self.0.iter().rposition(|(_, from)| signs(from)).unwrap_or(0)
    }

    /// The keys that are valid now, with the one that signs now as the current key.
    pub(crate) fn at(&self, now: Time) -> Keys {
        let current = self.current(now);
        let others = self.0.iter().enumerate().filter(|(n, _)| *n != current).rev();
        Keys::of(self.0[current].0.clone(), others.map(|(_, (key, _))| key.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Time {
        "2026-11-24T12:00:00Z".parse().expect("time")
    }

    fn after(seconds: u64) -> Time {
        start().plus(Duration::from_secs(seconds))
    }

    fn pem() -> String {
        Keys::generate_pem().to_string()
    }

    fn id(pem: &str) -> String {
        Key::from_pem(pem).expect("a key").id
    }

    fn ids(keys: &Keys) -> Vec<&str> {
        keys.ids().collect()
    }

    #[test]
    fn a_key_signs_when_it_was_published_for_long_enough_and_retires_after_its_successor() {
        const DAYS: u64 = 8 * 86_400;
        let (first, second, third) = (pem(), pem(), pem());
        let (a, b, c) = (&*id(&first), &*id(&second), &*id(&third));
        let at = |now: Time| {
            let later = [(third.clone(), after(10 * 86_400)), (second.clone(), after(0))];
            let known: Vec<_> = later.into_iter().filter(|(_, published)| *published <= now).collect();
            Ring::stored(&first, &known, now).expect("keys").at(now)
        };
        assert_eq!(ids(&at(after(0))), [a, b], "published, and does not sign");
        assert_eq!(ids(&at(after(959))), [a, b]);
        assert_eq!(ids(&at(after(960))), [b, a], "the tokens of the first key still count");
        assert_eq!(ids(&at(after(959 + DAYS))), [b, a]);
        assert_eq!(ids(&at(after(960 + DAYS))), [b], "they have all ended");
        assert_eq!(ids(&at(after(10 * 86_400))), [b, c]);
        assert_eq!(ids(&at(after(10 * 86_400 + 960))), [c, b]);
        assert_eq!(ids(&at(after(20 * 86_400))), [c]);
    }

    #[test]
    fn the_key_of_a_file_waits_for_its_readers_only_if_another_one_can_sign_meanwhile() {
        let (old, new, next) = (pem(), pem(), pem());
        let (a, b, c) = (&*id(&old), &*id(&new), &*id(&next));
        let keys = |pem: &str| Keys::from_pem(pem, None).expect("keys");
        let given = |current: &str, previous: Option<&str>, next: Option<&str>| {
            let (previous, next) = (previous.map(keys), next.map(keys));
            Ring::given(GivenKeys { current: keys(current), previous, next }, start())
        };
        assert_eq!(ids(&given(&new, None, None).at(after(0))), [b]);
        assert_eq!(ids(&given(&new, Some(&old), None).at(after(959))), [a, b]);
        assert_eq!(ids(&given(&new, Some(&old), None).at(after(960))), [b, a]);
        assert_eq!(ids(&given(&old, None, Some(&new)).at(after(1_000_000))), [a, b]);
        assert_eq!(ids(&given(&new, Some(&old), Some(&next)).at(after(960))), [b, c, a]);
    }
}
