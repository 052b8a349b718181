//! Changing the roster of a conversation.

use std::sync::Arc;

use crate::{
    commands::{deadlines::OWN_EVENT, needs::Commands, refused::Refused},
    domain::{Command, Conversation, ConversationId, Position, Rejection, UserId},
    log::{Conflict, Unavailable},
};

/// A roster after a command.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The position of the change; if nothing changed, the position of the last change before it.
    pub position: Position,
    /// The roster right after the change; if nothing changed, the roster as it is now.
    pub conversation: Arc<Conversation>,
    /// Whether the command changed anything, now or when it was sent for the first time.
    pub changed: bool,
}

/// The rules for bringing users in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// The rules for people: blocks, consent and rate limits.
    People,
    /// The rules for people, for a user who accepts an invitation that was sent at this position of the roster, and so
    /// consents.
    Invitation(Option<Position>),
    /// The rules for a host application, which vouches for the users that it brings in: each needs a place.
    Host,
}

impl Commands {
    /// Changes the roster by the rules of people. A retry with the same key gets the answer of the first attempt,
    /// whatever has become of the roster since.
    pub(super) async fn change(
        &self,
        by: UserId,
        id: ConversationId,
        command: &Command,
    ) -> Result<Changed, Refused> {
        if let Some(before) = self.changed_before(by, id, command).await? {
            return Ok(before);
        }
        let changed = self.change_by(by, id, command, Rules::People).await;
        // Another attempt may have made the caller leave since the look at the key, and this process may have followed
        // that before `change_by` looked at the roster.
        if matches!(changed, Err(Refused::Rejected(Rejection::NotFound)))
            && let Some(before) = self.left_before(by, id, command).await?
        {
            return Ok(before);
        }
        changed
    }

    /// Decides on the roster and appends the event; decides again if another node was faster. Within this process, the
    /// changes of one conversation take turns.
    pub(super) async fn change_by(
        &self,
        by: UserId,
        id: ConversationId,
        command: &Command,
        rules: Rules,
    ) -> Result<Changed, Refused> {
        const ATTEMPTS: usize = 20;
        let tracked = self.of_member(by, id).await?;
        let turn = tracked.turn().await;
        let mut cost = None;
        for _ in 0..ATTEMPTS {
            let (mut conversation, mut expected) = tracked.roster();
            let mut decided = conversation.decide(by, command.clone());
            if !matches!(decided, Ok(Some(_))) {
                // Another node may have changed the roster meanwhile. So a refusal, and the answer that
                // nothing changes, are given only after this process has caught up with the log.
                self.conversations.catch_up(id).await?;
                (conversation, expected) = tracked.roster();
                decided = conversation.decide(by, command.clone());
            }
            let event = match decided {
                Ok(Some(event)) => event,
                nothing => {
                    // Nothing is appended any more, and the look-up of a key can take seconds.
                    drop(turn);
                    // It may be the first attempt that leaves nothing to do. JetStream would recognise the retry at the
                    // append, but there is none.
                    if let Some(before) = self.changed_lately(by, id, command).await? {
                        return Ok(before);
                    }
                    nothing?;
                    return Ok(Changed { position: expected, conversation, changed: false });
                }
            };
            match rules {
                Rules::Host => self.bound.must_have_place(by, &event).await?,
                Rules::People => self.may_bring_in(by, id, &event).await?,
                Rules::Invitation(sent_at) => {
                    if let Some(sent_at) = sent_at {
                        self.must_be_open(id, &event, sent_at, expected).await?;
                    }
                    self.may_bring_in_consenting(by, &event).await?;
                }
            }
            if rules != Rules::Host && cost.is_none() {
                cost = Some(self.charge_members(by, &event)?);
            }
            let draft = self.draft(id, by, event, command.roster_key().cloned());
            let appending = self.log.append_roster(&draft, expected);
            let appended = match &mut cost {
                Some(cost) => cost.of(appending, |appended| !appended.duplicate).await,
                None => appending.await,
            };
            let appended = match appended {
                Ok(appended) => appended,
                Err(Conflict::Changed(position)) => {
                    self.conversations.reached(id, position, OWN_EVENT).await;
                    continue;
                }
                Err(Conflict::NotAppended(e)) => return Err(e.into()),
            };
            self.conversations.reached(id, appended.position, OWN_EVENT).await;
            drop(turn);
            if let Some(key) = draft.key.as_ref().filter(|_| appended.duplicate) {
                let first = self.appended_before(by, id, appended.position, key).await?;
                return self.the_same_change(first, command).await;
            }
            self.end_invitation(id, &draft.event, appended.position).await;
            Arc::make_mut(&mut conversation).evolve(appended.position, &draft.event);
            return Ok(Changed { position: appended.position, conversation, changed: true });
        }
        Err(Unavailable::because("too many change this roster at once").into())
    }
}
