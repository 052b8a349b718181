//! Compares the frames that each device received, over all its sockets, with the frames that it had to receive.

use std::collections::{HashMap, HashSet};

use verbatim::domain::{ConversationId, UserId};

use super::{Found, Rule, erasures};
use crate::{
    history::{Device, Entry, Socket, What},
    truth::{Told, Truth},
};

/// Digests of erased events before their erasure.
type Erased = HashMap<(ConversationId, u64), u64>;

/// The state of one device at a point of its history.
struct Feed {
    user: UserId,
    /// Its first socket.
    begun: Socket,
    /// Its current socket.
    socket: Socket,
    /// Whether the replay on the current socket has ended.
    is_caught_up: bool,
    /// The heads that `ready` named on it.
    heads: HashMap<ConversationId, u64>,
    /// The last position on this socket, by conversation.
    on_socket: HashMap<ConversationId, u64>,
    /// For each conversation, the position up to which the feed is complete, and the socket on which it got there.
    at: HashMap<ConversationId, (u64, Socket)>,
}

pub(super) fn check(history: &[Entry], truth: &Truth, found: &mut Found) {
    let mut resets = HashSet::new();
    for entry in history {
        let What::Reset { socket, reason } = &entry.what else { continue };
        resets.insert(*socket);
        found.violation(Rule::NoReset, || format!("socket {socket}: {reason}"));
    }
    let mut feeds: HashMap<Device, Feed> = HashMap::new();
    let mut erased: Erased = HashMap::new();
    let mut device_of: HashMap<Socket, Device> = HashMap::new();
    for entry in history {
        match &entry.what {
            What::Ready { device, user, socket, with_cursor, heads, .. } => {
                device_of.insert(*socket, *device);
                let goes_on = *with_cursor && !resets.contains(socket);
                let feed = feeds.entry(*device).or_insert_with(|| Feed::of(*user));
                feed.ready(*socket, goes_on, heads, truth, found);
            }
            What::Frame { socket, conversation, position, previous, digest } => {
                let feed = device_of.get(socket).and_then(|device| feeds.get_mut(device));
                if let Some(feed) = feed.filter(|feed| feed.socket == *socket) {
                    let frame = (*conversation, *position, *previous, *digest);
                    feed.frame(frame, &mut erased, truth, found);
                } else {
                    found.violation(Rule::OneOrder, || format!("{:?} before ready", entry.what));
                }
            }
            What::Heads { socket, heads } => {
                let feed = device_of.get(socket).and_then(|device| feeds.get_mut(device));
                if let Some(feed) = feed.filter(|feed| feed.is_caught_up) {
                    feed.has_reached(Rule::NoHole, "heartbeat", heads, truth, found);
                }
            }
            What::CaughtUp { socket, .. } => {
                if let Some(feed) = device_of.get(socket).and_then(|device| feeds.get_mut(device)) {
                    feed.is_caught_up = true;
                    let heads: Vec<_> = feed.heads.iter().map(|(id, head)| (*id, *head)).collect();
                    feed.has_reached(Rule::CaughtUp, "caught_up", &heads, truth, found);
                }
            }
            _ => {}
        }
    }
    let leaving = erasures::accounts(history);
    for feed in feeds.values().filter(|feed| !leaving.contains_key(&feed.user)) {
        for (id, told) in &truth.conversations {
            feed.is_complete(Rule::NoHole, *id, told, told.head() + 1, "the end", found);
        }
    }
}

impl Feed {
    fn of(user: UserId) -> Self {
        Self {
            user,
            begun: 0,
            socket: 0,
            is_caught_up: false,
            heads: HashMap::new(),
            on_socket: HashMap::new(),
            at: HashMap::new(),
        }
    }

    fn ready(
        &mut self,
        socket: Socket,
        goes_on: bool,
        heads: &[(ConversationId, u64)],
        truth: &Truth,
        found: &mut Found,
    ) {
        let user = self.user;
        for (id, head) in heads {
            let is_in = truth.of_conversation(*id).is_some_and(|told| told.has_member(user, *head));
            found.unless(is_in, Rule::MembersOnly, || {
                format!("socket {socket}: ready names {id} with head {head} to {user}, who is not in it")
            });
        }
        self.socket = socket;
        self.is_caught_up = !goes_on;
        self.heads = heads.iter().copied().collect();
        self.on_socket.clear();
        if !goes_on {
            self.begun = socket;
            self.at = heads.iter().map(|(id, head)| (*id, (*head, socket))).collect();
        }
    }

    fn frame(
        &mut self,
        (id, position, previous, digest): (ConversationId, u64, u64, u64),
        erased: &mut Erased,
        truth: &Truth,
        found: &mut Found,
    ) {
        let (user, socket) = (self.user, self.socket);
        let what = || format!("socket {socket} of {user}: {id} at {position} after {previous}");
        let Some((told, counted)) =
            truth.of_conversation(id).and_then(|told| Some((told, told.at(position)?)))
        else {
            return found.violation(Rule::NoPhantom, || format!("{}: not in the log, or void", what()));
        };
        // All devices that received the event before its erasure must have received the same.
        let mut is_as_before =
            || counted.is_erased && *erased.entry((id, position)).or_insert(digest) == digest;
        found.unless(counted.digest == digest || is_as_before(), Rule::OneOrder, || {
            format!("{}: the log has another", what())
        });
        found.unless(counted.previous == previous, Rule::NoHole, || {
            format!("{}: the log says after {}", what(), counted.previous)
        });
        let last = self.on_socket.insert(id, position).unwrap_or_default();
        found.unless(position > last, Rule::OneOrder, || format!("{}: came behind {last}", what()));

        found.unless(told.concerns(user, position), Rule::MembersOnly, || {
            format!("{}: stays {:?}", what(), told.stays(user))
        });
        if self.at.get(&id).is_none_or(|(at, _)| position > *at) {
            self.is_complete(Rule::NoHole, id, told, position, "the next frame", found);
            self.at.insert(id, (position, socket));
        }
    }

    /// Checks the feed when the server says that it has sent everything up to `heads`.
    fn has_reached(
        &mut self,
        rule: Rule,
        by: &str,
        heads: &[(ConversationId, u64)],
        truth: &Truth,
        found: &mut Found,
    ) {
        for (id, head) in heads {
            let Some(told) = truth.of_conversation(*id) else { continue };
            if self.at.get(id).is_none_or(|(at, _)| at < head) {
                self.is_complete(rule, *id, told, head + 1, by, found);
            }
        }
    }

    /// Checks that no event is missing before a position.
    fn is_complete(
        &self,
        rule: Rule,
        id: ConversationId,
        told: &Told,
        before: u64,
        by: &str,
        found: &mut Found,
    ) {
        let (at, since) = self.at.get(&id).copied().unwrap_or((0, self.begun));
        let missed = told.missed(self.user, at, before, since != self.socket);
        found.unless(missed.is_none(), rule, || {
            let (user, socket) = (self.user, self.socket);
            format!(
                "socket {socket} of {user} was not given {} of {id}: {at} came last (on socket {since}), then {by} before {before}",
                missed.unwrap_or_default()
            )
        });
    }
}
