//! Logging in with the token of an external issuer.

use std::{net::IpAddr, time::Duration};

use super::{error::AccessError, grant::Grant, needs::Access, newcomers};
use crate::{
    accounts::{
        By, NewLogin, Stamp,
        external::{self, Creation, Newcomer, Subject},
    },
    credentials::{DeviceName, Terms, refresh_token},
    domain::{LoginId, UserId},
    issuers::{Issuer, NotProven, Proven},
    limits::{BudgetKey, Policy},
    shares::Sizes,
};

/// The limits of concurrent exchanges. The logins of one account lock its row, so one user could otherwise hold all
/// connections to the database.
pub(crate) const EXCHANGES: Sizes =
    Sizes { of_node: 8, of_one: 2, waiting_of_one: 62, waiting: 512, patience: Duration::from_secs(5) };

/// The input of an exchange.
#[derive(Debug)]
pub struct Exchange {
    /// The token of the issuer.
    pub token: String,
    /// The name that the person gives to the device.
    pub device: Option<DeviceName>,
    /// The address of the client.
    pub from: IpAddr,
}

impl Access {
    /// Begins a login for the user of an issuer's token. An unknown user gets an account, if the rules of the issuer say
    /// so.
    pub async fn exchange(&self, exchange: &Exchange) -> Result<Grant, AccessError> {
        let proven = self.prove(&exchange.token).await;
        // A token that proves nothing takes from the budget of its address, as at every other door. A good one does not:
        // a host application exchanges the tokens of all its users from one address.
        if matches!(proven, Err(why) if why != NotProven::Unavailable) {
            self.limits.admit(Policy::Address, BudgetKey::address(exchange.from))?;
        }
        let (proven, issuer) = proven?;
        let holder = self.limits.number_of(Policy::Login, BudgetKey::name(&proven.origin_hash(&self.pepper)));
        let _place = self.exchanges.take(holder).await?;
        let user = self.account_of(&proven, &issuer).await?;
        let Self { pool, tokens, clock, .. } = self;
        let (id, now) = (clock.id(LoginId::known), clock.now());
        let salt = refresh_token::new_salt();
        let token = refresh_token::make(tokens.keys(), id, 0, &salt);
        let token_hash = &refresh_token::hash_of(&token)[..];
        let (device, place) = (exchange.device.as_ref(), self.place(exchange.from));
        let (place, terms) = (Some(place), Terms::default());
        let login = NewLogin { user, id, device, place, token_hash, salt: &salt, terms, ends_with: None };
        let begun = external::begin(pool, &login, subject(&proven), proven.session.as_deref(), now).await?;
        let displaced = begun.ok_or(AccessError::Suspended)?;
        self.cut_off(&displaced).await;
        Ok(Grant::of(tokens, user, id, terms, 0, now, &token))
    }

    async fn prove(&self, token: &str) -> Result<(Proven, std::sync::Arc<Issuer>), NotProven> {
        match &self.issuers {
            Some(issuers) => issuers.prove(token, self.clock.now()).await,
            None => Err(NotProven::UnknownIssuer),
        }
    }

    /// The account of a user. What the issuer says of the user is copied where the issuer's rules say so.
    async fn account_of(&self, proven: &Proven, issuer: &Issuer) -> Result<UserId, AccessError> {
        let name = newcomers::display_name(proven);
        if let Some(known) = external::find(&self.pool, subject(proven)).await? {
            let other = name.as_ref().filter(|name| issuer.sync && **name != known.display_name);
            if other.is_some() || proven.roles != known.roles {
                let stamp = Stamp::now(&self.clock, By::account(known.user));
                let (of, roles) = (subject(proven), &proven.roles);
                external::update(&self.pool, of, known.user, other, roles, stamp).await?;
            }
            return Ok(known.user);
        }
        if !issuer.jit {
            return Err(NotProven::Invalid.into());
        }
        let id = self.clock.id(UserId::known);
        let usernames = newcomers::usernames(proven, id);
        let origin_hash = &proven.origin_hash(&self.pepper);
        let (display_name, roles) = (name.as_ref(), &*proven.roles);
        let newcomer = Newcomer { id, usernames: &usernames, display_name, roles, origin_hash };
        let stamp = Stamp::now(&self.clock, By::account(id));
        match external::create(&self.pool, subject(proven), &newcomer, stamp).await? {
            Creation::Is(user) => Ok(user),
            Creation::NamesTaken => Err(AccessError::UsernameTaken),
        }
    }
}

fn subject(proven: &Proven) -> Subject<'_> {
    Subject { issuer: &proven.iss, subject: &proven.subject }
}
