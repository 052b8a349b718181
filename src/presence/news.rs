//! Notifies conversations that a user is online, offline or away.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};

use crate::{
    accounts,
    domain::{ConversationId, Event, EventId, PresenceChanged, Status},
    log::{Draft, Unavailable},
    presence::{Presence, board::Tipped, pending::News},
    telemetry::SOCKETS,
    views,
};

/// The number of one user's conversations that are notified concurrently.
const AT_ONCE: usize = 16;
/// How long a failed notification is retried.
const WORTH: Duration = Duration::from_secs(30);
/// The pause before a retry.
const PAUSE: Duration = Duration::from_millis(500);

impl Presence {
    /// Announces the pending changes, one user after another, until the process exits.
    pub(super) async fn tell_news(self) {
        loop {
            let next = {
                let mut pending = self.pending();
                let next = pending.next();
                if pending.has_next() {
                    // One wake-up may represent several changes.
                    self.0.has_news.notify_one();
                }
                next
            };
            let Some((user, News { tipped, over })) = next else {
                self.0.has_news.notified().await;
                continue;
            };
            if let Some(tipped) = tipped {
                self.announce(&tipped).await;
            }
            for (node, revision) in over {
                if let Err(e) = self.0.leases.clear(user, &node, revision, self.0.settings.marker).await {
                    tracing::debug!(error = %e, "an entry that is over stays, or is in use again");
                }
            }
            self.pending().done(user);
        }
    }

    /// Notifies the conversations of a user, the latest first. A failed notification is retried for a while, because
    /// otherwise a user who has left would stay present for all listeners. A newer change ends the retries.
    async fn announce(&self, tipped: &Tipped) {
        let deadline = Instant::now() + WORTH;
        if tipped.status == Status::Offline
            && let Err(e) = accounts::saw(&self.0.pool, &[(tipped.user, tipped.at)]).await
        {
            tracing::warn!(error = %e, user = %tipped.user, "could not record when the user was last seen");
        }
        let mut untold = None;
        loop {
            let Err(e) = self.tell_conversations(tipped, &mut untold).await else { return };
            if self.pending().is_overtaken(tipped.user) {
                return;
            }
            if Instant::now() + PAUSE > deadline {
                tracing::warn!(error = %e, user = %tipped.user, "could not append a presence change");
                return;
            }
            tracing::debug!(error = %e, "could not append a presence change; retrying");
            sleep(PAUSE).await;
        }
    }

    /// Notifies the conversations that have not been notified yet. Without a list of them, the view is queried first.
    async fn tell_conversations(
        &self,
        tipped: &Tipped,
        untold: &mut Option<Vec<ConversationId>>,
    ) -> Result<(), Unavailable> {
        let conversations = match untold.take() {
            Some(untold) => untold,
            None => {
                let crate::presence::PresenceSettings { fan_out, crowd, .. } = self.0.settings;
                views::latest_of(&self.0.pool, tipped.user, fan_out, crowd)
                    .await
                    .map_err(Unavailable::because)?
            }
        };
        let told = stream::iter(conversations).map(|conversation| async move {
            let draft = self.draft(conversation, tipped);
            (conversation, self.0.log.append_presence(&draft).await)
        });
        let mut told = told.buffered(AT_ONCE);
        let (mut again, mut failure) = (Vec::new(), None);
        while let Some((conversation, outcome)) = told.next().await {
            match outcome {
                Ok(()) => {
                    SOCKETS.presence_told.inc();
                }
                Err(e) => {
                    again.push(conversation);
                    failure = Some(e);
                }
            }
        }
        *untold = Some(again);
        failure.map_or(Ok(()), Err)
    }

    fn draft(&self, conversation: ConversationId, tipped: &Tipped) -> Draft {
        let changed = PresenceChanged { status: tipped.status, last_seen_at: tipped.at };
        let id = self.0.clock.id(EventId::known);
        let time = self.0.clock.now();
        let event = Event::PresenceChanged(changed);
        Draft { conversation, id, actor: tipped.user, via: None, time, event, key: None, trace: None }
    }
}
