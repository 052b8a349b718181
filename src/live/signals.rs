//! Signals from all nodes. Revoked logins and changed blocks are taken in here, and the gateway gets the signals that
//! concern its sockets. A process without sockets hears the signals too, because it also checks tokens and blocks.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use sqlx::PgPool;
use tokio::{
    sync::watch,
    task::unconstrained,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    clock::Clock,
    credentials::Proof,
    domain::{ConversationId, LoginId, UserId},
    live::{blocked::Blocked, followers::Followers, revoked::Revoked},
    log::{Log, Signal, Unavailable},
    supervise::Supervisor,
};

/// The time between two checks whether this node hears from the log.
const LOOK: Duration = Duration::from_secs(1);

/// The time between two queries for proofs that have ended without a signal.
const POLL: Duration = Duration::from_secs(2);

/// How far a query looks back before the last one. The time of a revocation is older than its commit, and may come from
/// a clock that is behind.
const LOOKS_BACK: Duration = Duration::from_secs(120);

/// The most signals that are taken in before the sessions are checked.
const AT_ONCE: usize = 4_096;

/// News for the owner of the sockets.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    /// A user is typing in a conversation.
    Typing(ConversationId, UserId),
    /// A user was invited to a conversation by another user.
    Invited(UserId, ConversationId, UserId),
    /// A user's name or picture has changed.
    UserChanged(UserId),
    /// Logins were revoked: [`Revoked`] has them already.
    Revoked,
    /// The key that signed the tokens of all logins is gone.
    KeyReplaced,
    /// This node has not heard from the log for some seconds.
    CutOff,
}

/// The receivers of signals.
pub struct HeardSignals {
    /// The log, over which signals arrive.
    pub log: Log,
    /// The database that has the revoked logins.
    pub pool: PgPool,
    /// The clock.
    pub clock: Clock,
    /// The revoked logins.
    pub revoked: Arc<Revoked>,
    /// The lists of blocked users.
    pub blocked: Arc<Blocked>,
    /// The clients that follow without a socket.
    pub followers: Arc<Followers>,
}

impl HeardSignals {
    /// Begins to listen. Earlier revocations are loaded afterwards ([`Self::load_revoked`]). In the other order, this
    /// node would never learn of a login that is revoked between the two.
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
                // A check of all sessions takes longer than a signal, so of many revocations at once, all that have
                // arrived are taken in first.
                let mut has_ended = of.hear(signal, &told);
                for _ in 1..AT_ONCE {
                    let Some(Some(signal)) = unconstrained(signals.next()).now_or_never() else { break };
                    has_ended |= of.hear(signal, &told);
                }
                if has_ended {
                    of.end_revoked(&told);
                }
            }
        });
        tasks.spawn("revocations", self.clone().remember_revocations(connections, tell.clone()));
        tasks.spawn("ended proofs", self.clone().remember_ended(tell.clone()));
        tasks.spawn("cut off", self.clone().cut_off(tell));
        Ok(())
    }

    /// Loads the logins that no longer count. Must be called after [`Self::start`], and before the process serves.
    pub async fn load_revoked(&self) -> Result<(), sqlx::Error> {
        self.revoked.load(&self.pool, self.clock.now()).await
    }

    /// Takes in a signal. Returns whether a proof has ended, so that [`Self::end_revoked`] must follow.
    fn hear(&self, signal: Signal, tell: &impl Fn(Told)) -> bool {
        match signal {
            Signal::Typing { conversation, user } => tell(Told::Typing(conversation, user)),
            Signal::Revoked { login, suspended } => {
                suspended.iter().for_each(|user| self.revoked.suspend(*user));
                self.revoked.insert(login);
                return true;
            }
            Signal::Suspended { user } => {
                self.revoked.suspend(user);
                return true;
            }
            Signal::Restored { user } => self.revoked.restore(user),
            Signal::Blocked { by } => self.blocked.forget(by),
            Signal::UserChanged { user } => tell(Told::UserChanged(user)),
            Signal::Invited { user, by, conversation } => tell(Told::Invited(user, conversation, by)),
        }
        false
    }

    /// Ends the waits and sessions of all logins that no longer count. The logins are in the deny set *before* the
    /// sessions are checked: a session that begins meanwhile either finds its login in the deny set or is among the
    /// checked sessions. In the other order, a session that begins between the two would do neither, and stay open.
    fn end_revoked(&self, tell: &impl Fn(Told)) {
        self.followers.cut(|caller| self.revoked.why(caller).is_some());
        tell(Told::Revoked);
    }

    /// Ends the waits and sessions of all logins, because the key that signed their tokens is gone. `known` are the
    /// logins whose tokens were checked lately: one of their sessions may be about to begin, and is not among the
    /// sessions yet.
    pub fn end_logins(&self, known: Vec<LoginId>, tell: &impl Fn(Told)) {
        self.revoked.insert_all(known);
        self.followers.cut(|caller| caller.proof == Proof::Login);
        tell(Told::KeyReplaced);
    }

    /// After a lost connection, this node may have missed revocations and blocks. While it hears nothing, it polls the
    /// database.
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

    /// Ends the waits and sessions of proofs that have ended without a signal to this node. Each answer counts by itself,
    /// because the logins of a mass revocation may be too many to be read in time.
    async fn remember_ended(self: Arc<Self>, tell: impl Fn(Told)) {
        let (revoked, pool) = (&self.revoked, &self.pool);
        let (mut loaded_at, mut is_failing) = (Instant::now(), false);
        loop {
            sleep(POLL).await;
            let (asked, now) = (Instant::now(), self.clock.now());
            let age = asked.duration_since(loaded_at) + LOOKS_BACK;
            let found = [
                revoked.load_keys(pool, now).await,
                // The accounts come before their logins, whose sessions would get another reason.
                revoked.load_accounts(pool, now, age).await,
                revoked.load_logins(pool, now, age).await,
            ];
            if found.iter().any(|found| matches!(found, Ok(true))) {
                self.end_revoked(&tell);
            }
            let failed = found.into_iter().find_map(Result::err);
            match &failed {
                None => loaded_at = asked,
                // An outage is one line, not one each round.
                Some(_) if is_failing => {}
                Some(error) => tracing::warn!(%error, "could not query ended proofs; retrying"),
            }
            is_failing = failed.is_some();
        }
    }

    /// Closes the sockets of a node that is cut off from the log, because another node serves their clients better.
    async fn cut_off(self: Arc<Self>, tell: impl Fn(Told)) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        loop {
            look.tick().await;
            looks = if self.log.is_current_everywhere() { 0 } else { looks + 1 };
            // A process that was paused for a moment gets another second to hear from the log.
            if looks < 2 {
                continue;
            }
            if looks == 2 {
                tracing::warn!("no contact with the log for several seconds; closing all sockets");
            }
            tell(Told::CutOff);
            self.followers.cut(|_| true);
        }
    }
}
