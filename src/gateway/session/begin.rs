//! The beginning of a session: without a cursor it goes live at once, and with a cursor it resumes ([`Resume`]).

use std::sync::Arc;

use crate::{
    gateway::{
        frames::{client::FrameId, close::Close},
        hub::listeners::Session,
        session::{
            answers::refuse_for_now,
            going_live::Live,
            opening::{Opening, RefusedCursor, later},
            resume::Resume,
            shared::Gateway,
        },
    },
    overload::WorkKind,
    telemetry::SOCKETS,
};

/// Begins a session, from a cursor if there is one.
///
/// The points of this node are read before the cursor is looked up. If the cursor is at a later position, it is looked
/// up in the log, so this order costs one request at most.
pub(in crate::gateway) async fn begin(
    gateway: &Gateway,
    session: &Arc<Session>,
    id: Option<&FrameId>,
    cursor: Option<String>,
) -> Result<(), Close> {
    let opening = Opening { gateway, session, id };
    opening.may_go_on()?;
    let Some(cursor) = cursor else { return afresh(opening, None).await };
    if gateway.overload.admit(WorkKind::Resume).is_err() {
        refuse_for_now(&session.socket, id);
        return Err(Close::OVERLOAD);
    }
    let now = gateway.conversations.points();
    let points = gateway.feed.points(session.user, &cursor, &now).await.map_err(|e| later(&e.into()))?;
    match points {
        Ok(from) => Resume::new(opening, from).run().await,
        Err(why) => afresh(opening, Some(RefusedCursor { cursor, why })).await,
    }
}

/// Goes live at once. If there is a cursor from which the client cannot resume, tells the client the reason.
///
/// Live first, `ready` second: `ready` names the points at which the hub has joined the session, and live events are
/// held until it is written. In the other order, an event between the two would be neither before the points of `ready`
/// nor among the held events, and the client would miss it.
async fn afresh(opening: Opening<'_>, refused: Option<RefusedCursor>) -> Result<(), Close> {
    if refused.is_some() {
        SOCKETS.resumed.get_or_create(&[("result", "reset")]).inc();
    }
    Live::go(opening, None).await?.begin(opening, refused).await
}
