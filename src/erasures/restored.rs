//! Hiding again after a restore. The restored log may end before an event that lists erased content, while the request
//! for it says that it is hidden, or even done. So the content is listed again, before anybody may read the log.

use crate::{
    accounts::{
        erasures::{ErasurePart, ErasureRequest},
        restored_erasures,
    },
    domain::Position,
    erasures::{error::ErasureError, hiding::Hiding},
};

impl Hiding {
    /// Lists again in a restored log what requests had hidden after these ends of its streams, and removes from all
    /// requests the positions after the ends: other events will be there. It can be interrupted and repeated.
    ///
    /// `is_their_log` says whether the requests are about this log. If they are about another epoch, it may have had other
    /// events at the same positions, so only events that a request names by their ids are listed again.
    pub(crate) async fn hide_again(&self, ends: &[Position], is_their_log: bool) -> Result<(), ErasureError> {
        let first = ends.iter().min().filter(|_| is_their_log).copied().unwrap_or_default();
        let mut after = None;
        loop {
            let requests = restored_erasures::beyond(&self.pool, first, after).await?;
            let Some(last) = requests.last() else { return Ok(()) };
            after = Some(last.id);
            for request in requests {
                self.begin_again(&request, ends, is_their_log).await?;
            }
        }
    }

    async fn begin_again(
        &self,
        request: &ErasureRequest,
        ends: &[Position],
        is_their_log: bool,
    ) -> Result<(), ErasureError> {
        let end = |part: &ErasurePart| ends[self.log.stream_of(part.conversation)];
        let is_lost = |part: &ErasurePart| part.told_at.is_some_and(|at| !is_their_log || at > end(part));
        let certain = request.parts.iter().filter(|part| is_their_log || is_proven(part));
        let is_any_lost = certain.clone().any(is_lost);
        let mut parts: Vec<ErasurePart> = certain.filter_map(|part| until(part, end(part))).collect();
        let hidden = match is_any_lost && request.hidden_at.is_some() {
            true => Some(self.tell(request, &self.still_there(&parts).await?).await?),
            false => None,
        };
        for (conversation, at) in hidden.iter().flat_map(|hidden| &hidden.told_at) {
            let told = parts.iter_mut().filter(|part| part.conversation == *conversation);
            told.for_each(|part| part.told_at = Some(*at));
        }
        Ok(restored_erasures::begins_again(&self.pool, request.id, &parts, hidden.as_ref()).await?)
    }
}

/// Whether a part says which events it is about, or which account. Those of the retention do not: it asks for them anew
/// where they are still due.
fn is_proven(part: &ErasurePart) -> bool {
    part.positions.len() == part.events.len()
}

/// A part without what is after the end of its stream; `None` if nothing is left of it. The part of an erased account
/// names no positions.
fn until(part: &ErasurePart, end: Position) -> Option<ErasurePart> {
    let mut left = part.clone();
    let kept = part.positions.partition_point(|at| *at <= end);
    left.positions.truncate(kept);
    left.events.truncate(kept);
    left.told_at = part.told_at.filter(|at| *at <= end);
    (kept > 0 || part.positions.is_empty()).then_some(left)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ConversationId, EventId};

    #[test]
    fn a_part_ends_where_its_stream_ends() {
        let part = |positions: &[u64], told_at: Option<u64>| ErasurePart {
            conversation: ConversationId::known(Uuid::nil()),
            positions: positions.iter().copied().map(Position).collect(),
            events: positions.iter().map(|at| EventId::known(Uuid::from_u128((*at).into()))).collect(),
            told_at: told_at.map(Position),
        };
        let end = Position(10);
        assert_eq!(until(&part(&[3, 10, 11], Some(12)), end), Some(part(&[3, 10], None)));
        assert_eq!(until(&part(&[3], Some(10)), end), Some(part(&[3], Some(10))));
        assert_eq!(until(&part(&[11], None), end), None);
        assert_eq!(until(&part(&[], Some(12)), end), Some(part(&[], None)), "all messages of an account");
        let of_retention = ErasurePart { events: Vec::new(), ..part(&[3], Some(12)) };
        assert!(is_proven(&part(&[3], None)) && is_proven(&part(&[], None)) && !is_proven(&of_retention));
    }
}
