//! Logging in with the token of an external issuer, and being logged out by the issuer.

use std::net::IpAddr;

use super::{
    error::AccessError,
    external::{Admission, External, proof},
    grant::Grant,
    needs::Access,
};
use crate::{
    accounts::{
        NewLogin,
        external_logins::{self, Beginning},
        external_logouts::{self, Logout, TokenRefusal},
    },
    credentials::{DeviceName, Terms, refresh_token::FirstToken},
    domain::LoginId,
    issuers::{Ends, LoggedOut, NotProven},
    limits::{BudgetKey, Policy},
};

/// The input of an exchange.
#[derive(Debug)]
pub struct Exchange {
    /// The token of the issuer.
    pub token: String,
    /// The name of the device.
    pub device: Option<DeviceName>,
    /// The address of the client.
    pub from: IpAddr,
}

impl Access {
    /// Begins a login for the user of an issuer's token. An unknown user gets an account if the rules of the issuer
    /// allow it.
    pub async fn exchange(&self, exchange: &Exchange) -> Result<Grant, AccessError> {
        let Self { pool, tokens, clock, .. } = self;
        let external = self.external()?;
        let (proven, issuer) = external.issuers().prove(&exchange.token, clock.now()).await?;
        // The account may not exist yet, so the user pays under the name at the issuer.
        self.limits.admit(Policy::User, BudgetKey::holder(proven.holder()))?;
        let _place = external.place(&proven).await?;
        let user = match external.account_of(&proven, &issuer).await? {
            Admission::Is(user) => user,
            Admission::NoAccount => return Err(AccessError::NotAdmitted),
            Admission::Over => return Err(AccessError::LoggedOut),
        };
        let (id, now) = (clock.id(LoginId::known), clock.now());
        let token = &FirstToken::draw(&tokens.keys(), id);
        let (device, place) = (exchange.device.as_ref(), Some(self.place(exchange.from)));
        let terms = Terms::default();
        let login = NewLogin { user, id, device, place, token, terms, ends_with: None };
        match external_logins::begin(pool, &login, &proof(&proven), now).await? {
            Beginning::Begun(displaced) => self.cut_off(&displaced).await,
            Beginning::Refused(TokenRefusal::Suspended) => return Err(AccessError::Suspended),
            Beginning::Refused(TokenRefusal::Over) => return Err(AccessError::LoggedOut),
        }
        Ok(Grant::first(tokens, &login, now))
    }

    /// Ends the logins that an issuer's logout token names, on all nodes.
    pub async fn log_out_by_issuer(&self, token: &str) -> Result<(), AccessError> {
        let proven = self.external()?.issuers().prove_logout(token, self.clock.now()).await?;
        let LoggedOut { iss, ends, id, at, until } = proven;
        let (session, subject) = match &ends {
            Ends::Session(session) => (Some(&**session), None),
            Ends::User(user) => (None, Some(&**user)),
        };
        let logout = Logout { issuer: &iss, session, subject, id: &id, at, until };
        let ended = external_logouts::log_out(&self.pool, &logout, &self.clock).await?;
        self.cut_off(&ended.ok_or(NotProven::Invalid)?).await;
        Ok(())
    }

    fn external(&self) -> Result<&External, NotProven> {
        self.external.as_ref().ok_or(NotProven::UnknownIssuer)
    }
}
