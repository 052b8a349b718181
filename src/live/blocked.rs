//! Whom users have blocked, kept in memory for those who were asked for lately: a message must not
//! cost a query. A node forgets a list when it is told that it has changed; if it is not told, the
//! list is read again after a minute.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use crate::{accounts::blocks::blocked_by, domain::UserId};

/// How long a list is believed.
const FRESH: Duration = Duration::from_secs(60);
/// How long it is believed once more when it could not be read again.
const ONCE_MORE: Duration = Duration::from_secs(5);
/// How long the database may take while the lists as they were will do instead.
const AGAIN: Duration = Duration::from_millis(250);
/// How long it may take for lists that were never read.
const FIRST: Duration = Duration::from_secs(2);
/// From so many lists on all are thrown away.
const MOST_LISTS: usize = 100_000;
/// From so many blocked users on, over all lists, all are thrown away.
const MOST_BLOCKED: usize = 1_000_000;

/// Whom a user has blocked, in order.
pub type Blocklist = Arc<[UserId]>;

/// What a node knows of who has blocked whom.
#[derive(Debug)]
pub struct Blocked {
    pool: PgPool,
    known: Mutex<KnownBlocks>,
}

#[derive(Debug, Default)]
struct KnownBlocks {
    entries: HashMap<UserId, Entry>,
    /// All blocked users over all lists.
    blocked: usize,
    asked: u64,
}

#[derive(Debug, Default)]
struct Entry {
    list: Option<Blocklist>,
    good_until: Option<Instant>,
    /// The last question to the database: the answer to an older one may be out of date.
    asked: u64,
}

impl Blocked {
    /// Knows nothing yet.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, known: Mutex::default() }
    }

    /// Whether one of two people has blocked the other.
    pub async fn between(&self, one: UserId, other: UserId) -> Result<bool, sqlx::Error> {
        let lists = self.lists(&[one, other]).await?;
        let has = |of: &UserId, whom| lists.get(of).is_some_and(|list| contains(list, whom));
        Ok(has(&one, other) || has(&other, one))
    }

    /// Whom some users have blocked. What cannot be read again now is told as it was.
    pub async fn lists(&self, users: &[UserId]) -> Result<HashMap<UserId, Blocklist>, sqlx::Error> {
        let (mut lists, missing, number) = self.known().ask(users, Instant::now());
        if missing.is_empty() {
            return Ok(lists);
        }
        let patience = if self.known().has_all(&missing) { AGAIN } else { FIRST };
        let read = timeout(patience, blocked_by(&self.pool, &missing)).await;
        match read.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(pairs) => {
                let read = self.known().take(&missing, pairs, number, Instant::now());
                lists.extend(read);
            }
            // Without the database nobody can have blocked anybody since.
            Err(error) => {
                let known = self.known().believe_once_more(&missing, number, Instant::now());
                lists.extend(known.ok_or(error)?);
            }
        }
        Ok(lists)
    }

    /// A user has blocked or unblocked somebody.
    pub fn forget(&self, user: UserId) {
        self.known().forget(user);
    }

    /// Changes may have been told that this node did not hear.
    pub fn doubt_all(&self) {
        for entry in self.known().entries.values_mut() {
            (entry.good_until, entry.asked) = (None, 0);
        }
    }

    fn known(&self) -> MutexGuard<'_, KnownBlocks> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody is on a list.
pub fn contains(list: &Blocklist, user: UserId) -> bool {
    list.binary_search(&user).is_ok()
}

impl KnownBlocks {
    /// The lists that are fresh, those who are to be asked for, and the number of the question.
    fn ask(&mut self, users: &[UserId], now: Instant) -> (HashMap<UserId, Blocklist>, Vec<UserId>, u64) {
        if self.entries.len() >= MOST_LISTS || self.blocked >= MOST_BLOCKED {
            *self = Self { asked: self.asked, ..Self::default() };
        }
        self.asked += 1;
        let (mut fresh, mut missing) = (HashMap::new(), Vec::new());
        for user in users {
            let entry = self.entries.entry(*user).or_default();
            let is_fresh = entry.good_until.is_some_and(|end| now < end);
            match entry.list.clone().filter(|_| is_fresh) {
                Some(list) => drop(fresh.insert(*user, list)),
                None => {
                    entry.asked = self.asked;
                    missing.push(*user);
                }
            }
        }
        (fresh, missing, self.asked)
    }

    /// The lists as they were read; kept where nothing has changed and nobody has asked since.
    fn take(
        &mut self,
        users: &[UserId],
        pairs: Vec<(UserId, UserId)>,
        number: u64,
        now: Instant,
    ) -> HashMap<UserId, Blocklist> {
        let mut read: HashMap<UserId, Vec<UserId>> = users.iter().map(|user| (*user, Vec::new())).collect();
        for (user, blocked) in pairs {
            read.entry(user).or_default().push(blocked);
        }
        let keep = |(user, mut list): (UserId, Vec<UserId>)| {
            list.sort_unstable();
            let list: Blocklist = list.into();
            if let Some(entry) = self.entries.get_mut(&user).filter(|entry| entry.asked == number) {
                let before = entry.list.replace(list.clone()).map_or(0, |list| list.len());
                self.blocked = self.blocked + list.len() - before;
                entry.good_until = Some(now + FRESH);
            }
            (user, list)
        };
        read.into_iter().map(keep).collect()
    }

    fn has_all(&self, users: &[UserId]) -> bool {
        users.iter().all(|user| self.entries.get(user).is_some_and(|entry| entry.list.is_some()))
    }

    /// The lists as they were, if all were known.
    fn believe_once_more(
        &mut self,
        users: &[UserId],
        number: u64,
        now: Instant,
    ) -> Option<HashMap<UserId, Blocklist>> {
        let believe = |user: &UserId| {
            let entry = self.entries.get_mut(user)?;
            let list = entry.list.clone()?;
            if entry.asked == number {
                entry.good_until = Some(now + ONCE_MORE);
            }
            Some((*user, list))
        };
        users.iter().map(believe).collect()
    }

    fn forget(&mut self, user: UserId) {
        let list = self.entries.remove(&user).and_then(|entry| entry.list);
        self.blocked -= list.map_or(0, |list| list.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: u32) -> UserId {
        format!("01930f3c-5a7b-7c3d-9e4f-0000{n:08x}").parse().expect("id")
    }

    /// Asks for one user; whether the database has to be.
    fn asks(known: &mut KnownBlocks, of: UserId, now: Instant) -> bool {
        !known.ask(&[of], now).1.is_empty()
    }

    fn reads(known: &mut KnownBlocks, of: UserId, blocked: &[UserId], now: Instant) {
        let (_, missing, number) = known.ask(&[of], now);
        known.take(&missing, blocked.iter().map(|user| (of, *user)).collect(), number, now);
    }

    #[test]
    fn a_list_is_read_once_a_minute_also_one_of_nobody() {
        let (mut known, now) = (KnownBlocks::default(), Instant::now());
        reads(&mut known, user(1), &[user(3), user(2)], now);
        reads(&mut known, user(2), &[], now);
        let (fresh, missing, _) = known.ask(&[user(1), user(2)], now);
        assert_eq!(missing, []);
        assert!(contains(&fresh[&user(1)], user(2)) && contains(&fresh[&user(1)], user(3)));
        assert!(!contains(&fresh[&user(1)], user(1)) && fresh[&user(2)].is_empty());
        assert!(asks(&mut known, user(1), now + FRESH));
    }

    #[test]
    fn what_has_changed_is_read_again() {
        let (mut known, now) = (KnownBlocks::default(), Instant::now());
        reads(&mut known, user(1), &[user(2)], now);
        known.forget(user(1));
        assert_eq!(known.blocked, 0);
        assert!(asks(&mut known, user(1), now));
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_kept() {
        let (mut known, now) = (KnownBlocks::default(), Instant::now());
        let (_, missing, number) = known.ask(&[user(1)], now);
        known.forget(user(1));
        let read = known.take(&missing, vec![], number, now);
        assert!(read[&user(1)].is_empty(), "who asked before may be told");
        assert!(asks(&mut known, user(1), now), "who asks after may not");
    }

    #[test]
    fn an_older_answer_does_not_replace_a_younger_one() {
        let (mut known, now) = (KnownBlocks::default(), Instant::now());
        let (_, _, older) = known.ask(&[user(1)], now);
        let (_, _, younger) = known.ask(&[user(1)], now);
        known.take(&[user(1)], vec![(user(1), user(2))], younger, now);
        known.take(&[user(1)], vec![], older, now);
        assert!(contains(&known.ask(&[user(1)], now).0[&user(1)], user(2)));
    }

    #[test]
    fn what_cannot_be_read_again_is_told_as_it_was_if_it_was_known() {
        let (mut known, now) = (KnownBlocks::default(), Instant::now());
        reads(&mut known, user(1), &[user(2)], now);
        let later = now + FRESH;
        let (_, missing, number) = known.ask(&[user(1)], later);
        let told = known.believe_once_more(&missing, number, later).expect("it was known");
        assert!(contains(&told[&user(1)], user(2)));
        assert!(!asks(&mut known, user(1), later) && asks(&mut known, user(1), later + ONCE_MORE));
        let (_, missing, number) = known.ask(&[user(1), user(3)], later + ONCE_MORE);
        assert_eq!(known.believe_once_more(&missing, number, later), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut known, now) = (KnownBlocks::default(), Instant::now());
        let many: Vec<UserId> = (0..1_000).map(user).collect();
        for n in 0..2_500 {
            reads(&mut known, user(n), &many, now);
            assert!(known.blocked <= MOST_BLOCKED + many.len());
        }
        assert!(known.entries.len() < 1_500);
    }
}
