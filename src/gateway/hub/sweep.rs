//! The sweep: work for all sessions at once, so that no session needs a timer of its own. It sends heartbeats and
//! pings, and finds expired tokens and half-open sockets.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::yield_now,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    clock::Clock,
    credentials::LEEWAY,
    domain::UserId,
    feed::Feed,
    gateway::{
        frames::{close::Close, server::Head},
        hub::{delivery::Hub, listeners::Listeners},
        wire::{socket::Socket, websocket},
    },
    live::Conversations,
};

/// The time between two sweeps.
const LOOK: Duration = Duration::from_secs(5);
/// The time between two checks for expired tokens.
const EXPIRED: Duration = Duration::from_secs(1);
/// A socket that has been silent for this long gets a ping along with the heartbeat.
const SILENT: Duration = Duration::from_secs(5);
/// A socket that has been silent for this long gets a ping even without a heartbeat, because heartbeats may be rare.
const ASK: Duration = Duration::from_secs(30);
/// A socket that has been silent for this long is closed.
const GIVE_UP: Duration = Duration::from_secs(50);
/// A client that has begun a message must complete it within this time.
const UNFINISHED: Duration = Duration::from_secs(30);
/// The number of sessions that a sweep handles before other tasks get a turn.
const AT_ONCE: usize = 256;

/// The state that the sweep needs.
pub(in crate::gateway) struct Sweep {
    pub(in crate::gateway) hub: Hub,
    pub(in crate::gateway) listeners: Arc<Listeners>,
    pub(in crate::gateway) conversations: Conversations,
    pub(in crate::gateway) feed: Feed,
    pub(in crate::gateway) clock: Clock,
    /// The time between two heartbeats of a session.
    pub(in crate::gateway) heartbeat: Duration,
}

/// Sweeps until the process exits.
pub(in crate::gateway) async fn run(sweep: Sweep) {
    let [mut look, mut expired, mut beat] = [LOOK, EXPIRED, sweep.heartbeat].map(interval);
    for every in [&mut look, &mut expired, &mut beat] {
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut told = vec![0; sweep.hub.streams()];
    loop {
        tokio::select! {
            due = look.tick() => look_at_all(&sweep, due).await,
            due = expired.tick() => {
                if sweep.listeners.has_expired(expired_before(&sweep)) {
                    look_at_all(&sweep, due).await;
                }
            }
            _ = beat.tick() => heartbeat(&sweep, &mut told).await,
        }
    }
}

/// The sweep closes sessions whose token expired before this Unix time, in seconds.
fn expired_before(sweep: &Sweep) -> i64 {
    sweep.clock.now().unix_seconds() - LEEWAY.as_secs() as i64
}

/// Closes silent and expired sessions. A look that is late says that this process was stopped: the pongs of its clients
/// may be unread, so nobody is silent yet.
async fn look_at_all(sweep: &Sweep, due: Instant) {
    let now = Instant::now();
    let was_stopped = now.duration_since(due) >= LOOK;
    let expired_before = expired_before(sweep);
    sweep.listeners.forget_expiry();
    for (seen, session) in sweep.listeners.sessions().iter().enumerate() {
        let socket = &session.socket;
        let silent = socket.hearing.idle_for(now);
        let stalled = socket.hearing.stalled_for(now).is_some_and(|stalled| stalled >= UNFINISHED);
        if !was_stopped && (silent >= GIVE_UP || stalled) {
            socket.close(Close::NO_PONG);
        } else if session.expires_at() < expired_before {
            socket.close(Close::TOKEN_EXPIRED);
        } else {
            sweep.listeners.note_expiry(session);
            if silent >= ASK && silent < ASK + LOOK * 2 {
                socket.offer(&websocket::ping());
            }
        }
        if seen % AT_ONCE == AT_ONCE - 1 {
            yield_now().await;
        }
    }
}

/// Sends every session the positions of the log, and the conversations that have moved for it. A silent socket gets a
/// ping along with the heartbeat. For a stream that does not answer in time, the position is the one up to which
/// delivery is known, and the next heartbeat names what has moved in it.
async fn heartbeat(sweep: &Sweep, told: &mut [u64]) {
    // Read before the beats, so that a beat, where there is one, is newer.
    let mut points = sweep.conversations.points();
    let beats = sweep.hub.beat(told).await;
    if beats.len() < told.len() {
        let late = told.len() - beats.len();
        tracing::warn!(
            late,
            "some streams missed a heartbeat because they were too busy; the next heartbeat covers them"
        );
    }
    let mut moved: HashMap<UserId, Vec<Head>> = HashMap::new();
    for beat in beats {
        points[beat.stream] = beat.at;
        told[beat.stream] = beat.number;
        for (listener, heads) in beat.moved {
            moved.entry(listener.user).or_default().extend(heads);
        }
    }
    let now = Instant::now();
    let is_silent = |socket: &Socket| socket.hearing.idle_for(now) >= SILENT;
    for (seen, listener) in sweep.listeners.list().iter().enumerate() {
        let heads = moved.remove(&listener.user).unwrap_or_default();
        let cursor = sweep.feed.cursor(listener.user, &listener.reached(&points));
        listener.beat(&cursor, &heads, is_silent);
        if seen % AT_ONCE == AT_ONCE - 1 {
            yield_now().await;
        }
    }
}
