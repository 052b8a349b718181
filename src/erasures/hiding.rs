//! Hiding: a node says in the log which events are erased. It looks for the edits of the messages in the log itself, because
//! the views forget the edits of deleted messages. Nobody else's node does so meanwhile, as a rule; if two do, an event is
//! listed twice, and the first list counts.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::sleep;

use crate::{
    accounts::erasures::{self, ErasurePart, ErasureRequest, ToldErasure},
    clock::Clock,
    domain::{ContentErased, ConversationId, ErasedEntry, Event, EventId, Fold, Position, Recorded, Time},
    erasures::{error::ErasureError, wanted::WantedContent},
    log::{Draft, Log, NotAppended, PAGE, Unavailable, client_hash},
    views::Progress,
};

/// How often a node looks for something to do.
const LOOK: Duration = Duration::from_millis(500);
/// How long a node may work on a request before another one takes it.
const CLAIM: Duration = Duration::from_secs(60);
/// An edit that was decided before its message was hidden is stored within this time, or never.
const SETTLED: Duration = Duration::from_secs(12);
/// The most entries of an event, so that it stays far below the largest message.
const ENTRIES: usize = 200;

/// What a node needs to hide.
#[derive(Clone)]
pub(crate) struct Hiding {
    pub(crate) log: Log,
    pub(crate) pool: PgPool,
    pub(crate) progress: Progress,
    pub(crate) clock: Clock,
}

impl Hiding {
    /// Hides what is due for as long as the process lives.
    pub(crate) async fn run(self) {
        loop {
            match self.step().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "could not hide what is to be erased; retrying"),
            }
            sleep(LOOK).await;
        }
    }

    /// Does one thing, if there is one to do.
    async fn step(&self) -> Result<bool, ErasureError> {
        let now = self.clock.now();
        if let Some(erasure) = erasures::claim_due(&self.pool, now, now.plus(CLAIM)).await? {
            let told = self.released_on_error(&erasure, self.hide(&erasure)).await?;
            erasures::told(&self.pool, erasure.id, &told, self.clock.now()).await?;
            return Ok(true);
        }
        let settled = Time::of(now.datetime() - SETTLED);
        let Some(erasure) = erasures::claim_hidden(&self.pool, now, now.plus(CLAIM), settled).await? else {
            return Ok(false);
        };
        let told = self.released_on_error(&erasure, self.hide(&erasure)).await?;
        erasures::told(&self.pool, erasure.id, &told, self.clock.now()).await?;
        if self.views_follow(&told).await? {
            erasures::views_are_done(&self.pool, erasure.id, self.clock.now()).await?;
        } else {
            erasures::release(&self.pool, erasure.id, self.clock.now().plus(LOOK)).await?;
        }
        Ok(false)
    }

    async fn released_on_error<T>(
        &self,
        erasure: &ErasureRequest,
        work: impl Future<Output = Result<T, ErasureError>>,
    ) -> Result<T, ErasureError> {
        let done = work.await;
        if done.is_err() {
            erasures::release(&self.pool, erasure.id, self.clock.now().plus(LOOK)).await?;
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

    /// Empties the account of a request, if it is about one, and lists all content of the request in the log.
    async fn hide(&self, erasure: &ErasureRequest) -> Result<ToldErasure, ErasureError> {
        match erasure.account {
            None => self.tell(erasure, &erasure.parts).await,
            Some(account) => self.tell(erasure, &self.empty(erasure, account).await?).await,
        }
    }

    /// Lists everything of a request in the log that is not listed yet.
    async fn tell(
        &self,
        erasure: &ErasureRequest,
        parts: &[ErasurePart],
    ) -> Result<ToldErasure, ErasureError> {
        let mut told = ToldErasure::default();
        for part in parts {
            let wanted = WantedContent::of(erasure, part);
            loop {
                let found = self.find(part.conversation, &wanted).await?;
                if found.entries.is_empty() {
                    told.told_at.extend(found.told_at.map(|at| (part.conversation, at)));
                    told.messages += found.messages;
                    told.edits += found.edits;
                    break;
                }
                for entries in found.entries.chunks(ENTRIES) {
                    self.append(erasure, part, entries).await?;
                }
            }
        }
        Ok(told)
    }

    async fn append(
        &self,
        erasure: &ErasureRequest,
        part: &ErasurePart,
        entries: &[ErasedEntry],
    ) -> Result<(), ErasureError> {
        let erased = ContentErased {
            request_id: erasure.id.uuid(),
            reason: erasure.reason.clone(),
            erased: entries.to_vec(),
        };
        let draft = Draft {
            conversation: part.conversation,
            id: self.clock.id(EventId::known),
            actor: erasure.actor,
            via: None,
            time: self.clock.now(),
            event: Event::ContentErased(erased),
            key: None,
            trace: None,
        };
        match self.log.append(&draft).await {
            Ok(_) => Ok(()),
            Err(NotAppended::Unavailable(e)) => Err(e.into()),
            Err(e @ NotAppended::TooLarge) => Err(Unavailable::because(e).into()),
        }
    }

    /// What the log has of the messages of a conversation.
    async fn find(&self, id: ConversationId, wanted: &WantedContent) -> Result<Content, ErasureError> {
        let stream = self.log.stream_of(id);
        let mut content = Content::default();
        for one in wanted.among(self.log.erased_events(id).await?) {
            content.told_at = content.told_at.max(Some(one.told_at));
            if one.is_message { content.messages += 1 } else { content.edits += 1 }
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
                content.entries.extend(entry(&recorded, wanted, counts));
            }
        }
    }
}

/// What the log has of messages: what is listed as erased, and what is not yet.
#[derive(Default)]
struct Content {
    entries: Vec<ErasedEntry>,
    told_at: Option<Position>,
    messages: u32,
    edits: u32,
}

/// What is to be said of an event, if it is one of the messages or an edit of one and nobody has said so before.
fn entry(recorded: &Recorded, wanted: &WantedContent, counts: bool) -> Option<ErasedEntry> {
    if recorded.erased.is_some() {
        return None;
    }
    let event = recorded.event.as_ref()?;
    let (message_id, message_position) = match event {
        Event::MessageSent(sent) if wanted.has_message(recorded.position, recorded.actor) => {
            (sent.message_id, None)
        }
        Event::MessageEdited(edited) if wanted.has_message(edited.message_position, recorded.actor) => {
            (edited.message_id, Some(edited.message_position))
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
        message_id: Some(message_id),
        message_position,
        client_hash: event.client_id().map(hash),
        counts,
        data: None,
    })
}
