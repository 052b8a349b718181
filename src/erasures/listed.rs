//! What the log lists as erased for a request.

use crate::{
    accounts::erasures::ErasureRequest,
    domain::ConversationId,
    erasures::error::ErasureError,
    log::{ErasedEvent, Log, WantedContent},
};

/// The erased events of a request for each conversation, with its stream, up to the position that the request has
/// recorded.
pub(super) async fn listed(
    log: &Log,
    erasure: &ErasureRequest,
) -> Result<Vec<(usize, Vec<ErasedEvent>)>, ErasureError> {
    let conversations: Vec<ConversationId> = erasure.parts.iter().map(|part| part.conversation).collect();
    let mut listed = Vec::new();
    for (part, events) in erasure.parts.iter().zip(log.erased_of(&conversations).await?) {
        let mut events = WantedContent::of(erasure.account, &part.positions).among(events);
        events.retain(|event| Some(event.told_at) <= part.told_at);
        listed.push((log.stream_of(part.conversation), events));
    }
    Ok(listed)
}
