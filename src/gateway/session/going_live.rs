//! Going live: a session joins its conversations at the hub while its live events are held.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use crate::{
    domain::{ConversationId, Point, Position},
    feed::{Behind, Memberships, Stay},
    gateway::{
        frames::{close::Close, server::Head},
        hub::{delivery::Lagging, listeners::Session, requests::Joined, topics::Admission},
        session::opening::{Opening, RefusedCursor, later, still_open},
        wire::durable::Tag,
    },
};

/// A session whose live events are held.
pub(super) struct Live {
    session: Arc<Session>,
    /// The points of the streams at which the session went live.
    at: Vec<Point>,
    /// The last event of each conversation that the client has or is about to get, not counting the held events.
    heads: HashMap<ConversationId, Position>,
    /// The stays of the user as of `at`, if they are known without another query of the views.
    memberships: Option<Memberships>,
}

/// Why a session is not live.
pub(super) enum NotLive {
    /// The socket has to be closed for another reason.
    Closed(Close),
    /// The conversations of the session could not be read. The log may have a hole.
    Unread(Close),
}

impl From<Close> for NotLive {
    fn from(close: Close) -> Self {
        Self::Closed(close)
    }
}

impl From<Lagging> for NotLive {
    fn from(_: Lagging) -> Self {
        Self::Closed(Close::LAGGING)
    }
}

impl From<NotLive> for Close {
    fn from(not: NotLive) -> Self {
        match not {
            NotLive::Closed(close) | NotLive::Unread(close) => close,
        }
    }
}

impl Live {
    /// Joins the conversations of the user while live events are held. If the views are queried, they also return the
    /// stays that have ended since `since`.
    ///
    /// The order of the four steps matters:
    ///
    /// 1. **Hold, then enter.** Once the session is among the listeners, the hub can send it an event. If the event
    ///    were not held, it would overtake `ready` and the missed events.
    /// 2. **The hub, then the views.** Once a task of the hub has answered, it knows the listener and joins it to each
    ///    conversation to which the user is added later; the views return the memberships up to that answer. In the
    ///    other order, an event between the two that brings the user in would be in neither. The position that is
    ///    *noted* as followed cannot replace the answer: it is noted only after a batch has been delivered, and the hub
    ///    may have looked for the listener, in vain, before the session entered.
    /// 3. **The views, then the hub again.** The hub checks each membership against its current roster, so it does not
    ///    join a user who has been removed since the views answered. In the other order, such a user would be joined
    ///    and would get further events. The views may be ahead of the hub. If the user has left a conversation by then,
    ///    the listener is joined all the same, and gets the event by which the user left when the hub reaches it.
    /// 4. **Settle last.** The next session of the user then trusts the topics. It does not ask the hub before the
    ///    views, and asks the views only if it resumes. If the listener were settled earlier, that session would trust
    ///    topics that are not joined yet, and miss their events.
    ///
    /// While the views lag, more events can arrive than a socket may hold. Then the session holds anew and asks the hub
    /// once more where it stands, for which it need not wait. The events from before are in the log.
    pub(super) async fn go(opening: Opening<'_>, since: Option<&[Position]>) -> Result<Self, NotLive> {
        let Opening { gateway, session, .. } = opening;
        session.socket.hold();
        let listener = gateway.listeners.enter(session);
        let join = |topics| gateway.hub.join(&listener, topics);
        let join_again = || {
            session.socket.hold();
            join(listener.topics().into_iter().map(|id| (id, None)).collect())
        };
        let settling = listener.settling();
        let known: Vec<Position> = match (&settling, since) {
            (None, None) => return Ok(Self::new(session, join_again().await?).0),
            (None, Some(_)) => gateway.conversations.positions(),
            (Some(_), _) => join(Vec::new()).await?.iter().map(|joined| joined.at.position).collect(),
        };
        let mut memberships = gateway
            .feed
            .memberships(session.user, since.unwrap_or(&known), &known)
            .await
            .map_err(|e| later(&e))?;
        let stream_of = |stay: &Stay| gateway.log.stream_of(stay.conversation);
        let leaving = memberships.past.iter().filter(|stay| stay.last > known[stream_of(stay)]);
        let wanted: Vec<Stay> = memberships.present.iter().chain(leaving).copied().collect();
        let mut joined = None;
        if let Some(settling) = settling {
            let ids = wanted.iter().map(|stay| stay.conversation);
            let tracked = gateway.conversations.get_all(ids).await;
            let tracked = tracked.map_err(|e| NotLive::Unread(later(&Behind::from(e))))?;
            let topics = tracked.into_iter().map(|(id, tracked)| (id, Some(tracked))).collect();
            joined = Some(join(topics).await?);
            listener.settle(settling);
        }
        let joined = match joined {
            Some(joined) if session.socket.holds_all() => joined,
            _ => join_again().await?,
        };
        let (mut live, admissions) = Self::new(session, joined);
        if are_as_told(&wanted, &admissions, |stay| live.at[stream_of(stay)].position) {
            for stay in &mut memberships.present {
                // Events may have arrived since the views answered.
                stay.last = stay.last.max(live.heads.get(&stay.conversation).copied().unwrap_or_default());
            }
            live.memberships = Some(memberships);
        }
        Ok(live)
    }

    fn new(session: &Arc<Session>, joined: Vec<Joined>) -> (Self, Vec<Admission>) {
        let at = joined.iter().map(|joined| joined.at).collect();
        let admissions: Vec<Admission> = joined.into_iter().flat_map(|joined| joined.admissions).collect();
        let heads = admissions.iter().map(|admission| (admission.id, admission.head)).collect();
        (Self { session: session.clone(), at, heads, memberships: None }, admissions)
    }

    /// The points of the streams at which the session went live.
    pub(super) fn at(&self) -> &[Point] {
        &self.at
    }

    pub(super) fn heads(&self) -> Vec<Head> {
        self.heads.iter().map(|(id, head)| Head { id: *id, head: *head }).collect()
    }

    /// The stays of the user as of [`at`](Self::at), if the session resumes. `None` means that the views have to be
    /// queried again, because the user came or went meanwhile.
    pub(super) fn take_memberships(&mut self) -> Option<Memberships> {
        self.memberships.take()
    }

    /// Whether the delivered events of each conversation that has moved end at its head.
    pub(super) fn is_complete(
        &self,
        from: &[Point],
        given: &HashMap<ConversationId, Position>,
        stream_of: impl Fn(ConversationId) -> usize,
    ) -> bool {
        let ends_there = |(id, head): (&ConversationId, &Position)| {
            *head <= from[stream_of(*id)].position || given.get(id) == Some(head)
        };
        self.heads.iter().all(ends_there)
    }

    /// Notes the delivered events, so that they are not delivered again. They can belong to conversations that the hub
    /// has joined by itself meanwhile.
    pub(super) fn pass_over(&mut self, given: &HashMap<ConversationId, Position>) {
        for (id, given) in given {
            let head = self.heads.entry(*id).or_default();
            *head = (*head).max(*given);
        }
    }

    /// Sends `ready` for a session that begins here, and the reason if the client cannot continue from its cursor.
    ///
    /// `reset` comes after `ready`, because `ready` answers the `hello` of the client.
    pub(super) async fn begin(
        self,
        opening: Opening<'_>,
        refused: Option<RefusedCursor>,
    ) -> Result<(), Close> {
        let pages = opening.ready(self.at(), self.heads(), refused.as_ref());
        let (last, before) = pages.split_last().expect("there is a page, also without a conversation");
        for page in before {
            opening.write(std::slice::from_ref(page)).await?;
        }
        match refused {
            None => self.release(last),
            Some(RefusedCursor { why, .. }) => {
                let reset = opening.reset(why, self.at());
                self.release(&[&last[..], &reset].concat().into())
            }
        }
    }

    /// Sends a first frame, and then the held events that have not been delivered yet. Fails if the socket was closed
    /// while the session went live, which then was never online.
    pub(super) fn release(self, first: &Bytes) -> Result<(), Close> {
        let is_new = |(id, position): &Tag| self.heads.get(id).is_none_or(|head| position > head);
        self.session.socket.release(first, is_new);
        still_open(&self.session.socket)
    }
}

/// Whether the hub, at the position `here` of each stream, finds that the user became a member of the `wanted`
/// conversations by the same events as in the views.
///
/// If so, the stays are true up to `here`, and the views need not be queried again. A conversation that the user has
/// joined meanwhile is not missing, because the hub has joined the listener to it by itself and holds all its events.
/// If not, the user has left, or has left and come back, and no session got the event by which the user left. Then the
/// messages in between must not be delivered, and that event must be.
fn are_as_told(wanted: &[Stay], admissions: &[Admission], here: impl Fn(&Stay) -> Position) -> bool {
    let counts_here =
        |stay: &&Stay| stay.since <= here(stay) && stay.until.is_none_or(|until| until > here(stay));
    let told: HashMap<ConversationId, Position> =
        wanted.iter().filter(counts_here).map(|stay| (stay.conversation, stay.since)).collect();
    let found: HashMap<ConversationId, Position> =
        admissions.iter().map(|admission| (admission.id, admission.since)).collect();
    told == found
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};
    use uuid::Uuid;

    use super::*;
    use crate::{
        credentials::{Identity, Proof, Scopes},
        domain::{LoginId, UserId},
        gateway::wire::{limits::SocketLimits, socket::Socket},
    };

    const HERE: Position = Position(10);

    fn id(number: u128) -> ConversationId {
        ConversationId::known(Uuid::from_u128(number))
    }

    fn stay(conversation: u128, since: u64, until: Option<u64>) -> Stay {
        let last = Position(until.unwrap_or(9));
        Stay {
            conversation: id(conversation),
            since: Position(since),
            until: until.map(Position),
            visible_from: Position::START,
            last,
            parked: false,
        }
    }

    fn admission(conversation: u128, since: u64) -> Admission {
        Admission { id: id(conversation), since: Position(since), head: HERE }
    }

    #[test]
    fn the_views_are_asked_again_only_if_somebody_came_or_went_meanwhile() {
        let are = |wanted: &[Stay], admissions: &[Admission]| are_as_told(wanted, admissions, |_| HERE);
        assert!(are(&[], &[]));
        assert!(are(&[stay(1, 3, None), stay(2, 4, None)], &[admission(2, 4), admission(1, 3)]));
        assert!(
            are(&[stay(1, 3, Some(12))], &[admission(1, 3)]),
            "the hub has not come to the end of the stay"
        );
        assert!(are(&[stay(1, 3, Some(9))], &[]), "the hub has come to it");
        assert!(are(&[stay(1, 12, None)], &[]), "the hub has not come to its beginning");
        assert!(
            are(&[stay(1, 3, Some(11)), stay(1, 12, None)], &[admission(1, 3)]),
            "both are ahead of the hub"
        );
        assert!(!are(&[stay(1, 3, None)], &[]), "gone");
        assert!(!are(&[stay(1, 3, None)], &[admission(1, 9)]), "gone and back");
        assert!(!are(&[stay(1, 3, Some(8))], &[admission(1, 9)]), "back, after the views have told the end");
    }

    #[tokio::test]
    async fn a_socket_that_was_closed_meanwhile_does_not_go_live() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let goes_live = async |meanwhile: fn(&Socket)| {
            let _client = TcpStream::connect(address).await.expect("connected");
            let (stream, _) = listener.accept().await.expect("accepted");
            let (socket, _incoming) = Socket::open(stream, Bytes::new(), SocketLimits::default());
            let (user, login) = (UserId::known(Uuid::nil()), LoginId::known(Uuid::nil()));
            let (proof, scopes) = (Proof::Login, Scopes::PERSON);
            let expires_at = "2026-12-01T12:00:00Z".parse().expect("a time");
            let caller = Identity { user, login, proof, expires_at, via: None, scopes };
            let session = Session::new(Uuid::nil(), &caller, socket, None);
            session.socket.hold();
            meanwhile(&session.socket);
            Live::new(&session, Vec::new()).0.release(&Bytes::from_static(b"ready"))
        };
        assert_eq!(goes_live(|_| {}).await, Ok(()));
        assert_eq!(goes_live(|socket| socket.close(Close::SUSPENDED)).await, Err(Close::SUSPENDED));
        assert_eq!(goes_live(Socket::end).await, Err(Close::BYE), "the connection was lost");
    }
}
