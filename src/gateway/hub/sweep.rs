//! What is done for all sessions at once, so that none needs a timer of its own: signs of life,
//! expired tokens, half-open sockets.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::yield_now,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    credentials::LEEWAY,
    domain::UserId,
    gateway::{
        Gateway,
        frames::{close::Close, frame::Head},
        wire::{socket::Socket, websocket},
    },
};

/// How often sessions are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often it is seen whether a token has expired.
const EXPIRED: Duration = Duration::from_secs(1);
/// A socket from which nothing was heard for so long is asked for a sign of life with the heartbeat.
const SILENT: Duration = Duration::from_secs(5);
/// The same without one, where heartbeats are rare.
const ASK: Duration = Duration::from_secs(30);
/// A socket from which nothing was heard for so long is given up.
const GIVE_UP: Duration = Duration::from_secs(50);
/// A message that was begun must be complete within this time.
const UNFINISHED: Duration = Duration::from_secs(30);
/// Sessions that are seen to before others get a turn.
const AT_ONCE: usize = 256;

/// Looks at all sessions for as long as the process lives.
pub(in crate::gateway) async fn run(gateway: Arc<Gateway>) {
    let [mut look, mut expired, mut beat] = [LOOK, EXPIRED, gateway.settings.heartbeat].map(interval);
    for every in [&mut look, &mut expired, &mut beat] {
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut told = vec![0; gateway.hub.streams()];
    loop {
        tokio::select! {
            _ = look.tick() => look_at_all(&gateway).await,
            _ = expired.tick() => {
                if gateway.listeners.has_expired(expired_before(&gateway)) {
                    look_at_all(&gateway).await;
                }
            }
            _ = beat.tick() => heartbeat(&gateway, &mut told).await,
        }
    }
}

/// Tokens that expired before this, in unix seconds, are not good any more.
fn expired_before(gateway: &Gateway) -> i64 {
    gateway.commands.clock.now().unix_seconds() - LEEWAY.as_secs() as i64
}

async fn look_at_all(gateway: &Gateway) {
    let now = Instant::now();
    let expired_before = expired_before(gateway);
    gateway.listeners.forget_expiry();
    for (seen, session) in gateway.listeners.sessions().iter().enumerate() {
        let socket = &session.socket;
        let silent = socket.idle_for(now);
        if silent >= GIVE_UP || socket.stalled_for(now).is_some_and(|stalled| stalled >= UNFINISHED) {
            socket.close(Close::NoPong);
        } else if session.expires_at() < expired_before {
            socket.close(Close::TokenExpired);
        } else {
            gateway.listeners.note_expiry(session);
            if silent >= ASK && silent < ASK + LOOK * 2 {
                socket.offer(&websocket::ping());
            }
        }
        if seen % AT_ONCE == AT_ONCE - 1 {
            yield_now().await;
        }
    }
}

/// Tells everybody where the log stands, and which of their conversations have moved; who has been silent
/// is asked for a sign of life along with it. Of a stream that does not answer in time the position is
/// the one up to which it is known to have been delivered, and what has moved in it is told the next time.
async fn heartbeat(gateway: &Gateway, told: &mut [u64]) {
    // Read before the beats: they are newer, where there are any.
    let mut points = gateway.commands.conversations.points();
    let beats = gateway.hub.beat(told).await;
    if beats.len() < told.len() {
        let late = told.len() - beats.len();
        tracing::warn!(late, "some streams were too busy for a heartbeat; telling of them with the next one");
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
    let is_silent = |socket: &Socket| socket.idle_for(now) >= SILENT;
    for (seen, listener) in gateway.listeners.list().iter().enumerate() {
        let heads = moved.remove(&listener.user).unwrap_or_default();
        let cursor = gateway.feed.cursor(listener.user, &listener.reached(&points));
        listener.beat(&cursor, &heads, is_silent);
        if seen % AT_ONCE == AT_ONCE - 1 {
            yield_now().await;
        }
    }
}
