//! How a session begins: without a cursor it goes live at once, with one it resumes ([`Resume`]).

use std::sync::Arc;

use crate::{
    feed::Reset,
    gateway::{
        frames::{client::FrameId, close::Close, server::ServerFrame},
        hub::listeners::Session,
        session::{
            answers::refuse_for_now,
            going_live::Live,
            opening::{Opening, later},
            resume::Resume,
            shared::Gateway,
        },
    },
    overload::WorkKind,
};

/// Begins a session, from a cursor if there is one.
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
        Err(reset) => afresh(opening, Some(reset)).await,
    }
}

/// Goes live at once; a cursor that could not be gone on from is answered with the reason.
///
/// Live first and `ready` second: `ready` names where the session stands, which the hub tells when it
/// has joined. In the other order an event between the two would be in neither.
async fn afresh(opening: Opening<'_>, reset: Option<Reset>) -> Result<(), Close> {
    let live = Live::go(opening, None).await?;
    let pages = opening.ready(live.at(), live.heads());
    let (last, before) = pages.split_last().expect("there is a page, also without a conversation");
    for page in before {
        opening.write(std::slice::from_ref(page)).await?;
    }
    live.release(last);
    if let Some(reset) = reset {
        opening.session.socket.send(&ServerFrame::Reset { reason: reset.word() }.encode());
    }
    Ok(())
}
