//! Translates the errors of those who follow events into problems.

use poem::http::StatusCode;

use crate::{
    access::NotAuthenticated,
    api::http::reasons::{AGAIN, LATER},
    problems::{FieldError, Problem},
    reading::{Behind, FollowError, Full, Reset},
};

impl From<Full> for Problem {
    fn from(full: Full) -> Self {
        match full {
            Full::User => {
                let detail = "You follow events with too many requests on this node: end another one first.";
                Self::too_many("too_many_followers", detail, LATER)
            }
            Full::Node => {
                let detail = "Too many requests follow events on this node: try again, or use another node.";
                Self::unavailable("at_capacity", detail, LATER)
            }
        }
    }
}

impl From<Reset> for Problem {
    fn from(reset: Reset) -> Self {
        let why = match reset {
            Reset::Unreadable => "not a cursor of the events of this server",
            Reset::AnotherUser => "a cursor of another user",
            Reset::EpochChanged => "a cursor of an earlier epoch of the log",
            Reset::FromTheFuture => "ahead of the log, which was restored from a backup",
            Reset::AnotherLog => "a cursor of the log before it was restored from a backup",
            Reset::Incomplete => "the events after the cursor cannot be read completely",
            Reset::Retention => {
                "messages after the cursor are older than the retention period of their conversation"
            }
        };
        let detail = "The server cannot continue from this cursor: load your data by REST, then start without a cursor.";
        let why = FieldError::new("/after", reset.word(), why);
        Self { errors: vec![why], ..Self::new(StatusCode::GONE, "cursor_gone", detail) }
    }
}

impl From<Behind> for Problem {
    fn from(behind: Behind) -> Self {
        match behind {
            Behind::Unavailable(outage) => outage.into(),
            Behind::Damaged(_) => Reset::Incomplete.into(),
            Behind::Expired => Reset::Retention.into(),
            Behind::Crowded(no_place) => no_place.into(),
            Behind::Lagging => {
                let detail = "This node is replaying too much of the log: send the same request again.";
                Self::unavailable("not_yet", detail, AGAIN)
            }
        }
    }
}

impl From<FollowError> for Problem {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Full(full) => full.into(),
            FollowError::Ended(ended) => NotAuthenticated::from(ended).into(),
            FollowError::Expired(proof) => NotAuthenticated::expired(proof).into(),
            FollowError::MayNotActFor => Self::may_not_act_for(),
            FollowError::Gone(reset) => reset.into(),
            FollowError::CutOff => {
                let detail = "This node has lost its connection to the log: reconnect with your last cursor.";
                Self::unavailable("unavailable", detail, AGAIN)
            }
            FollowError::Behind(behind) => behind.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{credentials::Proof, live::Ended};

    #[test]
    fn a_reader_whose_proof_has_ended_is_told_what_a_request_would_be() {
        for (why, status, code) in [
            (FollowError::Ended(Ended::Revoked), 401, "login_revoked"),
            (FollowError::Ended(Ended::KeyRevoked), 401, "invalid_key"),
            (FollowError::Ended(Ended::Suspended), 403, "suspended"),
            (FollowError::Expired(Proof::Login), 401, "token_expired"),
            (FollowError::Expired(Proof::Key), 401, "key_expired"),
        ] {
            let problem = Problem::from(why);
            assert_eq!((problem.status.as_u16(), problem.code), (status, code));
        }
    }
}
