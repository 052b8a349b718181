//! `GET /v1/ws`: judges who may come in, answers 101 and hands the plain socket to a session.

use std::sync::Arc;

use poem::{
    Endpoint, Request, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};

use crate::{
    credentials::BadToken,
    gateway::{
        frames::close::Close,
        session::{
            handshake::{self, Refused},
            life,
            shared::Gateway,
        },
        wire::socket::Socket,
    },
    listen::{Upgrade, refusal},
};

/// The endpoint of the gateway.
#[derive(Clone)]
pub struct Door(pub Arc<Gateway>);

/// Why there is no socket.
enum Shut {
    Handshake(Refused),
    Token(BadToken),
    TooManySockets,
    Full,
    Stopping,
}

impl Endpoint for Door {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(self.open(&request).unwrap_or_else(Shut::answer))
    }
}

impl Door {
    fn open(&self, request: &Request) -> Result<Response, Shut> {
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
        if gateway.sessions.len() >= gateway.settings.sockets {
            return Err(Shut::Full);
        }
        let (comes, place) = match gateway.caller(&accepted.token) {
            Ok(caller) => {
                let place = gateway.places.take(caller.user, gateway.settings.sockets_per_user);
                let place = place.ok_or(Shut::TooManySockets)?;
                let comes = if place.has_seat { Ok(caller) } else { Err(Close::TOO_MANY_SOCKETS) };
                (comes, place)
            }
            Err(bad) => (Err(bad.into()), gateway.places.stand().ok_or(Shut::Token(bad))?),
        };
        let upgrade = Upgrade::of(request).ok_or(Shut::Handshake(Refused::NoUpgrade))?;
        let sessions = gateway.sessions.clone();
        sessions.spawn(async move {
            if let Some((stream, early)) = upgrade.socket().await {
                let (socket, incoming) = Socket::open(stream, early, gateway.settings.socket);
                match comes {
                    Ok(caller) => life::serve(gateway, caller, socket, incoming).await,
                    Err(why) => life::turn_away(&socket, incoming, why).await,
                }
            }
            drop(place);
        });
        Ok(accepted.switching())
    }
}

impl Shut {
    fn answer(self) -> Response {
        const RETRY: (HeaderName, &str) = (header::RETRY_AFTER, "5");
        let (status, code, detail, headers) = match self {
            Self::Handshake(refused) => {
                (refused.status(), refused.code(), refused.detail(), refused.headers())
            }
            Self::Token(bad) => {
                let (code, detail) = match bad {
                    BadToken::Expired => ("token_expired", "the access token has expired: refresh it"),
                    BadToken::Invalid => ("invalid_token", "the access token does not count: log in again"),
                };
                (StatusCode::UNAUTHORIZED, code, detail, vec![(header::WWW_AUTHENTICATE, "Bearer")])
            }
            Self::TooManySockets => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_sockets",
                "this user has too many sockets open here: close some first",
                vec![RETRY],
            ),
            Self::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                "at_capacity",
                "this node has no room for another socket: try again",
                vec![RETRY],
            ),
            Self::Stopping => (
                StatusCode::SERVICE_UNAVAILABLE,
                "stopping",
                "this node is being stopped: connect to another one",
                vec![RETRY],
            ),
        };
        let mut answer = refusal(status, code, detail);
        for (name, value) in headers {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}
