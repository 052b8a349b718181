//! Going live: a session joins its conversations at the hub while its live events are held.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use crate::{
    domain::{ConversationId, Point, Position},
    feed::{Behind, Memberships, Stay},
    gateway::{
        frames::{close::Close, server::Head},
        hub::{listeners::Session, requests::Joined, topics::Admission},
        session::opening::{Opening, later},
        wire::socket::Tag,
    },
};

/// A session whose live events are held.
pub(super) struct Live {
    session: Arc<Session>,
    /// Where each stream stood when the session went live.
    at: Vec<Point>,
    /// The last event of each conversation that the client has, or is about to have, without what is
    /// held.
    heads: HashMap<ConversationId, Position>,
    /// The stays of the user as of `at`, where they are known without asking the views once more.
    memberships: Option<Memberships>,
}

/// Why a session is not live.
pub(super) enum NotLive {
    /// Something else has to be done first, here or elsewhere.
    Closed(Close),
    /// Its conversations could not be read: it may be that the log lacks something.
    Unread(Close),
}

impl From<Close> for NotLive {
    fn from(close: Close) -> Self {
        Self::Closed(close)
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
    /// Joins the conversations of the user with live events held. With `since`, the stays that have
    /// ended since those positions are told too, if they are asked for at all.
    ///
    /// The order of the five steps:
    ///
    /// 1. **Hold, then enter.** From the moment at which the session is among the listeners the hub may
    ///    hand it an event, which would overtake `ready` and what is still to be given.
    /// 2. **Enter, then look whether it may go on.** A revocation that was told before finds no session to
    ///    close, one that is told afterwards finds it; looked at before, one in between is lost.
    /// 3. **The hub, then the views.** Each task of the hub knows the listener from its answer on and
    ///    joins it to what it is added to later; the views tell the memberships up to there. Asked the
    ///    other way round, an event in between by which the user came in would be known to nobody. How
    ///    far the hub is *said* to have followed would not do: that is noted only after a batch has been
    ///    delivered, and the listener may have been looked up, in vain, before it entered.
    /// 4. **The views, then the hub again**, which judges each membership by the roster as it is then: a
    ///    user who was removed since the views told it is not joined. The views may be ahead of the hub:
    ///    to a conversation that the user has left by then the listener is joined all the same, and is
    ///    given the event by which they left when the hub comes to it.
    /// 5. **Settle last.** The next session of the user then trusts the topics and skips the steps 3 and 4.
    pub(super) async fn go(opening: Opening<'_>, since: Option<&[Position]>) -> Result<Self, NotLive> {
        let Opening { gateway, session, .. } = opening;
        session.socket.hold();
        let listener = gateway.listeners.enter(session);
        opening.may_go_on()?;
        let settling = match listener.settling() {
            Some(settling) => settling,
            None => {
                let topics = listener.topics().into_iter().map(|id| (id, None)).collect();
                let joined = gateway.hub.join(&listener, topics).await.map_err(|_| Close::LAGGING)?;
                return Ok(Self::new(session, joined).0);
            }
        };
        let asked = gateway.hub.join(&listener, Vec::new()).await.map_err(|_| Close::LAGGING)?;
        let known: Vec<Position> = asked.iter().map(|joined| joined.at.position).collect();
        let mut memberships = gateway
            .feed
            .memberships(session.user, since.unwrap_or(&known), &known)
            .await
            .map_err(|e| later(&e))?;
        let stream_of = |stay: &Stay| gateway.log.stream_of(stay.conversation);
        let leaving = memberships.past.iter().filter(|stay| stay.last > known[stream_of(stay)]);
        let wanted: Vec<Stay> = memberships.present.iter().chain(leaving).copied().collect();
        let ids = wanted.iter().map(|stay| stay.conversation);
        let tracked = gateway.conversations.get_all(ids).await;
        let tracked = tracked.map_err(|e| NotLive::Unread(later(&Behind::from(e))))?;
        let topics = tracked.into_iter().map(|(id, tracked)| (id, Some(tracked))).collect();
        let joined = gateway.hub.join(&listener, topics).await.map_err(|_| Close::LAGGING)?;
        listener.settle(settling);
        let (mut live, admissions) = Self::new(session, joined);
        if are_as_told(&wanted, &admissions, |stay| live.at[stream_of(stay)].position) {
            for stay in &mut memberships.present {
                // More may have happened since the views answered.
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

    /// Where each stream stood when the session went live.
    pub(super) fn at(&self) -> &[Point] {
        &self.at
    }

    pub(super) fn heads(&self) -> Vec<Head> {
        self.heads.iter().map(|(id, head)| Head { id: *id, head: *head }).collect()
    }

    /// The stays of the user as of [`at`](Self::at). `None`: the views have to be asked once more, because
    /// the listener was settled and they were not asked at all, or because somebody came or went meanwhile.
    pub(super) fn take_memberships(&mut self) -> Option<Memberships> {
        self.memberships.take()
    }

    /// Whether what was given of each conversation that has moved ends at its head.
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

    /// Notes what was given, which is not given again; also of conversations that the hub has joined by
    /// itself on the way.
    pub(super) fn pass_over(&mut self, given: &HashMap<ConversationId, Position>) {
        for (id, given) in given {
            let head = self.heads.entry(*id).or_default();
            *head = (*head).max(*given);
        }
    }

    /// Sends a first frame and what was held, without what `first` stands for.
    pub(super) fn release(self, first: &Bytes) {
        let is_new = |(id, position): &Tag| self.heads.get(id).is_none_or(|head| position > head);
        self.session.socket.release(first, is_new);
    }
}

/// Whether the user is in what was `wanted` by the same events as the views have told, now that the hub
/// has judged it at `here`, the position of each stream.
///
/// If so, the stays are true up to there, without asking again: what the user was brought into meanwhile
/// and is not wanted here is not missing, because the hub has joined the listener by itself and holds
/// all of it. If not, the user has gone, or has gone and come back, and the event by which they went
/// was handed to nobody: what was said in between must not be told, and that event must.
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
    use uuid::Uuid;

    use super::*;

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
}
