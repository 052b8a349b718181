//! How a session begins: it joins its conversations and hears what happens from then on. With a
//! cursor it catches up first: all that is far behind while it is not live yet, the last stretch
//! while live events are held, so that nothing is missed and nothing is given twice.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{task::yield_now, time::timeout};

use crate::{
    domain::{ConversationId, Point, Position},
    feed::{Behind, Missed, Reset, Shown},
    gateway::{
        frames::{
            client::FrameId,
            close::Close,
            server::{self, HEADS, Head, ServerFrame},
        },
        hub::listeners::Session,
        session::shared::Gateway,
        wire::socket,
    },
    log::PAGE,
    telemetry::METRICS,
    views::Stay,
};

/// So few events behind, a session goes live and catches up with live events held.
const LAST_STRETCH: u64 = 200;
/// The most rounds of catching up before going live: a busy log may never be nearer.
const ROUNDS: usize = 8;
/// Frames that are written before the client has to have read them.
const AT_ONCE: usize = 128;
/// How long a client may take to read that much.
const READING: Duration = Duration::from_secs(60);
/// How long this node may be behind the one that made the cursor.
const BEHIND: Duration = Duration::from_secs(2);

/// Begins a session, from a cursor if there is one.
pub(in crate::gateway) async fn begin(
    gateway: &Gateway,
    session: &Arc<Session>,
    id: Option<&FrameId>,
    cursor: Option<String>,
) -> Result<(), Close> {
    may_go_on(gateway, session)?;
    let Some(cursor) = cursor else { return afresh(gateway, session, id, None).await };
    let now = gateway.commands.conversations.points();
    let points = gateway.feed.points(session.user, &cursor, &now).await.map_err(|e| later(&e.into()))?;
    match points {
        Ok(from) => resume(gateway, session, id, from).await,
        Err(reset) => afresh(gateway, session, id, Some(reset)).await,
    }
}

/// Goes live at once; a cursor that could not be gone on from is answered with the reason.
async fn afresh(
    gateway: &Gateway,
    session: &Arc<Session>,
    id: Option<&FrameId>,
    reset: Option<Reset>,
) -> Result<(), Close> {
    let live = go_live(gateway, session).await?;
    let pages = ready(gateway, session, id, &live.at, live.heads());
    let (last, before) = pages.split_last().expect("there is a page, also without a conversation");
    for page in before {
        write(session, std::slice::from_ref(page)).await?;
    }
    live.release(session, last);
    if let Some(reset) = reset {
        session.socket.send(&ServerFrame::Reset { reason: reset.word() }.encode());
    }
    Ok(())
}

async fn resume(
    gateway: &Gateway,
    session: &Arc<Session>,
    id: Option<&FrameId>,
    from: Vec<Point>,
) -> Result<(), Close> {
    let _turn = gateway.feed.turn().await.map_err(|e| later(&e))?;
    METRICS.resumes.inc();
    let conversations = &gateway.commands.conversations;
    let since = Point::positions(&from);
    if !conversations.all_reached(&since, BEHIND).await {
        return Err(Close::LAGGING);
    }
    let now = conversations.positions();
    let memberships = gateway.feed.memberships(session.user, &since, &now).await.map_err(|e| later(&e))?;
    // The views may be ahead of this node: what `ready` names is given before `caught_up`.
    let mut named = now;
    for stay in &memberships.present {
        let of_stream = &mut named[gateway.commands.log.stream_of(stay.conversation)];
        *of_stream = (*of_stream).max(stay.last);
    }
    if !conversations.all_reached(&named, BEHIND).await {
        return Err(Close::LAGGING);
    }
    let heads = memberships.present.iter().map(|stay| Head { id: stay.conversation, head: stay.last });
    for page in ready(gateway, session, id, &from, heads.collect()) {
        write(session, &[page]).await?;
    }

    let (mut at, mut given) = (from, Given::All);
    for _ in 0..ROUNDS {
        let to = conversations.points();
        if given == Given::NotAll || behind(&at, &to) <= LAST_STRETCH {
            break;
        }
        let mut missed = gateway.feed.missed(session.user, at, to.clone()).await.map_err(|e| later(&e))?;
        given = give(gateway, session, &mut missed).await?;
        at = to;
    }

    let reset = ServerFrame::Reset { reason: Reset::Incomplete.word() }.encode();
    let mut live = match go_live(gateway, session).await {
        Ok(live) => live,
        Err(close) => {
            // If it is because the log lacks something, the client cannot go on elsewhere either.
            if given == Given::All {
                let to = conversations.points();
                let mut missed = gateway.feed.missed(session.user, at, to).await.map_err(|e| later(&e))?;
                given = give(gateway, session, &mut missed).await?;
            }
            if given == Given::NotAll {
                session.socket.send(&reset);
            }
            return Err(close);
        }
    };
    let mut missed =
        gateway.feed.missed(session.user, at.clone(), live.at.clone()).await.map_err(|e| later(&e))?;
    if given == Given::All {
        given = give(gateway, session, &mut missed).await?;
    }
    let reaches_heads = live.is_complete(&at, missed.heads(), |id| gateway.commands.log.stream_of(id));
    if given == Given::All && !reaches_heads {
        METRICS.holes.inc();
        tracing::error!(user = %session.user, "a resume did not reach the heads: the client is reset");
    }
    let first = if given == Given::All && reaches_heads {
        ServerFrame::CaughtUp { cursor: gateway.feed.cursor(session.user, &live.at) }.encode()
    } else {
        reset
    };
    may_go_on(gateway, session)?;
    // What was given is not given again, also of conversations that were joined on the way.
    for (id, given) in missed.heads() {
        let head = live.heads.entry(*id).or_default();
        *head = (*head).max(*given);
    }
    live.release(session, &first);
    Ok(())
}

/// A session whose live events are held.
struct Live {
    /// Where each stream stood when it went live.
    at: Vec<Point>,
    heads: HashMap<ConversationId, Position>,
}

impl Live {
    fn heads(&self) -> Vec<Head> {
        self.heads.iter().map(|(id, head)| Head { id: *id, head: *head }).collect()
    }

    /// Whether what was given of each conversation that has moved ends at its head.
    fn is_complete(
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

    /// Sends a first frame and what was held, without what `first` stands for.
    fn release(&self, session: &Session, first: &Bytes) {
        let is_new = |(id, position): &socket::Tag| self.heads.get(id).is_none_or(|head| position > head);
        session.socket.release(first, is_new);
    }
}

/// Joins the conversations of the user with live events held.
async fn go_live(gateway: &Gateway, session: &Arc<Session>) -> Result<Live, Close> {
    session.socket.hold();
    let listener = gateway.listeners.enter(session);
    // A revocation that was told before the session could be found is looked up.
    may_go_on(gateway, session)?;
    let mut topics = Vec::new();
    if listener.is_settled() {
        topics.extend(listener.topics().into_iter().map(|id| (id, None)));
    } else {
        // Each task of the hub knows the listener from its answer on and joins it to what it is added
        // to later; the view tells the memberships up to there. How far the hub is *said* to have
        // followed would not do: that is noted only after a batch has been delivered. The view may be
        // ahead: who has left by then is given the event by which they left when the hub comes to it.
        let asked = gateway.hub.join(&listener, Vec::new()).await.map_err(|_| Close::LAGGING)?;
        let known: Vec<Position> = asked.iter().map(|joined| joined.at.position).collect();
        let memberships =
            gateway.feed.memberships(session.user, &known, &known).await.map_err(|e| later(&e))?;
        let is_ahead = |stay: &Stay| stay.last > known[gateway.commands.log.stream_of(stay.conversation)];
        let leaving = memberships.past.into_iter().filter(is_ahead);
        let ids = memberships.present.into_iter().chain(leaving).map(|stay| stay.conversation);
        let tracked = gateway.commands.conversations.get_all(ids).await.map_err(|e| later(&e.into()))?;
        topics.extend(tracked.into_iter().map(|(id, tracked)| (id, Some(tracked))));
    }
    let joined = gateway.hub.join(&listener, topics).await.map_err(|_| Close::LAGGING)?;
    listener.settle();
    let at = joined.iter().map(|joined| joined.at).collect();
    let heads = joined.into_iter().flat_map(|joined| joined.heads).map(|head| (head.id, head.head));
    Ok(Live { at, heads: heads.collect() })
}

/// How much of what was missed has been given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    All,
    /// What comes before something that the log lacks.
    NotAll,
}

/// Writes all pages, at the pace at which the client reads.
async fn give(gateway: &Gateway, session: &Session, missed: &mut Missed) -> Result<Given, Close> {
    loop {
        let page = match missed.page(PAGE).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(Given::All),
            Err(Behind::Damaged(_)) => return Ok(Given::NotAll),
            Err(e) => return Err(later(&e)),
        };
        may_go_on(gateway, session)?;
        let wanted = page.events.iter().filter(|shown| session.wants(shown.recorded.conversation));
        let wanted: Vec<&Shown> = wanted.collect();
        for some in wanted.chunks(AT_ONCE) {
            let frames: Vec<Bytes> =
                some.iter().map(|Shown { recorded, previous }| server::event(recorded, *previous)).collect();
            write(session, &frames).await?;
        }
        METRICS.deliveries.inc_by(wanted.len() as u64);
        if !page.events.is_empty() {
            // An interrupted resume goes on from here, not from its beginning.
            let cursor = gateway.feed.cursor(session.user, &page.at);
            session.socket.send(&ServerFrame::Heartbeat { cursor, heads: &[] }.encode());
        }
        // From memory to a client that reads fast, nothing above has to wait.
        yield_now().await;
    }
}

/// Writes frames and waits until the client has read so much that nothing waits any more.
async fn write(session: &Session, frames: &[Bytes]) -> Result<(), Close> {
    session.socket.send_all(frames);
    match timeout(READING, session.socket.drained()).await {
        Ok(true) => Ok(()),
        _ => Err(Close::SLOW_CONSUMER),
    }
}

/// A session that catches up is not found by those who close sessions.
fn may_go_on(gateway: &Gateway, session: &Session) -> Result<(), Close> {
    if gateway.revoked.contains(session.login) {
        return Err(Close::LOGIN_REVOKED);
    }
    if !gateway.commands.log.is_current_everywhere() {
        return Err(Close::LAGGING);
    }
    if gateway.sessions.is_closed() { Err(Close::DRAIN) } else { Ok(()) }
}

/// When it cannot be done now, the client comes back with its cursor.
fn later(behind: &Behind) -> Close {
    match behind {
        // A storm of resumes does this thousands of times.
        Behind::Crowded => tracing::debug!(error = %behind, "a session cannot begin now"),
        _ => tracing::warn!(error = %behind, "a session cannot begin now"),
    }
    match behind {
        Behind::Lagging | Behind::Damaged(_) => Close::LAGGING,
        Behind::Crowded | Behind::Unavailable(_) => Close::OVERLOAD,
    }
}

/// How many events lie between two points, over all streams.
fn behind(from: &[Point], to: &[Point]) -> u64 {
    from.iter().zip(to).map(|(from, to)| to.position.0.saturating_sub(from.position.0)).sum()
}

/// The frames that begin a session: `ready`, and what does not fit in it behind it.
fn ready(
    gateway: &Gateway,
    session: &Session,
    id: Option<&FrameId>,
    at: &[Point],
    mut conversations: Vec<Head>,
) -> Vec<Bytes> {
    conversations.retain(|head| session.wants(head.id));
    let (first, rest) = conversations.split_at(conversations.len().min(HEADS));
    let ready = ServerFrame::Ready {
        id,
        session_id: session.id,
        user_id: session.user,
        epoch: gateway.commands.log.epoch(),
        cursor: gateway.feed.cursor(session.user, at),
        conversations: first,
        more: !rest.is_empty(),
        heartbeat_ms: gateway.settings.heartbeat.as_millis() as u64,
        limits: gateway.settings.socket.into(),
    };
    let mut pages = vec![ready.encode()];
    let mut rest = rest.chunks(HEADS).peekable();
    while let Some(conversations) = rest.next() {
        let more = rest.peek().is_some();
        pages.push(ServerFrame::Conversations { conversations, more }.encode());
    }
    pages
}
