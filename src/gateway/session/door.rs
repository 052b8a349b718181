//! `GET /v1/ws`: decides whether a request gets a socket, answers 101 and hands the plain socket to a session.

use std::{sync::Arc, time::Duration};

use poem::{Endpoint, IntoResponse as _, Request, Response};
use tokio::time::Instant;

use crate::{
    access::NotAuthenticated,
    credentials::Scope,
    gateway::{
        frames::close::Close,
        session::{
            handshake::{self, BadHandshake},
            life,
            places::NoRoom,
            shared::Gateway,
        },
        wire::socket::Socket,
    },
    limits::{BudgetKey, Exceeded, Policy},
    listen::{ClientAddress, Upgrade},
    overload::{Shed, WorkKind},
    problems::Problem,
    telemetry::SOCKETS,
};

/// The endpoint of the gateway.
#[derive(Clone)]
pub struct Door(pub Arc<Gateway>);

/// Why a request gets no socket.
enum Shut {
    RateLimited(Exceeded),
    Overload(Shed),
    Handshake(BadHandshake),
    Proof(NotAuthenticated),
    Scope,
    TooManySockets,
    Full,
    Stopping,
}

impl Endpoint for Door {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let begun = Instant::now();
        let opened = self.open(&request).await;
        SOCKETS.handshake_took.observe(begun.elapsed());
        let result = opened.as_ref().map_or_else(Shut::word, |_| "opened");
        SOCKETS.handshakes.get_or_create(&[("result", result)]).inc();
        Ok(opened.unwrap_or_else(|shut| Problem::from(shut).into_response()))
    }
}

impl Door {
    async fn open(&self, request: &Request) -> Result<Response, Shut> {
        let gateway = self.0.clone();
        let accepted = handshake::accept(
            request.method(),
            request.uri(),
            request.version(),
            request.headers(),
            &gateway.settings.origins,
        )
        .map_err(Shut::Handshake)?;
        if gateway.sessions.is_closed() {
            return Err(Shut::Stopping);
        }
        // A cheap refusal. The place itself is taken later, when the user is known.
        if gateway.places.are_full() {
            return Err(Shut::Full);
        }
        gateway.overload.admit(WorkKind::Connect)?;
        let limits = &gateway.limits;
        let from = ClientAddress::of(request).map(|client| client.0);
        let address = from.map(BudgetKey::address);
        let admit = |policy| address.map_or(Ok(()), |address| limits.admit(policy, address));
        admit(Policy::ConnectAddress)?;
        let (comes, place) = match gateway.bearers.authenticate(&accepted.token, from).await {
            Ok(caller) => {
                if !caller.scopes.contains(Scope::EventsRead) {
                    return Err(Shut::Scope);
                }
                limits.admit(Policy::Connect, caller.user)?;
                let place = gateway.places.take(caller.user)?;
                let comes = if place.has_seat { Ok(caller) } else { Err(Close::TOO_MANY_SOCKETS) };
                (comes, place)
            }
            Err(unjudged) if unjudged.is_unjudged() => return Err(Shut::Proof(unjudged)),
            Err(bad) => {
                admit(Policy::Address)?;
                match Close::of_refused(&bad).zip(gateway.places.stand().ok()) {
                    Some((why, place)) => (Err(why), place),
                    None => return Err(Shut::Proof(bad)),
                }
            }
        };
        let upgrade = Upgrade::of(request).ok_or(Shut::Handshake(BadHandshake::NoUpgrade))?;
        let sessions = gateway.sessions.clone();
        sessions.spawn(async move {
            if let Some((stream, early)) = upgrade.socket().await {
                let (socket, incoming) = Socket::open(stream, early, gateway.settings.socket);
                match comes {
                    Ok(caller) => life::serve(gateway, caller, from, socket, incoming).await,
                    Err(why) => life::turn_away(&socket, incoming, why).await,
                }
            }
            drop(place);
        });
        Ok(accepted.switching())
    }
}

impl Shut {
    /// The reason for metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::RateLimited(_) | Self::Proof(NotAuthenticated::RateLimited(_)) => "rate_limited",
            Self::Overload(_) => "overloaded",
            Self::Handshake(_) => "bad_handshake",
            Self::Proof(unjudged) if unjudged.is_unjudged() => "unavailable",
            Self::Proof(_) => "unauthorized",
            Self::Scope => "missing_scope",
            Self::TooManySockets => "too_many_sockets",
            Self::Full => "at_capacity",
            Self::Stopping => "stopping",
        }
    }
}

impl From<Exceeded> for Shut {
    fn from(exceeded: Exceeded) -> Self {
        Self::RateLimited(exceeded)
    }
}

impl From<Shed> for Shut {
    fn from(shed: Shed) -> Self {
        Self::Overload(shed)
    }
}

impl From<NoRoom> for Shut {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Node => Self::Full,
            NoRoom::User => Self::TooManySockets,
        }
    }
}

impl From<Shut> for Problem {
    fn from(shut: Shut) -> Self {
        const RETRY: Duration = Duration::from_secs(5);
        match shut {
            Shut::Handshake(refused) => refused.into(),
            Shut::RateLimited(exceeded) | Shut::Proof(NotAuthenticated::RateLimited(exceeded)) => {
                exceeded.into()
            }
            Shut::Proof(unjudged) if unjudged.is_unjudged() => {
                tracing::warn!(error = %unjudged, "could not check the proof of a handshake");
                let detail = "The access token or API key cannot be checked at the moment: try again.";
                Self::unavailable("unavailable", detail, RETRY)
            }
            Shut::Proof(refused @ (NotAuthenticated::ForeignAddress | NotAuthenticated::Suspended)) => {
                Self::forbidden(refused.code(), refused.to_string())
            }
            Shut::Proof(refused) => Self::unauthorized(refused.code(), refused.to_string()).despite_token(),
            Shut::Overload(shed) => shed.into(),
            Shut::Scope => {
                let scope = Scope::EventsRead;
                Self::forbidden(
                    "missing_scope",
                    format!("A socket needs the scope `{scope}`: use a key that has it."),
                )
            }
            Shut::TooManySockets => {
                let detail = "This user has too many open sockets on this node: close some first.";
                Self::too_many("too_many_sockets", detail, RETRY)
            }
            Shut::Full => {
                let detail = "This node has no room for another socket: try again.";
                Self::unavailable("at_capacity", detail, RETRY)
            }
            Shut::Stopping => {
                let detail = "This node is shutting down: connect to another one.";
                Self::unavailable("stopping", detail, RETRY)
            }
        }
    }
}
