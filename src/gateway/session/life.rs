//! One session, from `hello` to its end.

use std::{net::IpAddr, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::{select, time::Instant};

use crate::{
    access::NotAuthenticated,
    commands::{DEADLINE, Refused, Unavailable, acting},
    credentials::{Identity, Scope},
    deadline::within,
    domain::{Act, ClientId, ConversationId, MessageId, NewMessage, Position, Status},
    gateway::{
        frames::{
            client::{ClientFrame, FrameId},
            close::Close,
            reading::BadFrame,
            server::ServerFrame,
        },
        hub::listeners::Session,
        session::{
            answers::{
                NotNow, acknowledge, refuse, refuse_bad, refuse_command, refuse_for_now, refuse_limited,
                refuse_without,
            },
            begin::begin,
            early::Early,
            hello::hello,
            present::Present,
            shared::Gateway,
            strikes::Strikes,
        },
        wire::{
            incoming::{Event, Incoming},
            socket::Socket,
        },
    },
    limits::{Exceeded, Meter, Policy},
    telemetry::{self, SOCKETS, traces},
};

/// A session ends after this many frames in a row that cannot be understood.
const BAD_FRAMES: u32 = 10;
/// The most receipts of one session that can be pending at once.
const RECEIPTS: usize = 32;

/// Serves a socket after its handshake.
pub(in crate::gateway) async fn serve(
    gateway: Arc<Gateway>,
    caller: Identity,
    from: Option<IpAddr>,
    socket: Arc<Socket>,
    mut incoming: Incoming,
) {
    let opening = SOCKETS.in_state("opening");
    let Some((id, cursor, filter)) = hello(&socket, &mut incoming).await else {
        return gone(incoming).await;
    };
    drop(opening);
    let beginning = SOCKETS.in_state("beginning");
    let session_id = gateway.clock.id(std::convert::identity);
    let session = Session::new(session_id, &caller, socket, filter);
    let mut present = Present::new(&gateway.listeners, &session, |was_online, last| {
        if was_online {
            gateway.presence.tell(session.user, session.id, Status::Offline);
        }
        if let Some(last) = last {
            let hub = gateway.hub.clone();
            tokio::spawn(async move { hub.leave(last).await });
        }
    });
    let mut conversing = Conversing::new(&gateway, &session, from);
    // Boxed, so that an idle session does not pay for the size of this future.
    let begin = Box::pin(begin(&gateway, &session, id.as_ref(), cursor));
    match conversing.hear_until(begin, &mut incoming).await {
        Some(Ok(())) => {
            drop(beginning);
            let _live = SOCKETS.in_state("live");
            present.is_online = true;
            gateway.presence.tell(session.user, session.id, Status::Online);
            conversing.converse(&mut incoming).await;
        }
        Some(Err(why)) => {
            session.socket.close(why);
            gone(incoming).await;
        }
        None => {}
    }
}

/// Closes a socket that may not have a session.
pub(in crate::gateway) async fn turn_away(socket: &Socket, incoming: Incoming, why: Close) {
    socket.close(why);
    gone(incoming).await;
}

/// Waits for the client's answer to the close frame, which is on its way.
async fn gone(mut incoming: Incoming) {
    while !matches!(incoming.next().await, Event::Gone(_)) {}
}

/// The result of a command within its deadline, which is the same as for a request.
async fn in_time<T>(command: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    let late = || Unavailable::because("a command was not answered in time").into();
    within(DEADLINE, command).await.unwrap_or_else(|| Err(late()))
}

/// What a session has heard from its client.
struct Conversing<'a> {
    gateway: &'a Arc<Gateway>,
    session: &'a Arc<Session>,
    from: Option<IpAddr>,
    /// The frames that arrived before the session had begun.
    early: Early,
    receipts: Arc<tokio::sync::Semaphore>,
    bad_frames: u32,
    frames: Meter,
    strikes: Strikes,
}

impl<'a> Conversing<'a> {
    fn new(gateway: &'a Arc<Gateway>, session: &'a Arc<Session>, from: Option<IpAddr>) -> Self {
        let receipts = Arc::new(tokio::sync::Semaphore::new(RECEIPTS));
        let frames = gateway.limits.meter(Policy::Frames);
        let (early, strikes) = (Early::default(), Strikes::default());
        Self { gateway, session, from, early, receipts, bad_frames: 0, frames, strikes }
    }

    /// Reads the socket while the session begins, so that pings are answered and a client that has gone gives up its
    /// turn. Frames wait. But `typing` would be told too late, and a fresh proof counts at once: that of the handshake may
    /// expire in a long resume. Returns `None` if the connection has ended.
    async fn hear_until<T>(
        &mut self,
        mut begun: impl Future<Output = T> + Unpin,
        incoming: &mut Incoming,
    ) -> Option<T> {
        loop {
            let _patient = self.session.socket.hearing.off();
            let text = select! {
                biased;
                begun = &mut begun => return Some(begun),
                event = incoming.next() => match event {
                    Event::Gone(_) => return None,
                    Event::Text(text) => text,
                }
            };
            let session = self.session;
            if let Some(work) = self.work_of_early(text) {
                session.socket.during(work).await;
            }
        }
    }

    fn work_of_early(&mut self, text: String) -> Option<BoxFuture<'_, ()>> {
        match ClientFrame::read(&text) {
            Ok(frame @ ClientFrame::Authenticate { .. }) => return Some(self.work_of(frame)),
            Ok(frame @ ClientFrame::Typing { .. }) => {
                SOCKETS.frame(frame.op());
                let _ = self.frames.admit();
            }
            _ if self.early.has_room(&text) => self.early.keep(text),
            // There is no room. The socket is still read, so that nothing behind the frame is missed.
            Ok(frame) => {
                SOCKETS.frame(frame.op());
                match self.frames.admit() {
                    Ok(()) => refuse_for_now(&self.session.socket, frame.id()),
                    Err(exceeded) => self.limited(frame.id(), exceeded),
                }
            }
            Err(bad) => self.unreadable(&bad),
        }
        None
    }

    async fn converse(&mut self, incoming: &mut Incoming) {
        let session = self.session;
        loop {
            let text = match self.early.next().filter(|_| session.socket.is_open()) {
                Some(text) => text,
                None => match incoming.next().await {
                    Event::Gone(_) => return,
                    Event::Text(text) => text,
                },
            };
            let work = match ClientFrame::read(&text) {
                Ok(frame) => self.work_of(frame),
                Err(bad) => {
                    self.unreadable(&bad);
                    continue;
                }
            };
            session.socket.during(work).await;
        }
    }

    /// Boxed, so that an idle session does not pay for the size of a frame and of the largest command.
    fn work_of(&mut self, frame: ClientFrame) -> BoxFuture<'_, ()> {
        SOCKETS.frame(frame.op());
        self.bad_frames = 0;
        Box::pin(acting::within(self.traced(frame)))
    }

    /// Refuses a frame that cannot be understood. A command with a wrong value costs what every frame costs; other bad
    /// frames end the session once there are too many in a row.
    fn unreadable(&mut self, bad: &BadFrame) {
        SOCKETS.frame("unreadable");
        if bad.is_command
            && let Err(exceeded) = self.frames.admit()
        {
            return self.limited(bad.id.as_ref(), exceeded);
        }
        refuse_bad(&self.session.socket, bad);
        self.bad_frames += u32::from(!bad.is_command);
        if self.bad_frames >= BAD_FRAMES {
            self.session.socket.close(Close::BAD_FRAMES);
        }
    }

    /// Charges what every frame costs. A frame that an overloaded node refuses does not count against the rate limits
    /// of the user, but it still counts as a frame: otherwise a client could send any number of them.
    fn admit(&mut self, frame: &ClientFrame) -> Result<(), NotNow> {
        self.frames.admit()?;
        frame.work().map_or(Ok(()), |work| self.gateway.overload.admit(work))?;
        let caller = self.session.caller();
        if let Some(scope) = frame.scope().filter(|scope| !caller.scopes.contains(*scope)) {
            return Err(NotNow::Without(scope));
        }
        if !frame.is_ephemeral() {
            acting::charge(&self.gateway.limits, &caller)?;
        }
        Ok(())
    }

    /// Tells a client how long to wait, and ends the session if the client keeps ignoring it.
    fn limited(&mut self, id: Option<&FrameId>, exceeded: Exceeded) {
        refuse_limited(&self.session.socket, id, exceeded);
        if self.strikes.refused(exceeded.wait, Instant::now()) {
            self.session.socket.close(Close::RATE_LIMITED);
        }
    }

    /// Tells a client why a command was refused.
    fn refused(&mut self, id: Option<&FrameId>, refused: &Refused) {
        match refused {
            Refused::RateLimited(exceeded) => self.limited(id, *exceeded),
            refused => refuse_command(&self.session.socket, id, refused),
        }
    }

    async fn traced(&mut self, frame: ClientFrame) {
        let Some(span) = traces::of_request(None) else { return self.answer(frame).await };
        let op = frame.op();
        Box::pin(telemetry::within(Some(span.parent_of_more()), self.answer(frame))).await;
        traces::end(span.answered_frame(op));
    }

    async fn answer(&mut self, frame: ClientFrame) {
        let socket = &self.session.socket;
        acting::note(&self.session.caller());
        match self.admit(&frame) {
            Ok(()) => {}
            Err(NotNow::Without(scope)) => return refuse_without(socket, frame.id(), scope),
            Err(_) if frame.is_ephemeral() => return,
            Err(NotNow::Limited(exceeded)) => return self.limited(frame.id(), exceeded),
            Err(NotNow::Shed) => return refuse_for_now(socket, frame.id()),
        }
        match frame {
            ClientFrame::Hello { id, .. } => {
                refuse(socket, id.as_ref(), "already_begun", "hello is the first frame and comes once", None);
            }
            ClientFrame::Send { id, conversation_id, client_id, text, reply_to, metadata } => {
                let new = NewMessage { client_id, text, reply_to, metadata };
                match in_time(self.gateway.commands.send(self.session.user, conversation_id, new)).await {
                    Ok(sent) => {
                        let message = Some(sent.message.message_id);
                        acknowledge(socket, id.as_ref(), Some(sent.position), message);
                    }
                    Err(refused) => self.refused(id.as_ref(), &refused),
                }
            }
            ClientFrame::Edit { id, conversation_id, message_id, client_id, text } => {
                self.act(id, (conversation_id, message_id), Act::Edit(text), client_id).await;
            }
            ClientFrame::Delete { id, conversation_id, message_id, client_id } => {
                self.act(id, (conversation_id, message_id), Act::Delete, client_id).await;
            }
            ClientFrame::React { id, conversation_id, message_id, client_id, emoji } => {
                self.act(id, (conversation_id, message_id), Act::React(emoji), client_id).await;
            }
            ClientFrame::Unreact { id, conversation_id, message_id, client_id, emoji } => {
                self.act(id, (conversation_id, message_id), Act::Unreact(emoji), client_id).await;
            }
            ClientFrame::Pin { id, conversation_id, message_id, client_id } => {
                self.act(id, (conversation_id, message_id), Act::Pin, client_id).await;
            }
            ClientFrame::Unpin { id, conversation_id, message_id, client_id } => {
                self.act(id, (conversation_id, message_id), Act::Unpin, client_id).await;
            }
            ClientFrame::Read { id, conversation_id, position } => {
                self.advance(id, conversation_id, None, Some(position));
            }
            ClientFrame::Delivered { id, conversation_id, position } => {
                self.advance(id, conversation_id, Some(position), None);
            }
            ClientFrame::Typing { id, conversation_id } => {
                let told = self.gateway.commands.typing(self.session.user, conversation_id);
                if let Err(refused) = in_time(told).await {
                    refuse_command(socket, id.as_ref(), &refused);
                }
            }
            ClientFrame::Presence { status, .. } => {
                if self.gateway.limits.admit(Policy::Presence, self.session.user).is_err() {
                    return;
                }
                self.gateway.presence.tell(self.session.user, self.session.id, status.into());
            }
            ClientFrame::Authenticate { id, token } => self.authenticate(id.as_ref(), &token).await,
            ClientFrame::Ping { id } => socket.send(&ServerFrame::Pong { id: id.as_ref() }.encode()),
        }
    }

    async fn act(
        &mut self,
        id: Option<FrameId>,
        (conversation, message): (ConversationId, MessageId),
        act: Act,
        key: Option<ClientId>,
    ) {
        let socket = &self.session.socket;
        match in_time(self.gateway.commands.act(self.session.user, conversation, message, act, key)).await {
            Ok(acted) => acknowledge(socket, id.as_ref(), Some(acted.position), Some(message)),
            Err(refused) => self.refused(id.as_ref(), &refused),
        }
    }

    /// Receipts are collected for up to a second, and the next frames of the client do not wait for them.
    fn advance(
        &self,
        id: Option<FrameId>,
        conversation: ConversationId,
        delivered: Option<Position>,
        read: Option<Position>,
    ) {
        let socket = &self.session.socket;
        let Ok(permit) = self.receipts.clone().try_acquire_owned() else {
            let detail = "too many receipts are waiting: send one receipt for the latest position of each conversation";
            return refuse(socket, id.as_ref(), "too_many_receipts", detail, Some(1_000));
        };
        let (gateway, session) = (self.gateway.clone(), self.session.clone());
        tokio::spawn(async move {
            let advanced = async {
                acting::note(&session.caller());
                gateway.commands.advance(session.user, conversation, delivered, read).await
            };
            let advanced = in_time(acting::within(advanced)).await;
            match advanced {
                Ok(reached) if id.is_some() => acknowledge(&session.socket, id.as_ref(), Some(reached), None),
                Ok(_) => {}
                Err(refused) => refuse_command(&session.socket, id.as_ref(), &refused),
            }
            drop(permit);
        });
    }

    /// Goes on with the identity of a fresh proof, which may be of another login of the user.
    ///
    /// Renew first, check second: a revocation of the login before the check is in the deny set, and a later one finds
    /// the session with its new login. In the other order, a revocation between the two would find the session with
    /// its old login, and the socket would stay open.
    fn renew(&self, id: Option<&FrameId>, caller: Identity) {
        let Gateway { listeners, revoked, .. } = &**self.gateway;
        listeners.renew(self.session, caller);
        match revoked.why(&caller) {
            Some(ended) => self.session.socket.close(ended.into()),
            None => acknowledge(&self.session.socket, id, None, None),
        }
    }

    async fn authenticate(&mut self, id: Option<&FrameId>, token: &str) {
        let socket = &self.session.socket;
        match self.gateway.bearers.authenticate(token, self.from).await {
            Ok(caller) if caller.user == self.session.user && caller.scopes.contains(Scope::EventsRead) => {
                self.renew(id, caller);
            }
            Ok(_) => socket.close(Close::INVALID_TOKEN),
            Err(NotAuthenticated::RateLimited(exceeded)) => self.limited(id, exceeded),
            Err(refused) => match Close::of_refused(&refused) {
                Some(why) => socket.close(why),
                None => refuse(
                    socket,
                    id,
                    refused.code(),
                    "the proof cannot be checked now: try again",
                    Some(1_000),
                ),
            },
        }
    }
}
