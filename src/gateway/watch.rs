//! The tasks of the gateway that run until the process exits. They pass on typing, presence and changed users, close
//! the sockets of revoked logins, and tell sessions when this node or the log does not work.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    credentials::Proof,
    domain::{Recorded, UserId},
    gateway::{
        frames::{close::Close, server::ServerFrame},
        hub::{
            changed_users::Telling,
            listeners::Session,
            outages,
            sweep::{self, Sweep},
        },
        session::shared::Gateway,
    },
    live::Told,
    supervise::Supervisor,
};

impl Gateway {
    /// Starts the tasks that all sessions share: presence changes, changed users, the sweep, and notices of outages.
    pub fn start(self: &Arc<Self>, tasks: &Supervisor) {
        let gateway = self.clone();
        tasks.spawn("presence changes", async move {
            let mut changes = gateway.log.follow_presence();
            let clock = gateway.clock.clone();
            loop {
                let batch = changes.batch(|| clock.now()).await;
                gateway.hand_on_presence(batch).await;
            }
        });
        tasks.spawn("changed users", self.telling().run());
        tasks.spawn("outages", tell_outages(self.clone()));
        tasks.spawn("sweep", sweep::run(self.sweep()));
    }

    fn telling(&self) -> Telling {
        Telling {
            changed: self.changed.clone(),
            presence: self.presence.clone(),
            conversations: self.conversations.clone(),
            blocked: self.blocked.clone(),
            listeners: self.listeners.clone(),
        }
    }

    fn sweep(&self) -> Sweep {
        Sweep {
            hub: self.hub.clone(),
            listeners: self.listeners.clone(),
            conversations: self.conversations.clone(),
            feed: self.feed.clone(),
            clock: self.clock.clone(),
            heartbeat: self.settings.heartbeat,
        }
    }

    /// Handles news that concerns sockets: typing, invitations, changed users, revoked logins, or the loss of the log.
    pub fn hear(&self, told: Told) {
        match told {
            Told::Typing(conversation, user) => self.hub.typing(conversation, user),
            Told::Invited(user, conversation_id, invited_by) => {
                if let Some(listener) = self.listeners.get(user) {
                    listener.send(&ServerFrame::Invited { conversation_id, invited_by }.encode());
                }
            }
            Told::UserChanged(user) => self.changed.add(user),
            Told::Revoked => {
                self.close(|session| self.revoked.why(&session.caller()).map(Close::from));
            }
            Told::KeyReplaced => {
                self.close(|session| {
                    (session.caller().proof == Proof::Login).then_some(Close::TOKEN_EXPIRED)
                });
            }
            Told::CutOff => self.close(|_| Some(Close::LAGGING)),
        }
    }

    fn close(&self, why: impl Fn(&Session) -> Option<Close>) {
        for session in self.listeners.sessions() {
            if let Some(why) = why(&session) {
                session.socket.close(why);
            }
        }
    }

    /// Passes on presence changes, except to the users on the actor's block list. While that list is not known, the
    /// change is not sent to anyone.
    async fn hand_on_presence(&self, changes: Vec<Recorded>) {
        let users: BTreeSet<UserId> = changes.iter().map(|recorded| recorded.actor).collect();
        let users: Vec<UserId> = users.into_iter().collect();
        match self.blocked.lists(&users).await {
            Ok(lists) => {
                for recorded in changes {
                    if let Some(hidden_from) = lists.get(&recorded.actor) {
                        self.hub.presence(recorded, hidden_from.clone()).await;
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%error, "could not send presence: the list of blocked users is not available");
            }
        }
    }
}

/// Tells all sessions about an outage of the log. Sockets stay open for some seconds while the log does not work.
async fn tell_outages(gateway: Arc<Gateway>) {
    let degraded = ServerFrame::Error {
        id: None,
        code: "degraded",
        policy: None,
        detail: "the log cannot store messages at the moment: if a frame gets the error `unavailable`, send it again with the same key",
        retry_after_ms: Some(1_000),
    }
    .encode();
    let tell = || {
        for listener in gateway.listeners.list() {
            listener.send(&degraded);
        }
    };
    outages::tell_of(gateway.log.works(), tell).await;
}
