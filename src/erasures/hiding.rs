//! Hiding: a node lists in the log which events are erased. It searches the log itself for the edits of the messages,
//! because the views drop the edits of deleted messages. A claim on the request keeps other nodes away, as a rule. If
//! two nodes work on it anyway, an event is listed twice, and the first list counts.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::sleep;

use crate::{
    accounts::{
        erasures::{self, ErasurePart, ErasureRequest, ToldErasure},
        invitations,
    },
    clock::Clock,
    domain::{
        ContentErased, ConversationId, ConversationUpdated, ErasedEntry, Event, EventId, Fold, Lane,
        Position, Recorded, Time, data_without_title,
    },
    erasures::error::ErasureError,
    log::{
        APPEND_DEADLINE, Conflict, Draft, ELECTION, Log, NotAppended, PAGE, Unavailable, WantedContent,
        client_hash,
    },
    views::Progress,
};

/// The interval at which a node polls for work.
const LOOK: Duration = Duration::from_millis(500);
/// The pause before a request that could not be hidden is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a node may work on a request before another node may take it over.
pub(super) const CLAIM: Duration = Duration::from_secs(60);
/// The time after which the edges give up a command, if its event is not on its way to the log by then.
pub(crate) const DECIDED: Duration = Duration::from_secs(15);
/// An edit that was decided before its message was hidden is stored within this time, unless a process or the network
/// fails meanwhile (`late`): a node decides on a state that may be as old as an election takes, and appends for some time.
pub(super) const SETTLED: Duration = ELECTION.saturating_add(DECIDED).saturating_add(APPEND_DEADLINE);
/// The maximum number of entries in one event. It keeps the event far below the size limit of a message.
const ENTRIES: usize = 200;
/// The type of the first event of a conversation, in any version.
const BEGINNING: &str = "conversation.created";

/// Everything that a node needs for hiding.
#[derive(Clone)]
pub(crate) struct Hiding {
    pub(crate) log: Log,
    pub(crate) pool: PgPool,
    pub(crate) progress: Progress,
    pub(crate) clock: Clock,
}

impl Hiding {
    /// Hides the content of due requests until the process ends.
    pub(crate) async fn run(self) {
        loop {
            match self.step().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "could not hide content to be erased; retrying"),
            }
            sleep(LOOK).await;
        }
    }

    /// Works on one request, if there is one. Returns whether there may be more work right now.
    async fn step(&self) -> Result<bool, ErasureError> {
        let now = self.clock.now();
        if !erasures::are_to_hide(&self.pool, now).await? {
            return Ok(false);
        }
        let hidden = self.hide_next(now).await;
        if !matches!(hidden, Ok(true)) {
            // Even if one request cannot be hidden, the others are finished.
            self.look_again(now).await?;
        }
        hidden
    }

    /// Hides the content of the next due request. Returns whether there was one.
    async fn hide_next(&self, now: Time) -> Result<bool, ErasureError> {
        let Some(erasure) = erasures::claim_due(&self.pool, now, now.plus(CLAIM)).await? else {
            return Ok(false);
        };
        let told = self.released_on_error(&erasure, self.hide(&erasure)).await?;
        erasures::told(&self.pool, erasure.id, &told).await?;
        Ok(true)
    }

    /// Looks for edits of a hidden request that were in flight, and whether the views have followed.
    async fn look_again(&self, now: Time) -> Result<(), ErasureError> {
        let Some(erasure) = erasures::claim_hidden(&self.pool, now, now.plus(CLAIM), SETTLED).await? else {
            return Ok(());
        };
        let told = self.released_on_error(&erasure, self.hide(&erasure)).await?;
        erasures::told(&self.pool, erasure.id, &told).await?;
        if self.views_follow(&told).await? {
            erasures::views_are_done(&self.pool, erasure.id, self.clock.now()).await?;
        } else {
            erasures::release(&self.pool, erasure.id, self.clock.now().plus(LOOK)).await?;
        }
        Ok(())
    }

    async fn released_on_error<T>(
        &self,
        erasure: &ErasureRequest,
        work: impl Future<Output = Result<T, ErasureError>>,
    ) -> Result<T, ErasureError> {
        let done = work.await;
        if done.is_err() {
            erasures::release(&self.pool, erasure.id, self.clock.now().plus(AGAIN)).await?;
        }
        done
    }

    async fn views_follow(&self, told: &ToldErasure) -> Result<bool, ErasureError> {
        let at = self.progress.positions().await?;
        for (conversation, position) in &told.told_at {
            let is_there = at.get(&self.log.stream_of(*conversation)).is_some_and(|at| at >= position);
            if !is_there || self.progress.stands_still(*conversation, *position).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Empties the account of a request, if the request names one, and lists all its content in the log.
    async fn hide(&self, erasure: &ErasureRequest) -> Result<ToldErasure, ErasureError> {
        match erasure.account {
            None => self.tell(erasure, &self.still_there(&erasure.parts).await?).await,
            Some(account) => self.tell(erasure, &self.empty(erasure, account).await?).await,
        }
    }

    /// The parts without the positions at which the log has another event by now.
    pub(super) async fn still_there(&self, parts: &[ErasurePart]) -> Result<Vec<ErasurePart>, ErasureError> {
        let mut there = parts.to_vec();
        for part in there.iter_mut().filter(|part| !part.events.is_empty()) {
            let last = self.log.last(self.log.stream_of(part.conversation)).await?;
            let mut kept = Vec::new();
            for (position, event) in std::mem::take(&mut part.positions).into_iter().zip(&part.events) {
                if position <= last
                    && self.log.at(part.conversation, position).await?.is_some_and(|found| found.id == *event)
                {
                    kept.push(position);
                }
            }
            part.positions = kept;
        }
        Ok(there)
    }

    /// Lists in the log all content of a request that is not listed yet.
    ///
    /// **The last event of a roster is never listed.** A roster change is appended only if the last sequence of its
    /// subject is the expected one, and JetStream forgets a sequence when it deletes the message. If the last event
    /// were deleted, a writer that knows it would be refused for ever, a writer that missed it would be accepted, and a
    /// conversation with no events left would start a second time. So an event that changes nothing is appended after
    /// it *first*: once an event is listed, the eraser may delete it at any moment. The new event sets no title, so it
    /// is never erased itself.
    pub(super) async fn tell(
        &self,
        erasure: &ErasureRequest,
        parts: &[ErasurePart],
    ) -> Result<ToldErasure, ErasureError> {
        let mut told = ToldErasure::default();
        for part in parts {
            let wanted = WantedContent::of(erasure.account, &part.positions);
            loop {
                let found = self.find(part.conversation, &wanted).await?;
                if found.entries.is_empty() {
                    told.told_at.extend(found.told_at.map(|at| (part.conversation, at)));
                    told.messages += found.messages;
                    told.edits += found.edits;
                    if found.has_titles {
                        self.forget_titles(part.conversation).await?;
                    }
                    break;
                }
                if let Some(last) = found.last_of_roster
                    && found.entries.iter().any(|entry| entry.position == last)
                {
                    self.append_to_roster(erasure, part.conversation, last).await?;
                    continue;
                }
                for entries in lists(&found.entries) {
                    self.append(erasure, part.conversation, entries).await?;
                }
            }
        }
        Ok(told)
    }

    async fn append(
        &self,
        erasure: &ErasureRequest,
        conversation: ConversationId,
        entries: &[ErasedEntry],
    ) -> Result<(), ErasureError> {
        let erased = ContentErased {
            request_id: erasure.id.uuid(),
            reason: erasure.reason.clone(),
            erased: entries.to_vec(),
        };
        let draft = self.draft(erasure, conversation, Event::ContentErased(erased));
        Ok(self.log.append(&draft).await.map(drop).map_err(outage)?)
    }

    /// Appends an event that changes nothing after the last event of a roster, unless another event was appended
    /// meanwhile.
    async fn append_to_roster(
        &self,
        erasure: &ErasureRequest,
        conversation: ConversationId,
        last: Position,
    ) -> Result<(), ErasureError> {
        let nothing = ConversationUpdated::default();
        let draft = self.draft(erasure, conversation, Event::ConversationUpdated(nothing));
        match self.log.append_roster(&draft, last).await {
            Ok(_) | Err(Conflict::Changed(_)) => Ok(()),
            Err(Conflict::NotAppended(e)) => Err(outage(e).into()),
        }
    }

    fn draft(&self, erasure: &ErasureRequest, conversation: ConversationId, event: Event) -> Draft {
        Draft {
            conversation,
            id: self.clock.id(EventId::known),
            actor: erasure.actor,
            via: None,
            time: self.clock.now(),
            event,
            key: None,
            trace: None,
        }
    }

    /// Removes all titles except the current one from invitations into a conversation. A node that has not seen the
    /// erasure yet may still write an erased title into an invitation. The second round, which runs when the request
    /// has settled, removes that one too.
    async fn forget_titles(&self, id: ConversationId) -> Result<(), ErasureError> {
        let present = self.log.fold(id, None).await?.conversation;
        Ok(invitations::keep_title(&self.pool, id, present.title()).await?)
    }

    /// Collects what the log has of the wanted messages and titles of a conversation.
    async fn find(&self, id: ConversationId, wanted: &WantedContent) -> Result<Content, ErasureError> {
        let stream = self.log.stream_of(id);
        let mut content = Content::default();
        for one in wanted.among(self.log.erased_events(id).await?) {
            content.told_at = content.told_at.max(Some(one.told_at));
            match one.message {
                None => content.has_titles = true,
                Some(_) if one.is_message => content.messages += 1,
                Some(_) => content.edits += 1,
            }
        }
        let before = wanted.before();
        let upto = self.log.last(stream).await?;
        let mut fold = match before {
            Position::START => Fold::default(),
            before => self.log.fold(id, Some(before)).await?,
        };
        let mut replay = self.log.replay(stream, before, upto, &[id]).await?;
        loop {
            let page = replay.page(PAGE).await?;
            if page.is_empty() {
                return Ok(content);
            }
            for recorded in page {
                let counts = recorded.apply_to(&mut fold).is_some();
                if recorded.lane == Lane::Roster {
                    content.last_of_roster = Some(recorded.position);
                }
                content.entries.extend(entry(&recorded, wanted, counts));
            }
        }
    }
}

fn outage(not_appended: NotAppended) -> Unavailable {
    match not_appended {
        NotAppended::Unavailable(e) => e,
        e @ NotAppended::TooLarge => Unavailable::because(e),
    }
}

/// Splits the entries into lists, one for each event to append. The first event of a conversation may name a thousand
/// members, so it gets a list of its own.
fn lists(entries: &[ErasedEntry]) -> impl Iterator<Item = &[ErasedEntry]> {
    let begins = |entry: &ErasedEntry| entry.message_id.is_none() && entry.kind.starts_with(BEGINNING);
    let parts = entries.chunk_by(move |one, next| !begins(one) && !begins(next));
    parts.flat_map(|part| part.chunks(ENTRIES))
}

/// What the log has of the wanted messages and titles: those already listed as erased, and those not yet listed.
#[derive(Default)]
struct Content {
    entries: Vec<ErasedEntry>,
    told_at: Option<Position>,
    messages: u32,
    edits: u32,
    has_titles: bool,
    /// The position of the last roster event in the replay, even if the event cannot be read.
    last_of_roster: Option<Position>,
}

/// The entry for an event that is a wanted message, an edit of one, or sets a wanted title; `None` for any other event
/// and for one that is already listed.
pub(super) fn entry(recorded: &Recorded, wanted: &WantedContent, counts: bool) -> Option<ErasedEntry> {
    if recorded.erased.is_some() {
        return None;
    }
    let event = recorded.event.as_ref()?;
    let (message_id, message_position, data) = match event {
        Event::MessageSent(sent) if wanted.has_message(recorded.position, recorded.actor) => {
            (Some(sent.message_id), None, None)
        }
        Event::MessageEdited(edited) if wanted.has_message(edited.message_position, recorded.actor) => {
            (Some(edited.message_id), Some(edited.message_position), None)
        }
        Event::ConversationCreated(_) | Event::ConversationUpdated(_)
            if wanted.has_title(recorded.position) =>
        {
            (None, None, Some(data_without_title(&recorded.data)?))
        }
        _ => return None,
    };
    let hash = |key| client_hash(recorded.actor, recorded.conversation, key);
    Some(ErasedEntry {
        position: recorded.position,
        id: recorded.id,
        kind: recorded.word.clone(),
        lane: recorded.lane.word().to_owned(),
        actor: recorded.actor,
        time: recorded.time,
        message_id,
        message_position,
        client_hash: event.client_id().map(hash),
        counts,
        data,
    })
}
