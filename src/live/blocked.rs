//! The block lists of users, kept in memory for users that were looked up lately, because a message must not cost a
//! query. A node forgets a list when a signal reports a change. A change whose signal is lost takes effect after a
//! minute, when the list is read again.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use crate::{
    accounts::blocks::blocked_by,
    cache::{Cache, Question},
    domain::UserId,
};

/// How long a list is trusted.
const FRESH: Duration = Duration::from_secs(60);
/// How much longer a list is trusted if it cannot be read again.
const ONCE_MORE: Duration = Duration::from_secs(5);
/// Timeout of a query if the lists in memory can replace its answer.
const AGAIN: Duration = Duration::from_millis(250);
/// Timeout of a query if they cannot.
const FIRST: Duration = Duration::from_secs(2);
/// The most blocked users in all stored lists together, plus [`EACH`] for each list: at most 100,000 lists.
const MOST: usize = 1_000_000;
/// The weight of a list in addition to its users.
const EACH: usize = 10;

/// The users that a user has blocked, in order.
pub type Blocklist = Arc<[UserId]>;

/// The lists of blocked users that a node knows.
#[derive(Debug)]
pub struct Blocked {
    pool: PgPool,
    known: KnownBlocks,
}

#[derive(Debug)]
struct KnownBlocks {
    lists: Cache<UserId, KnownList>,
    /// When the node last noticed that it may have missed a change.
    doubted_at: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone)]
struct KnownList {
    list: Blocklist,
    /// When the database was queried.
    asked_at: Instant,
    good_until: Instant,
}

/// Users whose lists have to be queried.
struct Asked {
    missing: Vec<UserId>,
    question: Question,
    at: Instant,
}

impl Blocked {
    /// Starts without any lists.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, known: KnownBlocks::default() }
    }

    /// Whether one of two people has blocked the other.
    pub async fn between(&self, one: UserId, other: UserId) -> Result<bool, sqlx::Error> {
        let lists = self.lists(&[one, other]).await?;
        let has = |of: &UserId, whom| lists.get(of).is_some_and(|list| contains(list, whom));
        Ok(has(&one, other) || has(&other, one))
    }

    /// The lists of some users. While the database does not answer, known lists are returned as they were.
    pub async fn lists(&self, users: &[UserId]) -> Result<HashMap<UserId, Blocklist>, sqlx::Error> {
        let (mut lists, asked) = self.known.ask(users, Instant::now());
        if asked.missing.is_empty() {
            return Ok(lists);
        }
        let patience = if self.known.has_all(&asked.missing) { AGAIN } else { FIRST };
        let read = timeout(patience, blocked_by(&self.pool, &asked.missing)).await;
        match read.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(pairs) => lists.extend(self.known.take(&asked, pairs, Instant::now())),
            // Blocks are stored in the same database, so nothing can have changed while it is away.
            Err(error) => {
                let known = self.known.believe_once_more(&asked, Instant::now());
                lists.extend(known.ok_or(error)?);
            }
        }
        Ok(lists)
    }

    /// Forgets the list of a user after it has changed in the database.
    pub fn forget(&self, user: UserId) {
        self.known.lists.forget(&user);
    }

    /// Distrusts all lists, because this node may have missed signals.
    pub fn doubt_all(&self) {
        self.known.doubt_all(Instant::now());
    }
}

/// Whether a user is on a list.
pub fn contains(list: &Blocklist, user: UserId) -> bool {
    list.binary_search(&user).is_ok()
}

impl Default for KnownBlocks {
    fn default() -> Self {
        let lists = Cache::weighing("blocks", MOST, EACH, |known: &KnownList| known.list.len());
        Self { lists, doubted_at: Mutex::default() }
    }
}

impl KnownBlocks {
    /// Returns the lists that are fresh, and the question for the others. The number of the question is taken first, so
    /// that a list that changes during the query is not kept.
    fn ask(&self, users: &[UserId], now: Instant) -> (HashMap<UserId, Blocklist>, Asked) {
        let question = self.lists.ask();
        let doubted_at = *self.doubted_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |known: &KnownList| now < known.good_until && Some(known.asked_at) > doubted_at;
        let (mut fresh, mut missing) = (HashMap::new(), Vec::new());
        for user in users {
            match self.lists.get(user).filter(is_fresh) {
                Some(known) => drop(fresh.insert(*user, known.list)),
                None => missing.push(*user),
            }
        }
        (fresh, Asked { missing, question, at: now })
    }

    /// Takes in the lists that were read.
    fn take(&self, asked: &Asked, pairs: Vec<(UserId, UserId)>, now: Instant) -> HashMap<UserId, Blocklist> {
        let mut read: HashMap<UserId, Vec<UserId>> =
            asked.missing.iter().map(|user| (*user, Vec::new())).collect();
        for (user, blocked) in pairs {
            read.entry(user).or_default().push(blocked);
        }
        let keep = |(user, mut list): (UserId, Vec<UserId>)| {
            list.sort_unstable();
            let list: Blocklist = list.into();
            self.keep(asked, user, list.clone(), now + FRESH);
            (user, list)
        };
        read.into_iter().map(keep).collect()
    }

    fn keep(&self, asked: &Asked, user: UserId, list: Blocklist, good_until: Instant) {
        self.lists.answer(asked.question, user, KnownList { list, asked_at: asked.at, good_until });
    }

    fn has_all(&self, users: &[UserId]) -> bool {
        users.iter().all(|user| self.lists.get(user).is_some())
    }

    /// The lists as they were, if all are still known. A list that was forgotten meanwhile has changed.
    fn believe_once_more(&self, asked: &Asked, now: Instant) -> Option<HashMap<UserId, Blocklist>> {
        let believe = |user: &UserId| {
            let list = self.lists.get(user)?.list;
            self.keep(asked, *user, list.clone(), now + ONCE_MORE);
            Some((*user, list))
        };
        asked.missing.iter().map(believe).collect()
    }

    /// From now on, no list counts as fresh that was queried up to `now`. The lists stay in memory for times when the
    /// database does not answer.
    fn doubt_all(&self, now: Instant) {
        *self.doubted_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: u32) -> UserId {
        format!("01930f3c-5a7b-7c3d-9e4f-0000{n:08x}").parse().expect("id")
    }

    /// Asks for the list of one user. Returns whether the database has to be queried.
    fn asks(known: &KnownBlocks, of: UserId, now: Instant) -> bool {
        !known.ask(&[of], now).1.missing.is_empty()
    }

    fn reads(known: &KnownBlocks, of: UserId, blocked: &[UserId], now: Instant) {
        let (_, asked) = known.ask(&[of], now);
        known.take(&asked, blocked.iter().map(|user| (of, *user)).collect(), now);
    }

    #[test]
    fn a_list_is_read_once_a_minute_also_one_of_nobody() {
        let (known, now) = (KnownBlocks::default(), Instant::now());
        reads(&known, user(1), &[user(3), user(2)], now);
        reads(&known, user(2), &[], now);
        let (fresh, asked) = known.ask(&[user(1), user(2)], now);
        assert_eq!(asked.missing, []);
        assert!(contains(&fresh[&user(1)], user(2)) && contains(&fresh[&user(1)], user(3)));
        assert!(!contains(&fresh[&user(1)], user(1)) && fresh[&user(2)].is_empty());
        assert!(asks(&known, user(1), now + FRESH));
    }

    #[test]
    fn what_has_changed_is_read_again() {
        let (known, now) = (KnownBlocks::default(), Instant::now());
        reads(&known, user(1), &[user(2)], now);
        known.lists.forget(&user(1));
        assert_eq!(known.lists.weight(), 0);
        assert!(asks(&known, user(1), now));
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_kept() {
        let (known, now) = (KnownBlocks::default(), Instant::now());
        let (_, asked) = known.ask(&[user(1)], now);
        known.lists.forget(&user(1));
        let read = known.take(&asked, vec![], now);
        assert!(read[&user(1)].is_empty(), "who asked before may be told");
        assert!(asks(&known, user(1), now), "who asks after may not");
    }

    #[test]
    fn an_older_answer_does_not_replace_a_younger_one() {
        let (known, now) = (KnownBlocks::default(), Instant::now());
        let (_, older) = known.ask(&[user(1)], now);
        let (_, younger) = known.ask(&[user(1)], now);
        known.take(&younger, vec![(user(1), user(2))], now);
        known.take(&older, vec![], now);
        assert!(contains(&known.ask(&[user(1)], now).0[&user(1)], user(2)));
    }

    #[test]
    fn what_cannot_be_read_again_is_told_as_it_was_if_it_was_known() {
        let (known, now) = (KnownBlocks::default(), Instant::now());
        reads(&known, user(1), &[user(2)], now);
        let later = now + FRESH;
        let (_, asked) = known.ask(&[user(1)], later);
        let told = known.believe_once_more(&asked, later).expect("it was known");
        assert!(contains(&told[&user(1)], user(2)));
        assert!(!asks(&known, user(1), later) && asks(&known, user(1), later + ONCE_MORE));
        let (_, asked) = known.ask(&[user(1), user(3)], later + ONCE_MORE);
        assert_eq!(known.believe_once_more(&asked, later), None);
    }

    #[test]
    fn a_list_that_changes_while_the_database_is_away_is_not_told_as_it_was() {
        let (known, now) = (KnownBlocks::default(), Instant::now());
        reads(&known, user(1), &[user(2)], now);
        let (_, asked) = known.ask(&[user(1)], now + FRESH);
        known.lists.forget(&user(1));
        assert_eq!(known.believe_once_more(&asked, now + FRESH), None);
    }

    #[test]
    fn a_list_that_is_doubted_is_read_again_and_told_as_it_was_where_it_cannot_be() {
        let (known, now) = (KnownBlocks::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        reads(&known, user(1), &[user(2)], now);
        let (_, on_its_way) = known.ask(&[user(2)], now);
        known.doubt_all(later);
        known.take(&on_its_way, vec![], later);
        let (fresh, asked) = known.ask(&[user(1), user(2)], later + ONCE_MORE);
        assert!(fresh.is_empty(), "the change may have come before or after the answers");
        let told = known.believe_once_more(&asked, later + ONCE_MORE).expect("both were known");
        assert!(contains(&told[&user(1)], user(2)));
        assert!(!asks(&known, user(1), later + ONCE_MORE));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (known, now) = (KnownBlocks::default(), Instant::now());
        let many: Vec<UserId> = (0..1_000).map(user).collect();
        for n in 0..2_500 {
            reads(&known, user(n), &many, now);
            assert!(known.lists.weight() <= MOST);
        }
        assert!(known.lists.weight() > MOST - EACH - many.len());
    }
}
