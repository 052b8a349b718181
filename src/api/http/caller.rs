//! The caller of an operation. The access token, or the API key, is checked before the operation reads anything else
//! from the request.

use std::{ops::Deref, sync::Arc, time::Duration};

use poem::{Request, http::Method};
use poem_openapi::{SecurityScheme, auth::Bearer};
use tokio::sync::Semaphore;

use crate::{
    access::{ActedFor, Bearers, By, Vouched},
    api::http::{asking, scopes::Need, strangers},
    commands::acting,
    credentials,
    domain::UserId,
    limits::RateLimits,
    listen::{self, ClientAddress},
    problems::Problem,
    shares::{Place, Shares, Sizes},
};

/// The `access_token` of a login, or the API key of a service account
#[derive(SecurityScheme)]
#[oai(ty = "bearer", rename = "bearer", bearer_format = "JWT", checker = "check")]
pub struct Caller(Admitted);

/// An authenticated caller. A read occupies one of the user's places for concurrent reads.
pub(in crate::api) struct Admitted {
    caller: credentials::Identity,
    _place: Option<Place<UserId>>,
}

/// The limits of concurrent reads. The node has no limit, because its connections are limited already. The
/// limit for one user stops a loop of expensive reads from starving all other users of the database.
pub(in crate::api) const READS: Sizes = Sizes {
    of_node: Semaphore::MAX_PERMITS,
    of_one: 8,
    waiting_of_one: 248,
    waiting: Semaphore::MAX_PERMITS,
    patience: Duration::from_secs(5),
    longest_rest: Duration::ZERO,
};
/// The path for following events. Such a request is not a short read, and has a limit of its own.
const FOLLOWING: &str = "/v1/events";

impl Deref for Caller {
    type Target = credentials::Identity;

    fn deref(&self) -> &credentials::Identity {
        &self.0.caller
    }
}

impl Caller {
    /// The caller as the cause of a change.
    pub(in crate::api) fn by(&self) -> By {
        By { actor: Some(self.user), via: self.via }
    }
}

async fn check(request: &Request, bearer: Bearer) -> poem::Result<Admitted> {
    let door = request.data::<Door>().ok_or_else(Problem::internal)?;
    let from = ClientAddress::of(request);
    let authenticated = match request.data::<Vouched>() {
        Some(vouched) => door.bearers.authenticate_name(vouched).await,
        None => door.bearers.authenticate(&bearer.token, from.map(|client| client.0)).await,
    };
    let need = request.data::<Need>().ok_or_else(Problem::internal)?;
    let caller = match authenticated {
        Ok(caller) => {
            asking::note(&caller);
            acting::charge(&door.limits, &caller).map_err(Problem::from)?;
            // The connection counts as known only now. Otherwise an account could hold any number of connections with
            // refusals that wait to be sent.
            listen::is_known(request);
            caller
        }
        Err(unjudged) if unjudged.is_unjudged() => return Err(Problem::from(unjudged).into()),
        // A late request remains a stranger's: it is paid by its address alone. Otherwise an old token could exhaust the
        // budget of its user.
        Err(refused) => {
            strangers::charge(&door.limits, from).map_err(Problem::from)?;
            let late = match need {
                Need::AnyLogin => door.bearers.late(&bearer.token, &refused).await.map_err(Problem::from)?,
                _ => None,
            };
            late.ok_or_else(|| Problem::from(refused))?
        }
    };
    if let Some(Malformed(problem)) = request.data() {
        return Err(problem.clone().into());
    }
    need.of(&caller)?;
    let caller = match request.data::<ActedFor>() {
        Some(user) => door.bearers.acting_for(&caller, user).await.map_err(Problem::from)?,
        None => caller,
    };
    acting::note(&caller);
    let is_read = request.method() == Method::GET && request.original_uri().path() != FOLLOWING;
    let place = if is_read { Some(door.reads.take(caller.user).await.map_err(Problem::from)?) } else { None };
    Ok(Admitted { caller, _place: place })
}

/// The refusal of a request whose parameters are wrong. The caller gets it after the check of the token.
#[derive(Clone)]
pub(in crate::api) struct Malformed(pub(in crate::api) Problem);

/// The state that the caller check needs.
#[derive(Clone)]
pub(in crate::api) struct Door {
    pub(in crate::api) bearers: Bearers,
    pub(in crate::api) reads: Shares<UserId>,
    pub(in crate::api) limits: Arc<RateLimits>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::http::examples,
        clock::Clock,
        credentials::{ACCESS_LIFE, Keys, LEEWAY, Tokens},
        limits::Rates,
    };

    fn door_at(seconds: u64) -> Door {
        let keys = Keys::from_pem(&Keys::generate_pem(), None).expect("keys");
        let now = examples::time().plus(Duration::from_secs(seconds));
        let limits = Arc::new(RateLimits::new(Rates::default(), &[0; 32]));
        let tokens = Tokens::new(keys, "verbatim", "verbatim");
        Door {
            bearers: Bearers::of_tokens(tokens, &limits, Clock::new(move || now.datetime())),
            reads: Shares::new(READS),
            limits,
        }
    }

    fn token(door: &Door) -> String {
        door.bearers.tokens.issue(examples::ana(), examples::login(), examples::time(), "1".into())
    }

    async fn code(door: &Door, token: &str) -> &'static str {
        let refused = door.bearers.authenticate(token, None).await.expect_err("refused");
        let problem = Problem::from(refused);
        assert_eq!(problem.status, 401);
        let challenge = problem.headers.iter().find(|(name, _)| name == "www-authenticate");
        assert_eq!(
            challenge.map(|(_, value)| value.as_bytes()),
            Some(&br#"Bearer error="invalid_token""#[..])
        );
        problem.code
    }

    #[tokio::test]
    async fn a_token_of_ours_tells_who_asks() {
        let door = door_at(0);
        let caller = door.bearers.authenticate(&token(&door), None).await.expect("caller");
        assert_eq!((caller.user, caller.login), (examples::ana(), examples::login()));
    }

    #[tokio::test]
    async fn a_token_that_is_none_or_over_or_revoked_is_told_apart() {
        let door = door_at(0);
        assert_eq!(code(&door, "nobody").await, "invalid_token");
        assert_eq!(code(&door, &token(&door_at(0))).await, "invalid_token", "of another key");
        door.bearers.revoked.insert(examples::login());
        assert_eq!(code(&door, &token(&door)).await, "login_revoked");
        let late = door_at((ACCESS_LIFE + LEEWAY).as_secs() + 1);
        assert_eq!(code(&late, &token(&late)).await, "token_expired");
    }
}
