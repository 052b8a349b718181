//! Reactions and pins, which are added to messages and removed again. They are folded over a batch, so that the cut of
//! the log into batches does not matter.

use std::collections::BTreeMap;

use crate::domain::{Position, Time, UserId};

/// The user, the position and the time of the event that added it.
pub(super) type Put = (UserId, Position, Time);

/// The effect of a batch on one reaction or pin: first the removal, if there was one, then the addition. A repeated
/// addition counts from the first one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Toggle {
    pub(super) taken: bool,
    pub(super) put: Option<Put>,
}

pub(super) type Toggles<K> = BTreeMap<K, Toggle>;

pub(super) fn put<K: Ord>(toggles: &mut Toggles<K>, key: K, put: Put) {
    toggles.entry(key).or_default().put.get_or_insert(put);
}

pub(super) fn take<K: Ord>(toggles: &mut Toggles<K>, key: K) {
    toggles.insert(key, Toggle { taken: true, put: None });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_where_its_events_end_one_by_one() {
        let ana = "01930f3c-5a7b-7c3d-8e4f-0123456789ab".parse::<UserId>().expect("id");
        let time = "2026-11-24T13:10:00.123Z".parse::<Time>().expect("time");
        let at = |n: u64| (ana, Position(n), time);
        // Each bit is an addition or a removal. Before them, the reaction or pin is there or not.
        for (bits, before) in (0..32_u64).flat_map(|bits| [(bits, None), (bits, Some(at(0)))]) {
            let (mut one_by_one, mut toggles) = (before, Toggles::new());
            for n in 0..5 {
                if bits >> n & 1 == 1 {
                    one_by_one = one_by_one.or(Some(at(n + 1)));
                    put(&mut toggles, (), at(n + 1));
                } else {
                    one_by_one = None;
                    take(&mut toggles, ());
                }
            }
            let Toggle { taken, put } = toggles[&()];
            assert_eq!(before.filter(|_| !taken).or(put), one_by_one, "{bits:05b} {before:?}");
        }
    }
}
