//! The errors of the use cases of access.

use crate::{
    accounts::{BlockError, ProvisionError, RegisterError},
    credentials::{BadPassword, Busy},
    issuers::NotProven,
    limits::Exceeded,
    shares::NoPlace,
};

/// Why a use case of access failed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Another account has this user name or a similar-looking one.
    #[error("the user name is taken: choose another one")]
    UsernameTaken,
    /// Registration is closed.
    #[error("this server does not accept registrations: ask the operator for an account")]
    RegistrationClosed,
    /// The invitation code is wrong, used up, revoked or expired, or there is none.
    #[error("the registration needs a valid invitation code: ask the operator for one")]
    InvalidInvite,
    /// There are too many invitation codes.
    #[error("there are too many invitation codes: wait until some have been expired or revoked for 30 days")]
    TooManyInvites,
    /// The recovery token is wrong, spent, replaced or expired.
    #[error("the recovery token is not valid: ask the operator for another one")]
    InvalidRecovery,
    /// The account does not exist, or has another password. Neither the error nor its timing reveals which.
    #[error("the user name or the password is wrong: check both")]
    BadCredentials,
    /// The account has no password that could be checked, changed or recovered.
    #[error(
        "the account has no password: its user logs in through the host application or the external issuer"
    )]
    NoPassword,
    /// The current password of the caller is wrong.
    #[error("the current password is wrong: check it")]
    WrongPassword,
    /// The new password is refused.
    #[error(transparent)]
    UnfitPassword(#[from] BadPassword),
    /// The text is not a valid refresh token, or the login of the token has ended.
    #[error("the refresh token is not valid: log in again")]
    InvalidGrant,
    /// The token of an external issuer is not accepted.
    #[error(transparent)]
    NotProven(#[from] NotProven),
    /// The user of an external issuer has no account, and the rules of the issuer create none.
    #[error("this server has no account for the user of the token: ask the operator for one")]
    NotAdmitted,
    /// The session of an external issuer's token has ended.
    #[error("the session of the token has ended: log in at its issuer again")]
    LoggedOut,
    /// Too many requests of this kind are in progress.
    #[error("too many requests of this kind are in progress: try again in a moment")]
    NoPlace(NoPlace),
    /// The account is deactivated.
    #[error("the account is suspended: ask the operator")]
    Suspended,
    /// The account of the caller is deleted. A token can outlive its account by minutes.
    #[error("the account no longer exists: log in with another account")]
    NoAccount,
    /// The caller names a login or a user that does not exist.
    #[error("there is nothing here by this id")]
    NotFound,
    /// The caller named themselves.
    #[error("you cannot block yourself: name another user")]
    WithOneself,
    /// The block list is full.
    #[error("you have blocked too many users: unblock one first")]
    TooManyBlocks,
    /// There were too many attempts. Names with and without an account get the same wait.
    #[error(transparent)]
    RateLimited(#[from] Exceeded),
    /// There is no capacity to check a password now.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<NoPlace> for AccessError {
    fn from(no_place: NoPlace) -> Self {
        Self::NoPlace(no_place)
    }
}

impl From<RegisterError> for AccessError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::UsernameTaken => Self::UsernameTaken,
            RegisterError::InvalidInvite => Self::InvalidInvite,
            RegisterError::Database(outage) => outage.into(),
        }
    }
}

impl From<ProvisionError> for AccessError {
    fn from(error: ProvisionError) -> Self {
        match error {
            ProvisionError::UsernameTaken => Self::UsernameTaken,
            ProvisionError::JustMade => Self::Busy(Busy),
            ProvisionError::Database(outage) => outage.into(),
        }
    }
}

impl From<BlockError> for AccessError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::NoSuchUser => Self::NotFound,
            BlockError::TooMany => Self::TooManyBlocks,
            BlockError::Database(outage) => outage.into(),
        }
    }
}
