//! Fair shares: a node has a number of places for one kind of work, and one holder gets no more than a share of them.
//! Further work of a holder waits in a queue of its own, so it slows down that holder alone.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};

/// The bounds of a kind of work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// The most pieces of work under way on this node.
    pub of_node: usize,
    /// The most pieces of work under way for one holder.
    pub of_one: usize,
    /// The most pieces of work that wait for one holder, besides those under way.
    pub waiting_of_one: usize,
    /// The most pieces of work that wait on this node.
    pub waiting: usize,
    /// The longest wait for each of the two places, the holder's and the node's.
    pub patience: Duration,
    /// A holder's next piece of work begins after a rest as long as the last one took, and no longer than this. So a
    /// holder whose work never ends uses half of a core.
    pub longest_rest: Duration,
}

/// Why there is no place for a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// The holder has too much work under way.
    OfOne,
    /// The node has too much work under way.
    OfNode,
}

/// The places for one kind of work. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Shares<K: Eq + Hash + Copy>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    sizes: Sizes,
    places: Arc<Semaphore>,
    lines: Arc<Semaphore>,
    holders: Mutex<HashMap<K, Own>>,
}

/// The work of one holder.
#[derive(Debug)]
struct Own {
    places: Arc<Semaphore>,
    /// How many pieces of work hold a place or wait for one. The entry stays as long as there are any.
    inside: usize,
    rests_until: Instant,
}

/// A place for one piece of work. Dropping the value frees the place.
#[derive(Debug)]
pub struct Place<K: Eq + Hash + Copy> {
    // Fields are dropped in this order. The place of the node is free, and the rest begins, before the place of the
    // holder is free: in another order, the next piece of work in the holder's line would find the node full although
    // this one has ended, or would begin without a rest.
    _of_node: OwnedSemaphorePermit,
    _work: Work<K>,
    _of_one: OwnedSemaphorePermit,
    _inside: Inside<K>,
}

/// A piece of work under way. When the value is dropped, the rest of its holder begins.
#[derive(Debug)]
struct Work<K: Eq + Hash + Copy> {
    shares: Shares<K>,
    holder: K,
    begun: Instant,
}

/// A piece of work that counts as its holder's until the value is dropped, even if its request is cancelled while it
/// waits.
#[derive(Debug)]
struct Inside<K: Eq + Hash + Copy> {
    shares: Shares<K>,
    holder: K,
}

impl<K: Eq + Hash + Copy> Clone for Shares<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash + Copy> Shares<K> {
    pub(crate) fn new(sizes: Sizes) -> Self {
        Self(Arc::new(Inner {
            sizes,
            places: Arc::new(Semaphore::new(sizes.of_node)),
            lines: Arc::new(Semaphore::new(sizes.waiting)),
            holders: Mutex::default(),
        }))
    }

    /// Waits for a place.
    pub(crate) async fn take(&self, holder: K) -> Result<Place<K>, NoPlace> {
        let (inside, own) = self.enter(holder)?;
        // Work that finds both places free does not enter the line, so it takes no room from waiting work.
        let own_at_once = own.clone().try_acquire_owned().ok();
        let both_at_once = own_at_once.map(|own| (self.place_at_once(holder), own));
        let (of_node, of_one) = match both_at_once {
            Some((Some(of_node), of_one)) => (of_node, of_one),
            waits => self.wait(holder, own, waits.map(|(_, own)| own)).await?,
        };
        let work = Work { shares: self.clone(), holder, begun: Instant::now() };
        Ok(Place { _of_node: of_node, _work: work, _of_one: of_one, _inside: inside })
    }

    fn place_at_once(&self, holder: K) -> Option<OwnedSemaphorePermit> {
        (self.rests_until(holder) <= Instant::now())
            .then(|| self.0.places.clone().try_acquire_owned().ok())?
    }

    /// Waits for the holder's place first, then for the node's: in the other order, work that waits for its
    /// holder's turn would keep a place of the node from everybody else.
    async fn wait(
        &self,
        holder: K,
        own: Arc<Semaphore>,
        at_once: Option<OwnedSemaphorePermit>,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), NoPlace> {
        let patience = self.0.sizes.patience;
        let _in_line = self.0.lines.try_acquire().map_err(|_| NoPlace::OfNode)?;
        let of_one = match at_once {
            Some(permit) => permit,
            None => in_time(patience, own).await.ok_or(NoPlace::OfOne)?,
        };
        sleep_until(self.rests_until(holder)).await;
        let of_node = in_time(patience, self.0.places.clone()).await.ok_or(NoPlace::OfNode)?;
        Ok((of_node, of_one))
    }

    fn enter(&self, holder: K) -> Result<(Inside<K>, Arc<Semaphore>), NoPlace> {
        let Sizes { of_one, waiting_of_one, .. } = self.0.sizes;
        let mut holders = self.holders();
        let new = || Own { places: Arc::new(Semaphore::new(of_one)), inside: 0, rests_until: Instant::now() };
        let own = holders.entry(holder).or_insert_with(new);
        if own.inside >= of_one + waiting_of_one {
            return Err(NoPlace::OfOne);
        }
        own.inside += 1;
        Ok((Inside { shares: self.clone(), holder }, own.places.clone()))
    }

    fn rests_until(&self, holder: K) -> Instant {
        self.holders().get(&holder).map_or_else(Instant::now, |own| own.rests_until)
    }

    fn holders(&self) -> MutexGuard<'_, HashMap<K, Own>> {
        self.0.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Copy> Drop for Work<K> {
    fn drop(&mut self) {
        let rest = self.begun.elapsed().min(self.shares.0.sizes.longest_rest);
        if let Some(own) = self.shares.holders().get_mut(&self.holder) {
            own.rests_until = Instant::now() + rest;
        }
    }
}

impl<K: Eq + Hash + Copy> Drop for Inside<K> {
    fn drop(&mut self) {
        let mut holders = self.shares.holders();
        let Some(own) = holders.get_mut(&self.holder) else { return };
        own.inside -= 1;
        if own.inside == 0 {
            holders.remove(&self.holder);
        }
    }
}

async fn in_time(patience: Duration, places: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    timeout(patience, places.acquire_owned()).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, future::join_all};
    use tokio::time::sleep;

    use super::*;

    fn shares(of_node: usize, of_one: usize) -> Shares<u8> {
        let patience = Duration::from_secs(30);
        Shares::new(Sizes {
            of_node,
            of_one,
            waiting_of_one: 5,
            waiting: 8,
            patience,
            longest_rest: Duration::ZERO,
        })
    }

    #[tokio::test]
    async fn one_holder_takes_no_more_than_a_share_and_others_go_on() {
        let shares = shares(4, 2);
        let mut mine = join_all((0..2).map(|_| shares.take(1))).await;
        let mut waits: Vec<_> = (0..5).map(|_| Box::pin(shares.take(1))).collect();
        assert!(waits.iter_mut().all(|waits| waits.now_or_never().is_none()));
        assert_eq!(shares.take(1).await.err(), Some(NoPlace::OfOne), "one more than may wait");
        assert!(shares.take(2).await.is_ok(), "another holder has a place at once");
        mine.pop();
        assert!(waits.swap_remove(0).await.is_ok(), "the line of the holder moves on");
    }

    #[tokio::test]
    async fn what_waits_on_a_node_is_bounded() {
        let shares = shares(1, 1);
        let held = shares.take(0).await;
        let mut waits: Vec<_> = (1..=8).map(|holder| Box::pin(shares.take(holder))).collect();
        assert!(waits.iter_mut().all(|waits| waits.now_or_never().is_none()));
        assert_eq!(shares.take(9).await.err(), Some(NoPlace::OfNode));
        drop(held);
        assert!(waits.swap_remove(0).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_waited_behind_long_work_begins_after_a_rest() {
        let longest_rest = Duration::from_secs(2);
        let shares = Shares::new(Sizes { longest_rest, ..shares(2, 1).0.sizes });
        for (took, rested) in [(1, 1), (5, 2)] {
            let held = shares.take(1).await.expect("a place");
            let next = async {
                let place = shares.take(1).await.expect("a place");
                (place, Instant::now())
            };
            let ends = async {
                sleep(Duration::from_secs(took)).await;
                drop(held);
                assert!(shares.take(2).await.is_ok(), "another holder does not wait");
                Instant::now()
            };
            let ((place, begun), ended) = tokio::join!(next, ends);
            assert_eq!(begun.duration_since(ended).as_secs(), rested);
            drop(place);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_nothing_is_left_behind() {
        let shares = shares(2, 1);
        let held = (shares.take(1).await, shares.take(2).await);
        assert_eq!(shares.take(1).await.err(), Some(NoPlace::OfOne));
        assert_eq!(shares.take(3).await.err(), Some(NoPlace::OfNode));
        let mut given_up = Box::pin(shares.take(3));
        assert!(given_up.as_mut().now_or_never().is_none());
        drop((given_up, held));
        assert!(shares.holders().is_empty());
        assert_eq!((shares.0.places.available_permits(), shares.0.lines.available_permits()), (2, 8));
    }
}
