//! What the gateway does for as long as the process lives: it hears signals, hands on presence, looks
//! after revoked logins, and tells sessions when this node or the log does not work.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    domain::{Recorded, UserId},
    gateway::{
        frames::{close::Close, server::ServerFrame},
        hub::{
            outages,
            sweep::{self, Sweep},
        },
        session::shared::Gateway,
    },
    log::{Signal, Unavailable},
    supervise::Supervisor,
};

/// How often it is seen whether this node hears from the log.
const LOOK: Duration = Duration::from_secs(1);

impl Gateway {
    /// Starts what all sessions share: signals, presence, the sweep.
    pub async fn start(self: &Arc<Self>, tasks: &Supervisor) -> Result<(), Unavailable> {
        let connections = self.commands.log.connections();
        let mut signals = self.commands.log.signals().await?;
        let gateway = self.clone();
        tasks.spawn("signals", async move {
            while let Some(signal) = signals.next().await {
                gateway.hear(signal);
            }
        });
        let gateway = self.clone();
        tasks.spawn("presence changes", async move {
            let mut changes = gateway.commands.log.follow_presence();
            let clock = gateway.commands.clock.clone();
            loop {
                let batch = changes.batch(|| clock.now()).await;
                gateway.hand_on_presence(batch).await;
            }
        });
        tasks.spawn("revocations", remember_revocations(self.clone(), connections));
        tasks.spawn("cut off", close_if_cut_off(self.clone()));
        tasks.spawn("outages", tell_outages(self.clone()));
        tasks.spawn("sweep", sweep::run(self.sweep()));
        Ok(())
    }

    /// Reads which logins count no more. To be called when signals are heard, and before anybody is served.
    pub async fn load_revoked(&self) -> Result<(), sqlx::Error> {
        self.revoked.load(&self.pool, self.commands.clock.now()).await
    }

    fn sweep(&self) -> Sweep {
        Sweep {
            hub: self.hub.clone(),
            listeners: self.listeners.clone(),
            conversations: self.commands.conversations.clone(),
            feed: self.feed.clone(),
            clock: self.commands.clock.clone(),
            heartbeat: self.settings.heartbeat,
        }
    }

    fn hear(&self, signal: Signal) {
        match signal {
            Signal::Typing { conversation, user } => self.hub.typing(conversation, user),
            Signal::Revoked { login, .. } => {
                self.revoked.insert(login);
                self.close_revoked();
            }
            Signal::Blocked { by } => self.commands.blocked.forget(by),
        }
    }

    /// Presence is hidden from those whom somebody has blocked. Where that cannot be told, it is
    /// hidden from all.
    async fn hand_on_presence(&self, changes: Vec<Recorded>) {
        let users: BTreeSet<UserId> = changes.iter().map(|recorded| recorded.actor).collect();
        let users: Vec<UserId> = users.into_iter().collect();
        match self.commands.blocked.lists(&users).await {
            Ok(lists) => {
                for recorded in changes {
                    if let Some(hidden_from) = lists.get(&recorded.actor) {
                        self.hub.presence(recorded, hidden_from.clone()).await;
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "presence is not told: who may know is not known"),
        }
    }

    /// Ends the sessions and waits of all logins that count no more.
    fn close_revoked(&self) {
        self.followers.cut(|login| self.revoked.contains(login));
        for listener in self.listeners.list() {
            listener.close(Close::LOGIN_REVOKED, |session| self.revoked.contains(session.login));
        }
    }
}

/// After the connection was lost, revocations and blocks may have been told that this node did not
/// hear. While it hears nothing the database is asked.
async fn remember_revocations(gateway: Arc<Gateway>, mut connections: watch::Receiver<u64>) {
    loop {
        tokio::select! {
            changed = connections.changed() => match changed {
                Ok(()) => gateway.commands.blocked.doubt_all(),
                Err(_) => return,
            },
            () = sleep(LOOK) => if gateway.commands.log.is_current_everywhere() { continue },
        }
        while let Err(e) = gateway.load_revoked().await {
            tracing::warn!(error = %e, "could not reload revoked logins; retrying");
            sleep(LOOK).await;
        }
        gateway.close_revoked();
    }
}

/// Whoever is cut off from the log would be told nothing any more, and is better off at another node.
async fn close_if_cut_off(gateway: Arc<Gateway>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0;
    loop {
        look.tick().await;
        looks = if gateway.commands.log.is_current_everywhere() { 0 } else { looks + 1 };
        // A process that has been stopped for a moment gets another one to hear what has happened.
        if looks < 2 {
            continue;
        }
        if looks == 2 {
            tracing::warn!("this node has not heard from the log for some seconds; closing its sockets");
        }
        for listener in gateway.listeners.list() {
            listener.close(Close::LAGGING, |_| true);
        }
        gateway.followers.cut(|_| true);
    }
}

/// Sockets stay open for some seconds while the log does not work, and hear about it.
async fn tell_outages(gateway: Arc<Gateway>) {
    let degraded = ServerFrame::Error {
        id: None,
        code: "degraded",
        detail: "the log cannot store messages at the moment: if a frame gets the error `unavailable`, send it again with the same key",
        retry_after_ms: Some(1_000),
    }
    .encode();
    let tell = || {
        for listener in gateway.listeners.list() {
            listener.send(&degraded);
        }
    };
    outages::tell_of(gateway.commands.log.works(), tell).await;
}
