//! Translates the errors of the floors below into problems.

use std::time::Duration;

use poem::http::StatusCode;

use crate::{
    access::{AccessError, NotAuthenticated, ServiceError},
    api::http::typed::Wrong as _,
    commands::{NotBroughtIn, NotProvisioned, NotSettled, Refused, Unavailable},
    credentials::Busy,
    domain::Rejection,
    issuers::NotProven,
    problems::{FieldError, Problem},
    reading::{PastError, ReadError},
    shares::NoPlace,
};

/// How long a client waits before it retries when the server cannot answer at the moment.
pub(in crate::api) const AGAIN: Duration = Duration::from_secs(1);
/// How long a client waits before it retries after a limit of this node, or after an issuer did not answer.
pub(in crate::api) const LATER: Duration = Duration::from_secs(5);
/// How long a client waits before it retries an operation that an operator has to enable first.
pub(in crate::api) const NOT_CONFIGURED: Duration = Duration::from_secs(300);

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        use Rejection::*;
        let status = match &refused {
            Refused::Rejected(BadReference) => {
                return Self::unusable(refused.code(), "/reply_to".into(), refused.detail());
            }
            Refused::Rejected(WithOneself | AheadOfHead) => StatusCode::BAD_REQUEST,
            Refused::Rejected(Forbidden | NotTheSender | Blocked) => StatusCode::FORBIDDEN,
            Refused::Rejected(NotFound | NoSuchMember) => StatusCode::NOT_FOUND,
            Refused::Rejected(
                LastOwner | DirectIsFixed | TooManyMembers | TooManyConversations | AlreadyStarted
                | MessageDeleted | TooManyReactions | TooManyPins,
            )
            | Refused::Mismatch
            | Refused::TooManyInvitations => StatusCode::CONFLICT,
            Refused::Erased => StatusCode::GONE,
            Refused::ConsentRequired => StatusCode::FORBIDDEN,
            Refused::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::RateLimited(exceeded) => return (*exceeded).into(),
            Refused::Unavailable(cause) => return outage(cause),
        };
        Self::new(status, refused.code(), refused.detail())
    }
}

/// 503, because a server did not answer. Only the log line says why.
pub(in crate::api) fn outage(cause: impl std::error::Error) -> Problem {
    tracing::warn!(error = %cause, "a request failed: a server did not answer");
    let again = "The server cannot process the request at the moment: send the same request again.";
    Problem::unavailable("unavailable", again, AGAIN)
}

impl From<Unavailable> for Problem {
    fn from(cause: Unavailable) -> Self {
        outage(cause)
    }
}

impl From<NotSettled> for Problem {
    fn from(error: NotSettled) -> Self {
        match error {
            NotSettled::InThePast => Self::invalid("/muted_until", "in_the_past", "must be in the future"),
            NotSettled::TooManyArchived => Self::conflict("too_many_archived", sentence(error)),
            NotSettled::Refused(refused) => refused.into(),
        }
    }
}

/// Converts the refusal to add users. Each unknown user gets an error at the user's pointer in the body.
pub(in crate::api) fn not_brought_in(
    pointer: impl Fn(usize) -> String,
) -> impl FnOnce(NotBroughtIn) -> Problem {
    move |error| match error {
        NotBroughtIn::NoSuchUsers(places) => {
            let unknown = |at| FieldError::new(pointer(at), "unknown_user", "there is no such user");
            Problem::invalid_fields(places.into_iter().map(unknown).collect())
        }
        NotBroughtIn::Refused(refused) => refused.into(),
    }
}

/// The refusal to provision a conversation. Each unknown user gets an error at the user's pointer in the body.
pub(in crate::api) fn not_provisioned(error: NotProvisioned) -> Problem {
    match error {
        NotProvisioned::Taken | NotProvisioned::OtherKind => {
            Problem::conflict("external_id_taken", sentence(error))
        }
        NotProvisioned::NotTwo => Problem::invalid("/members", "not_two", error.to_string()),
        NotProvisioned::NoSuchUsers(places) => {
            let detail = "no user has this external id: provision the user first, or set `create_users`";
            let unknown = |at| FieldError::new(format!("/members/{at}/external_id"), "unknown_user", detail);
            Problem::invalid_fields(places.into_iter().map(unknown).collect())
        }
        NotProvisioned::Refused(refused) => refused.into(),
    }
}

impl From<sqlx::Error> for Problem {
    fn from(cause: sqlx::Error) -> Self {
        outage(cause)
    }
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        Self::unavailable("busy", sentence(busy), AGAIN)
    }
}

impl From<NotAuthenticated> for Problem {
    fn from(refused: NotAuthenticated) -> Self {
        use NotAuthenticated::*;
        let code = refused.code();
        let problem = match refused {
            Token(_) | NotAdmitted | Revoked | InvalidKey | UnboundName | KeyExpired => {
                Self::unauthorized(code, sentence(refused))
            }
            ForeignAddress | Suspended => Self::forbidden(code, sentence(refused)),
            External(why) => why.into(),
            NoPlace(no_place) => no_place.into(),
            RateLimited(exceeded) => exceeded.into(),
            Database(outage) => outage.into(),
        };
        problem.despite_token()
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        use ServiceError::*;
        match error {
            NotGranted => Self::invalid("/scopes", "not_granted", error.to_string()),
            NotTheFirst | OfName | NameTaken => Self::conflict("conflict", sentence(error)),
            TooManyKeys => Self::conflict("too_many_keys", sentence(error)),
            Access(error) => error.into(),
        }
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        use AccessError::*;
        match error {
            UsernameTaken => Self::conflict("username_taken", sentence(error)),
            RegistrationClosed => Self::forbidden("registration_closed", sentence(error)),
            InvalidInvite => Self::forbidden("invalid_invite", sentence(error)),
            TooManyInvites => Self::conflict("too_many_invites", sentence(error)),
            InvalidRecovery => Self::unauthorized("invalid_recovery", sentence(error)),
            BadCredentials => Self::unauthorized("bad_credentials", sentence(error)),
            NoPassword => Self::conflict("no_password", sentence(error)),
            WrongPassword => Self::forbidden("wrong_password", sentence(error)),
            UnfitPassword(bad) => Self::invalid("/new_password", bad.code(), bad.to_string()),
            InvalidGrant => Self::unauthorized("invalid_grant", sentence(error)),
            NotProven(why) => why.into(),
            NoPlace(no_place) => no_place.into(),
            Suspended => Self::forbidden("suspended", sentence(error)),
            NoAccount => Self::unauthorized("invalid_token", sentence(error)).despite_token(),
            NotAdmitted | LoggedOut => Self::unauthorized("invalid_token", sentence(error)),
            NotFound => Self::not_found(),
            WithOneself => Self::new(StatusCode::BAD_REQUEST, "with_oneself", sentence(error)),
            TooManyBlocks => Self::conflict("too_many_blocks", sentence(error)),
            RateLimited(exceeded) => exceeded.into(),
            Busy(busy) => busy.into(),
            Database(outage) => outage.into(),
        }
    }
}

impl From<NotProven> for Problem {
    fn from(why: NotProven) -> Self {
        match why {
            NotProven::UnknownIssuer => Self::unauthorized("unknown_issuer", sentence(why)),
            NotProven::Invalid => Self::unauthorized("invalid_token", sentence(why)),
            NotProven::Expired => Self::unauthorized("token_expired", sentence(why)),
            NotProven::Unavailable => Self::unavailable("unavailable", sentence(why), LATER),
        }
    }
}

/// The text of an error as a sentence, with a capital letter and a full stop.
pub(in crate::api) fn sentence(error: impl std::error::Error) -> String {
    let mut text = format!("{error}.");
    text.get_mut(..1).map(str::make_ascii_uppercase);
    text
}

impl From<NoPlace> for Problem {
    fn from(no_place: NoPlace) -> Self {
        match no_place {
            NoPlace::OfOne => {
                let detail = "You have too many requests of this kind in progress on this node: wait for their responses.";
                Self::too_many("too_many_at_once", detail, LATER)
            }
            NoPlace::OfNode => {
                let detail = "Too many requests of this kind are in progress on this node: try again, or use another node.";
                Self::unavailable("at_capacity", detail, LATER)
            }
        }
    }
}

impl From<PastError> for Problem {
    fn from(error: PastError) -> Self {
        match error {
            PastError::TooFar => {
                Self::parameter("as_of", "too_far", format!("{error}: send an earlier position"))
            }
            PastError::Behind(behind) => behind.into(),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::not_found(),
            ReadError::NotYet => {
                let detail = "The views have not reached this position yet: send the same request again.";
                Self::unavailable("not_yet", detail, AGAIN)
            }
            ReadError::NoSuchPoint(point) => Self::parameter("as_of", point.code(), point.to_string()),
            ReadError::Past(error) => error.into(),
            ReadError::TooBroad => {
                let detail = "the search takes too long: use more or rarer words, or a conversation_id";
                Self::parameter("query", "too_broad", detail)
            }
            ReadError::Crowded(no_place) => no_place.into(),
            ReadError::Refused(refused) => refused.into(),
            ReadError::Database(outage) => outage.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_has_a_status_and_a_word() {
        use Rejection::*;
        for (rejection, status, code) in [
            (NotFound, 404, "not_found"),
            (Forbidden, 403, "forbidden"),
            (Blocked, 403, "blocked"),
            (LastOwner, 409, "last_owner"),
            (DirectIsFixed, 409, "direct_conversation"),
            (WithOneself, 400, "with_oneself"),
            (TooManyMembers, 409, "too_many_members"),
            (TooManyConversations, 409, "too_many_conversations"),
            (AheadOfHead, 400, "ahead_of_head"),
            (NoSuchMember, 404, "no_such_member"),
            (AlreadyStarted, 409, "already_started"),
            (BadReference, 400, "bad_reference"),
            (MessageDeleted, 409, "message_deleted"),
            (TooManyReactions, 409, "too_many_reactions"),
            (TooManyPins, 409, "too_many_pins"),
        ] {
            let problem = Problem::from(Refused::from(rejection));
            assert_eq!((problem.status.as_u16(), problem.code), (status, code));
            assert_eq!(problem.retry_after, None, "{code}");
        }
        let told = |problem: Problem| (problem.status.as_u16(), problem.code);
        assert_eq!(told(Refused::TooLarge.into()), (413, "too_large"));
        assert_eq!(told(Refused::Mismatch.into()), (409, "idempotency_mismatch"));
    }

    #[test]
    fn a_foreign_conversation_and_a_missing_path_are_told_in_the_same_words() {
        let (one, other) = (Problem::from(Refused::from(Rejection::NotFound)), Problem::not_found());
        assert_eq!((one.status, one.code, one.detail), (other.status, other.code, other.detail));
    }

    #[test]
    fn an_outage_is_503_whatever_was_asked() {
        let down = || sqlx::Error::PoolTimedOut;
        for problem in [
            Problem::from(Refused::from(Unavailable::because("NATS is away"))),
            Unavailable::because("NATS is away").into(),
            down().into(),
            AccessError::from(down()).into(),
        ] {
            assert_eq!((problem.status.as_u16(), problem.code), (503, "unavailable"));
            assert_eq!(problem.retry_after, Some(AGAIN));
            let detail = &problem.detail;
            assert!(!detail.contains("NATS") && !detail.contains("pool"), "{detail}");
        }
        let busy = Problem::from(AccessError::from(Busy));
        assert_eq!((busy.status.as_u16(), busy.code, busy.retry_after), (503, "busy", Some(AGAIN)));
    }

    #[test]
    fn every_unknown_user_is_pointed_at() {
        let pointed = not_brought_in(|index| format!("/members/{index}"));
        let problem = pointed(NotBroughtIn::NoSuchUsers(vec![0, 2]));
        assert_eq!((problem.status.as_u16(), problem.code), (400, "invalid_body"));
        let at: Vec<_> = problem.errors.iter().map(|e| (e.pointer.as_str(), e.code.as_str())).collect();
        assert_eq!(at, [("/members/0", "unknown_user"), ("/members/2", "unknown_user")]);
    }

    #[test]
    fn a_search_that_takes_too_long_is_refused_with_what_to_do() {
        let problem = Problem::from(ReadError::TooBroad);
        assert_eq!((problem.status.as_u16(), &*problem.errors[0].pointer), (400, "/query"));
        assert_eq!(problem.errors[0].code, "too_broad");
    }

    #[test]
    fn a_mute_that_has_ended_is_refused_at_its_field() {
        let problem = Problem::from(NotSettled::InThePast);
        assert_eq!((problem.status.as_u16(), &*problem.errors[0].pointer), (400, "/muted_until"));
        assert_eq!(problem.errors[0].code, "in_the_past");
    }

    #[test]
    fn who_cannot_log_in_is_told_what_to_do() {
        let problem = Problem::from(AccessError::BadCredentials);
        assert_eq!((problem.status.as_u16(), problem.code), (401, "bad_credentials"));
        assert_eq!(problem.detail, "The user name or the password is wrong: check both.");
        let problem = Problem::from(AccessError::InvalidGrant);
        assert_eq!((problem.status.as_u16(), problem.code), (401, "invalid_grant"));
        let problem = Problem::from(AccessError::WrongPassword);
        assert_eq!((problem.status.as_u16(), problem.code), (403, "wrong_password"));
        let problem = Problem::from(AccessError::UsernameTaken);
        assert_eq!((problem.status.as_u16(), problem.code), (409, "username_taken"));
    }
}
