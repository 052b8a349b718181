//! Signals of all nodes: revoked logins and changed blocks are taken in here, and the gateway is told what concerns
//! its sockets. A process without sockets hears them too, because it judges tokens and blocks as well.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    clock::Clock,
    domain::{ConversationId, UserId},
    live::{blocked::Blocked, followers::Followers, revoked::Revoked},
    log::{Log, Signal, Unavailable},
    supervise::Supervisor,
};

/// How often it is seen whether this node hears from the log.
const LOOK: Duration = Duration::from_secs(1);

/// News for the owner of sockets.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    /// A user is typing in a conversation.
    Typing(ConversationId, UserId),
    /// Logins were revoked: [`Revoked`] has them already.
    Revoked,
    /// This node has not heard from the log for some seconds.
    CutOff,
}

/// Where signals go.
pub struct HeardSignals {
    /// The log, by which they come.
    pub log: Log,
    /// The database that knows revoked logins.
    pub pool: PgPool,
    /// The time, by which revoked logins are forgotten.
    pub clock: Clock,
    /// The revoked logins.
    pub revoked: Arc<Revoked>,
    /// Who has blocked whom.
    pub blocked: Arc<Blocked>,
    /// The clients that follow without a socket.
    pub followers: Arc<Followers>,
}

impl HeardSignals {
    /// Begins to hear. Logins that were revoked before are loaded afterwards ([`Self::load_revoked`]): loaded before,
    /// a login that is revoked between the two would never be heard of.
    pub async fn start(
        self: &Arc<Self>,
        tell: impl Fn(Told) + Clone + Send + Sync + 'static,
        tasks: &Supervisor,
    ) -> Result<(), Unavailable> {
        let connections = self.log.connections();
        let mut signals = self.log.signals().await?;
        let (of, told) = (self.clone(), tell.clone());
        tasks.spawn("signals", async move {
            while let Some(signal) = signals.next().await {
                of.hear(signal, &told);
            }
        });
        tasks.spawn("revocations", self.clone().remember_revocations(connections, tell.clone()));
        tasks.spawn("cut off", self.clone().cut_off(tell));
        Ok(())
    }

    /// Reads which logins count no more. To be called when signals are heard, and before anybody is served.
    pub async fn load_revoked(&self) -> Result<(), sqlx::Error> {
        self.revoked.load(&self.pool, self.clock.now()).await
    }

    fn hear(&self, signal: Signal, tell: &impl Fn(Told)) {
        match signal {
            Signal::Typing { conversation, user } => tell(Told::Typing(conversation, user)),
            Signal::Revoked { login, .. } => {
                self.revoked.insert(login);
                self.end_revoked(tell);
            }
            Signal::Blocked { by } => self.blocked.forget(by),
        }
    }

    /// Ends the waits and sessions of all logins that count no more. They are in the deny set before: a session that
    /// begins meanwhile either finds its login there or is among the sessions that are looked at.
    fn end_revoked(&self, tell: &impl Fn(Told)) {
        self.followers.cut(|login| self.revoked.contains(login));
        tell(Told::Revoked);
    }

    /// After the connection was lost, this node may not have heard of revocations and blocks. While it hears nothing
    /// it asks the database.
    async fn remember_revocations(
        self: Arc<Self>,
        mut connections: watch::Receiver<u64>,
        tell: impl Fn(Told),
    ) {
        loop {
            tokio::select! {
                changed = connections.changed() => match changed {
                    Ok(()) => self.blocked.doubt_all(),
                    Err(_) => return,
                },
                () = sleep(LOOK) => if self.log.is_current_everywhere() { continue },
            }
            while let Err(e) = self.load_revoked().await {
                tracing::warn!(error = %e, "could not reload revoked logins; retrying");
                sleep(LOOK).await;
            }
            self.end_revoked(&tell);
        }
    }

    /// A node that is cut off from the log tells its clients nothing any more: another node serves them better.
    async fn cut_off(self: Arc<Self>, tell: impl Fn(Told)) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        loop {
            look.tick().await;
            looks = if self.log.is_current_everywhere() { 0 } else { looks + 1 };
            // A process that has been stopped for a moment gets another one to hear what has happened.
            if looks < 2 {
                continue;
            }
            if looks == 2 {
                tracing::warn!("this node has not heard from the log for some seconds; closing its sockets");
            }
            tell(Told::CutOff);
            self.followers.cut(|_| true);
        }
    }
}
