//! Explained holes: the entries that erasures in the log have for the positions that they empty. The leader of a stream
//! is asked once for all its entries, and again when a hole is found that nothing explains yet. Apart from that, every
//! read of an event `content.erased` adds its entries.

use crate::{
    domain::{ConversationId, Lane, Position, Recorded},
    log::{Log, Unavailable, absent::if_there, memory::erased::Erased, streams::layout},
};

/// The subjects of the events that list erased positions.
const CONTROL: &str = "chat.*.*.control";

impl Log {
    pub(in crate::log) fn erased(&self, stream: usize) -> &Erased {
        &self.erased[stream]
    }

    /// Reads the entries of a stream, unless this process has done so.
    pub(in crate::log) async fn know_erasures(&self, stream: usize) -> Result<(), Unavailable> {
        match self.erased(stream).is_loaded() {
            true => Ok(()),
            false => self.learn_erasures(stream).await,
        }
    }

    /// Reads the entries that are not known yet, as the leader has them at this moment.
    pub(in crate::log) async fn learn_erasures(&self, stream: usize) -> Result<(), Unavailable> {
        let erased = self.erased(stream);
        let _turn = erased.turn().await;
        let of = self.jetstream.get_stream_no_info(layout::name(stream)).await;
        let of = of.map_err(Unavailable::because)?;
        loop {
            let from = erased.read().0 + 1;
            let message = if_there(of.get_first_raw_message_by_subject(CONTROL, from).await);
            let Some(message) = message.map_err(Unavailable::because)? else { break };
            let (position, headers) = (message.sequence, Some(&message.headers));
            self.heard(
                stream,
                &Recorded::read_or_poison(position, &message.subject, headers, message.payload),
            );
            erased.read_to(Position(position));
        }
        erased.is_all();
        Ok(())
    }

    /// Adds the entries of an event that was read. The event is also noted as stored: it can prove that a replica has
    /// come as far, which an erased event no longer can.
    pub(in crate::log) fn heard(&self, stream: usize, recorded: &Recorded) {
        if recorded.lane == Lane::Control && recorded.has_conversation() {
            self.erased(stream).hear(recorded);
            self.known[stream].note(recorded.position, recorded.conversation);
        }
    }

    /// The skeleton of an event that was read before, if the log lists it as erased by now.
    pub(crate) fn left_of(&self, recorded: &Recorded) -> Option<Recorded> {
        self.erased(self.stream_of(recorded.conversation)).at(recorded.position)
    }

    /// The skeleton of the event at a position, if the log lists it as erased.
    pub(in crate::log) async fn skeleton(
        &self,
        stream: usize,
        position: Position,
    ) -> Result<Option<Recorded>, Unavailable> {
        if let Some(skeleton) = self.erased(stream).at(position) {
            return Ok(Some(skeleton));
        }
        self.learn_erasures(stream).await?;
        Ok(self.erased(stream).at(position))
    }

    /// The last events of lanes, including the skeletons of later events that are erased.
    pub(in crate::log) fn with_erased(
        &self,
        stream: usize,
        conversations: &[ConversationId],
        upto: Position,
        found: Vec<Recorded>,
    ) -> Vec<Recorded> {
        let erased = self.erased(stream);
        if erased.count() == 0 {
            return found;
        }
        let mut found: Vec<Recorded> = found.into_iter().map(|recorded| erased.told(recorded)).collect();
        for skeleton in conversations.iter().flat_map(|id| erased.last_of(*id, upto)) {
            let same = |there: &&mut Recorded| {
                (there.conversation, there.lane) == (skeleton.conversation, skeleton.lane)
            };
            match found.iter_mut().find(same) {
                Some(there) if there.position < skeleton.position => *there = skeleton,
                Some(_) => {}
                None => found.push(skeleton),
            }
        }
        found
    }
}

/// Events in order, with skeletons inserted where an event is missing, and in place of erased events.
pub(in crate::log) fn spliced(events: Vec<Recorded>, skeletons: Vec<Recorded>) -> Vec<Recorded> {
    if skeletons.is_empty() {
        return events;
    }
    let mut all = Vec::with_capacity(events.len() + skeletons.len());
    let mut events = events.into_iter().peekable();
    for skeleton in skeletons {
        while let Some(before) = events.next_if(|event| event.position < skeleton.position) {
            all.push(before);
        }
        let _ = events.next_if(|event| event.position == skeleton.position);
        all.push(skeleton);
    }
    all.extend(events);
    all
}
