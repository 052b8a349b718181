//! The content under a legal hold, from the log. This includes content that no user can see, because its erasure is on
//! hold, because its message was deleted, or because its retention is over. Of an event that the log has lost, the
//! export has what is left.

use std::collections::BTreeSet;

use serde::Serialize;
use sqlx::PgPool;

use super::{error::ExportError, line::Line, own::pretty};
use crate::{
    accounts::{
        exports::Export,
        holds::{HoldSubjects, LegalHold},
        kept,
    },
    domain::{ConversationId, Event, Fold, HoldId, Position, Recorded, Time, UserId},
    feed::Feed,
    log::{Log, NotRead, PAGE, Replay},
    views,
};

/// A hold, with the conversations that may have content under it.
pub(super) struct Held {
    hold: LegalHold,
    users: Vec<HeldUser>,
    pub(super) conversations: BTreeSet<ConversationId>,
}

#[derive(Serialize)]
struct HeldUser {
    id: UserId,
    username: String,
    display_name: String,
}

#[derive(Serialize)]
struct HoldFile<'a> {
    id: HoldId,
    name: &'a str,
    users: &'a [HeldUser],
    conversations: Vec<ConversationId>,
    from: Option<Time>,
    to: Option<Time>,
    placed_at: Time,
    placed_by: Option<UserId>,
}

/// The events of one conversation under a hold, page by page.
pub(super) struct HeldEvents<'a> {
    hold: &'a LegalHold,
    replay: Replay,
    fold: Fold,
    /// The messages of which the hold names the message or one of its edits: all of them are kept together.
    messages: BTreeSet<Position>,
}

impl Held {
    /// Finds the conversations of a hold. Users can only write as members, so the views know the conversations, except
    /// those that are parked: they are searched as well.
    pub(super) async fn find(
        hold: LegalHold,
        feed: &Feed,
        pool: &PgPool,
        upto: &[Position],
    ) -> Result<Self, ExportError> {
        let (users, conversations) = hold.of.parts();
        let mut conversations: BTreeSet<ConversationId> = conversations.into_iter().collect();
        if !users.is_empty() {
            // A conversation that is resumed meanwhile would be in neither list.
            conversations.extend(views::parked_conversations(pool).await?);
        }
        let since = vec![Position::START; upto.len()];
        for user in &users {
            let found = feed.memberships(*user, &since, upto).await?;
            conversations.extend(found.present.iter().chain(&found.past).map(|stay| stay.conversation));
        }
        if !users.is_empty() {
            // The views may have reached these positions just now, and parked a conversation on the way.
            conversations.extend(views::parked_conversations(pool).await?);
        }
        let users = kept::known_names(pool, &users).await?.into_iter();
        let users = users.map(|(id, username, display_name)| HeldUser { id, username, display_name });
        Ok(Self { hold, users: users.collect(), conversations })
    }

    /// The file that describes the hold.
    pub(super) fn file(&self) -> Vec<u8> {
        let LegalHold { id, name, from, to, placed_at, placed_by, .. } = &self.hold;
        pretty(&HoldFile {
            id: *id,
            name,
            users: &self.users,
            conversations: self.hold.of.parts().1,
            from: *from,
            to: *to,
            placed_at: *placed_at,
            placed_by: *placed_by,
        })
    }

    /// The events of a conversation up to and including a position.
    pub(super) async fn open(
        &self,
        log: &Log,
        id: ConversationId,
        upto: Position,
    ) -> Result<HeldEvents<'_>, NotRead> {
        let (hold, stream) = (&self.hold, log.stream_of(id));
        let replay = async || log.replay(stream, Position::START, upto, &[id]).await.map(Replay::with_kept);
        let mut messages = BTreeSet::new();
        // Without a time range, the hold always names a message together with its edits, because all of them are by one
        // user.
        if hold.from.is_some() || hold.to.is_some() {
            let mut all = replay().await?;
            loop {
                let page = all.page(PAGE).await?;
                if page.is_empty() {
                    break;
                }
                messages.extend(page.iter().filter(|recorded| names(hold, recorded)).filter_map(message));
            }
        }
        let replay = replay().await?;
        Ok(HeldEvents { hold, replay, fold: Fold::default(), messages })
    }

    /// The text that explains the files.
    pub(super) fn readme(&self, export: &Export) -> String {
        let (id, of) = (export.id, self.hold.id);
        let (user, created_at) = (export.user, export.created_at);
        let subjects = match &self.hold.of {
            HoldSubjects::Users(_) => "users: everything that they did in all conversations",
            HoldSubjects::Conversations(_) => "conversations: everything that happened there",
        };
        format!(
            "What a legal hold keeps
=======================

This is the export {id} of the legal hold {of}.
The service account {user} requested it at {created_at}; it contains nothing that happened later. The hold names
{subjects}.

hold.json       the hold: its users with their names, or its conversations, and its time range
conversations/  one file for each conversation that has content under the hold, named by its id. Each line is one event, oldest
                first, as JSON: a CloudEvent (https://cloudevents.io) in structured mode. `type` says what happened, `actor` is
                the user who did it, `data` is the content, `position` is the position of the event, and `previous` the position
                of the previous event in the conversation. An event without `previous` had no effect: its actor was not a member
                at that moment
manifest.json   the length and the SHA-256 of each file, and the positions up to which the log was read

The events are exported as they are in the log, regardless of what users can see: edited, deleted and hidden messages have their
texts. `data` with `\"erased\": true` marks an event that was erased from the log. The log was read from the start of each
conversation to the positions in the manifest. An export that finds an event missing without an erasure that explains it is
aborted.

A message and all of its edits are included if one of them is in the time range of the hold.
"
        )
    }
}

impl HeldEvents<'_> {
    /// The next events under the hold, which may be none; `None` when all have been returned.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<Line>>, NotRead> {
        let read = self.replay.page(PAGE).await?;
        if read.is_empty() {
            return Ok(None);
        }
        let mut lines = Vec::new();
        for recorded in read {
            let previous = recorded.apply_to(&mut self.fold);
            let is_of_message = || message(&recorded).is_some_and(|at| self.messages.contains(&at));
            if names(self.hold, &recorded) || is_of_message() {
                lines.push(Line::new(recorded, previous));
            }
        }
        Ok(Some(lines))
    }
}

fn names(hold: &LegalHold, recorded: &Recorded) -> bool {
    hold.names(recorded.actor, recorded.conversation, recorded.time)
}

/// The position of the message that an event sends or edits.
fn message(recorded: &Recorded) -> Option<Position> {
    match recorded.event.as_ref()? {
        Event::MessageSent(_) => Some(recorded.position),
        Event::MessageEdited(edited) => Some(edited.message_position),
        _ => None,
    }
}
