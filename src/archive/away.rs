//! The streams that do not answer. Each of them holds up only the requests that have something there, and only the first
//! of these in a round waits for it.

use std::{collections::BTreeSet, fmt::Display};

use futures_util::future::join_all;

use crate::domain::ErasureId;

/// The streams that have not answered in this round.
#[derive(Default)]
pub(super) struct Away(BTreeSet<usize>);

impl Away {
    pub(super) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// What the log says of a request with something in these streams; `None` if one of them does not answer.
    pub(super) async fn said<T, E: Display, A: Future<Output = bool>>(
        &mut self,
        of: ErasureId,
        streams: BTreeSet<usize>,
        asked: impl Future<Output = Result<T, E>>,
        answers: impl Fn(usize) -> A,
    ) -> Option<T> {
        if !self.0.is_disjoint(&streams) {
            return None;
        }
        match asked.await {
            Ok(said) => Some(said),
            Err(error) => {
                tracing::warn!(%error, erasure = %of, "could not remove an erasure from the archive; retrying");
                let looks = join_all(streams.iter().map(|stream| answers(*stream))).await;
                self.0.extend(
                    streams
                        .into_iter()
                        .zip(looks)
                        .filter_map(|(stream, answers)| (!answers).then_some(stream)),
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_stream_that_is_away_holds_up_only_what_has_something_there_and_is_waited_for_once() {
        let (mut away, waits) = (Away::default(), Cell::new(0));
        let mut said = Vec::new();
        for streams in [&[0, 3][..], &[3], &[1, 3], &[0], &[1, 2]] {
            let streams: BTreeSet<usize> = streams.iter().copied().collect();
            let is_whole = !streams.contains(&3);
            let asked = async {
                waits.set(waits.get() + usize::from(!is_whole));
                is_whole.then_some(()).ok_or("it has no leader")
            };
            let of = ErasureId::known(Uuid::nil());
            let answer = away.said(of, streams.clone(), asked, async |stream| stream != 3).await;
            said.extend(answer.map(|()| streams));
        }
        assert_eq!(said, [BTreeSet::from([0]), BTreeSet::from([1, 2])]);
        assert!(away.is_any() && waits.get() == 1, "{} waits", waits.get());
    }
}
