//! The result of authentication, with which every edge works.

use crate::{
    credentials::Scopes,
    domain::{LoginId, Time, UserId},
};

/// The user in whose name a request or a socket acts, and the proof of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub user: UserId,
    /// The login of the proof. The deny set, [`crate::live::Revoked`], knows it when it has ended.
    pub login: LoginId,
    /// The time at which the proof expires, without leeway.
    pub expires_at: Time,
    /// The service account that acts in the name of the user.
    pub via: Option<UserId>,
    /// What the caller may ask for.
    pub scopes: Scopes,
}
