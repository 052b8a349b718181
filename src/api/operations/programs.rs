//! The accounts of programs.

use std::{collections::BTreeMap, sync::Arc};

use poem_openapi::{Object, OpenApi, param::Query, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::{self, Access, NewService},
    api::{
        Body, Caller, Cursor, Few, Keyed, Limit, Page, Problem, Reply, SignedIn, given,
        http::{examples, reply::Created, scopes::of_words, typed::at, wrong::step},
        operations::tag::Tag,
    },
    credentials::{DisplayName, Scope, Username},
    domain::{Time, UserId, UserKind},
    limits::OwnLimits,
};

/// The maximum number of scopes in a list.
pub(in crate::api) const SCOPES: usize = 64;

/// The data of a new service account
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct NewServiceAccount {
    /// The unique name, by the same rules as the user names of people
    #[oai(validator(min_length = 1, max_length = 64))]
    username: String,
    /// The name that other users see: one line of at most 128 bytes of UTF-8
    #[oai(validator(min_length = 1, max_length = 128))]
    display_name: String,
    /// The scopes that keys of the account can have
    scopes: Few<String, SCOPES>,
    /// Rate limits that differ from the defaults, by policy: `service`, `send`, `start`, `members`, `search` or
    /// `connect`. A rate is written as in the settings: `300/60:30` allows 300 in 60 s and 30 at once, and `off`
    /// means no limit. `service` counts per key, the others per account; `send` applies only if it is set here
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(max_properties = "6"))]
    limits: Option<BTreeMap<String, String>>,
}

impl Example for NewServiceAccount {
    fn example() -> Self {
        Self {
            username: "shop".into(),
            display_name: "The shop".into(),
            scopes: scopes(),
            limits: Some(limits()),
        }
    }
}

/// The account of a program
#[derive(Serialize, Object)]
#[oai(example)]
struct ServiceAccount {
    /// The id of the user
    id: UserId,
    /// The unique name
    username: String,
    /// The name that other users see
    display_name: String,
    /// Always `service`
    kind: UserKind,
    /// The scopes that keys of the account can have
    scopes: Vec<String>,
    /// Its rate limits that differ from the defaults, by policy
    limits: BTreeMap<String, String>,
    /// When the account was created
    created_at: Time,
}

impl From<access::ServiceAccount> for ServiceAccount {
    fn from(account: access::ServiceAccount) -> Self {
        Self {
            id: account.id,
            username: account.username.to_string(),
            display_name: account.display_name.to_string(),
            kind: UserKind::Service,
            scopes: account.scopes.words(),
            limits: account.limits,
            created_at: account.created_at,
        }
    }
}

impl Example for ServiceAccount {
    fn example() -> Self {
        Self {
            id: examples::ben(),
            username: "shop".into(),
            display_name: "The shop".into(),
            kind: UserKind::Service,
            scopes: scopes::<SCOPES>().into_vec(),
            limits: limits(),
            created_at: examples::time(),
        }
    }
}

fn limits() -> BTreeMap<String, String> {
    [("service".to_owned(), "600/60:60".to_owned())].into()
}

/// Scopes for examples.
pub(in crate::api) fn scopes<const MOST: usize>() -> Few<String, MOST> {
    [Scope::ConversationsRead, Scope::MessagesWrite].iter().map(|scope| scope.word().to_owned()).collect()
}

pub(in crate::api) struct Programs {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Services")]
impl Programs {
    /// Create a service account
    ///
    /// Creates an account for a program. It has no password and no logins: it uses API keys. An unknown word in
    /// `scopes` is refused with `unknown_scope`. Needs the scope `admin:services`.
    #[oai(path = "/admin/services", method = "post", operation_id = "add_service")]
    async fn add(
        &self,
        caller: Caller,
        body: Body<NewServiceAccount>,
    ) -> Result<Created<ServiceAccount>, Keyed> {
        let NewServiceAccount { username, display_name, scopes, limits } = body.0;
        let username = at("/username", Username::parse(&username))?;
        let display_name = at("/display_name", DisplayName::parse(&display_name))?;
        let scopes = of_words("/scopes", scopes.into_vec())?;
        let limits = limits.unwrap_or_default();
        let limits = OwnLimits::parse(limits.iter().map(|(name, text)| (name.as_str(), text.as_str())))
            .map_err(|bad| {
                Problem::invalid(format!("/limits{}", step(bad.name())), "invalid", bad.to_string())
            })?;
        let new = NewService { username, display_name, scopes, limits };
        let Access { pool, clock, .. } = &*self.access;
        let made = access::add_service(pool, clock, new, caller.by()).await?;
        Ok(Created { location: format!("/v1/users/{}", made.id), body: made.into() })
    }

    /// List service accounts
    ///
    /// Lists the service accounts, newest first. Needs the scope `admin:services`.
    #[oai(path = "/admin/services", method = "get", operation_id = "list_services")]
    async fn list(
        &self,
        _caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<(Time, UserId)>>>,
    ) -> Result<Reply<Page<ServiceAccount>>, SignedIn> {
        let after = cursor.0.map(|cursor| cursor.0);
        let found = access::services(&self.access.pool, after, limit.0.and_one()).await?;
        let page = Page::cut(found, limit.0, |last| (last.created_at, last.id));
        Ok(Reply(page.map(ServiceAccount::from)))
    }
}
