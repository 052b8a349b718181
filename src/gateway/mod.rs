//! The WebSocket edge, `verbatim.v1`: session, frame, hub, close.
//!
//! The [`hub`] follows the log once for the whole process and hands each event, encoded once, to
//! the sockets of those who may know. A [`session`] is one socket after its [`handshake`]; it costs
//! one task and no buffer while it is silent. What all sessions need now and then is done by one
//! [`sweep`].

mod backlog;
pub mod close;
pub mod cursor;
pub mod frame;
pub mod handshake;
pub mod hub;
pub mod incoming;
pub mod listeners;
mod session;
pub mod socket;
mod sweep;
pub mod websocket;

use std::{sync::Arc, time::Duration};

use poem::{Endpoint, Request, Response};
use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::{BadToken, Caller, Revoked, Tokens},
    commands::Commands,
    listen::Upgrade,
    log::Signal,
    presence::Presence,
    views::Progress,
};
use close::Close;
use cursor::Cursors;
use handshake::{Origins, Refused};
use hub::Hub;
use listeners::Listeners;
use socket::Socket;

/// The settings of the gateway.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which web pages may connect.
    pub origins: Origins,
    /// The most sockets of one user on this node.
    pub sockets_per_user: usize,
    /// The most sockets on this node.
    pub sockets: usize,
    /// How often every session gets a sign of life.
    pub heartbeat: Duration,
    /// What one socket may cost.
    pub socket: socket::Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            origins: Origins::Any,
            sockets_per_user: 20,
            sockets: 15_000,
            heartbeat: Duration::from_secs(25),
            socket: socket::Limits::default(),
        }
    }
}

/// Everything that sessions share.
pub struct Gateway {
    /// What may be done.
    pub commands: Commands,
    /// The views' database.
    pub pool: PgPool,
    /// How far the views have come.
    pub progress: Progress,
    /// Who is asking.
    pub tokens: Arc<Tokens>,
    /// Logins that count no more.
    pub revoked: Arc<Revoked>,
    /// Who is here.
    pub presence: Presence,
    /// Where events come from.
    pub hub: Hub,
    /// Who listens on this node.
    pub listeners: Arc<Listeners>,
    /// Where clients are.
    pub cursors: Cursors,
    /// The settings.
    pub settings: Settings,
    /// The tasks of the sessions.
    pub sessions: TaskTracker,
}

impl Gateway {
    /// Starts what all sessions share: signals, presence, the sweep.
    pub async fn start(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), crate::log::Unavailable> {
        let mut signals = self.commands.log.signals().await?;
        let gateway = self.clone();
        spawn_until(stop, async move {
            while let Some(signal) = signals.next().await {
                gateway.hear(signal);
            }
        });
        let gateway = self.clone();
        spawn_until(stop, async move {
            let mut changes = gateway.commands.log.follow_presence();
            let clock = gateway.commands.clock.clone();
            loop {
                for recorded in changes.batch(|| clock.now()).await {
                    gateway.hub.presence(recorded);
                }
            }
        });
        spawn_until(stop, remember_revocations(self.clone()));
        spawn_until(stop, sweep::run(self.clone()));
        Ok(())
    }

    fn hear(&self, signal: Signal) {
        match signal {
            Signal::Typing { conversation, user } => self.hub.typing(conversation, user),
            Signal::Revoked { login, .. } => {
                self.revoked.insert(login, self.commands.clock.now());
                self.close_revoked();
            }
        }
    }

    /// Closes the sessions of all logins that count no more.
    fn close_revoked(&self) {
        for listener in self.listeners.list() {
            listener.close(Close::LoginRevoked, |session| self.revoked.contains(session.login));
        }
    }

    /// Whose token this is.
    pub fn caller(&self, token: &str) -> Result<Caller, BadToken> {
        let caller = self.tokens.verify(token, self.commands.clock.now())?;
        if self.revoked.contains(caller.login) { Err(BadToken::Invalid) } else { Ok(caller) }
    }

    /// Tells all sessions to come back elsewhere, spread over time.
    pub fn drain(&self) {
        for session in self.listeners.sessions() {
            session.socket.close(Close::Drain);
        }
    }
}

/// After the connection was lost, revocations may have been told that this node did not hear.
async fn remember_revocations(gateway: Arc<Gateway>) {
    let mut connections = gateway.commands.log.connections();
    loop {
        while let Err(e) = gateway.revoked.load(&gateway.pool, gateway.commands.clock.now()).await {
            tracing::warn!(error = %e, "revoked logins are read again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        gateway.close_revoked();
        if connections.changed().await.is_err() {
            return;
        }
    }
}

fn spawn_until(stop: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    });
}

/// `GET /v1/ws`.
#[derive(Clone)]
pub struct Door(pub Arc<Gateway>);

/// Why there is no socket.
enum NoSocket {
    Refused(Refused),
    Token(BadToken),
    TooManyOfUser,
    Full,
    NoUpgrade,
}

impl Endpoint for Door {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(self.open(&request).unwrap_or_else(|why| why.response()))
    }
}

impl Door {
    fn open(&self, request: &Request) -> Result<Response, NoSocket> {
        let gateway = self.0.clone();
        let accepted = handshake::accept(
            request.method(),
            request.uri(),
            request.version(),
            request.headers(),
            &gateway.settings.origins,
        )
        .map_err(NoSocket::Refused)?;
        let caller = gateway.caller(&accepted.token).map_err(NoSocket::Token)?;
        if gateway.sessions.len() >= gateway.settings.sockets {
            return Err(NoSocket::Full);
        }
        if gateway.listeners.sessions_of(caller.user) >= gateway.settings.sockets_per_user {
            return Err(NoSocket::TooManyOfUser);
        }
        let upgrade = Upgrade::of(request).ok_or(NoSocket::NoUpgrade)?;
        let sessions = gateway.sessions.clone();
        sessions.spawn(async move {
            if let Some((stream, early)) = upgrade.socket().await {
                let (socket, incoming) = Socket::open(stream, early, gateway.settings.socket);
                session::serve(gateway, caller, socket, incoming).await;
            }
        });
        Ok(accepted.switching())
    }
}
