//! The pair of tokens that a login or a refresh returns.

use std::{fmt, time::Duration};

use crate::{
    accounts::NewLogin,
    credentials::{Terms, Tokens},
    domain::{LoginId, Time, UserId},
};

/// The answer to a login and to a refresh.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// The user of the login.
    pub user: UserId,
    /// The login.
    pub login: LoginId,
    /// The access token.
    pub access_token: String,
    /// How long the access token is valid.
    pub expires_in: Duration,
    /// The next refresh token, which can be used once.
    pub refresh_token: String,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("login", &self.login).finish_non_exhaustive()
    }
}

impl Grant {
    /// The first tokens of a login.
    pub(super) fn first(tokens: &Tokens, login: &NewLogin<'_>, begun: Time) -> Self {
        let NewLogin { user, id, terms, token, .. } = login;
        Self::of(tokens, *user, *id, *terms, 0, begun, &token.text)
    }

    /// The tokens of a generation. The access token is issued as of the time `begun` of the generation, and
    /// its `jti` names the login and the generation. So a second answer for the same generation equals the
    /// first one to the byte.
    pub(super) fn of(
        tokens: &Tokens,
        user: UserId,
        login: LoginId,
        terms: Terms,
        generation: i32,
        begun: Time,
        refresh_token: &str,
    ) -> Self {
        Self {
            user,
            login,
            access_token: tokens.issue_on(terms, user, login, begun, format!("{login}.{generation}")),
            expires_in: terms.life,
            refresh_token: refresh_token.to_owned(),
        }
    }
}
