//! Finding users.

use std::sync::Arc;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    registry::MetaSchema,
    types::{Example, ParseError, ParseFromParameter, ParseResult},
};
use serde::Serialize;

use crate::{
    access::{self, Access},
    api::{
        Caller, Found, Limit, Page, Problem, Reply, SignedIn,
        http::{examples, inlined::inlined, or_null::OrNull, typed::Wrong},
        operations::tag::Tag,
    },
    credentials::{BadUsername, Username},
    domain::{UserId, UserKind},
};

/// A user as other users see it
#[derive(Serialize, Object)]
#[oai(example)]
struct User {
    /// The id of the user
    id: UserId,
    /// The name by which other users find the account
    username: String,
    /// The name that other users see
    display_name: String,
    /// The https URL of a picture of the user; null if there is none
    avatar_url: OrNull<String>,
    /// Whether the user is a person or a program
    kind: UserKind,
}

impl From<access::Account> for User {
    fn from(account: access::Account) -> Self {
        Self {
            id: account.id,
            username: account.username.to_string(),
            display_name: account.display_name.to_string(),
            avatar_url: OrNull(account.avatar_url.map(|url| url.to_string())),
            kind: account.kind,
        }
    }
}

impl Example for User {
    fn example() -> Self {
        Self {
            id: examples::ben(),
            username: "ben".into(),
            display_name: "Ben".into(),
            avatar_url: examples::avatar(),
            kind: UserKind::User,
        }
    }
}

pub(in crate::api) struct Users {
    pub(in crate::api) access: Arc<Access>,
}

/// Ids of users: the parameter `ids`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) struct UserIds(Vec<UserId>);

impl UserIds {
    /// The maximum number of ids.
    pub(in crate::api) const MAX: usize = 100;
}

inlined!(() UserIds, "UserIds", true, MetaSchema {
    description: Some("Ids of users, separated by commas, at most 100"),
    min_length: Some(36),
    max_length: Some(UserIds::MAX * 37 - 1),
    example: Some(examples::ben().to_string().into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for UserIds {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        // The length is checked first, so that a long list costs nothing.
        if value.len() > Self::MAX * 37 - 1 {
            return Err(ParseError::custom(format!("must be at most {} ids", Self::MAX)));
        }
        let ids: Result<Vec<UserId>, _> = value.split(',').map(str::parse).collect();
        ids.map(Self).map_err(ParseError::custom)
    }
}

impl Users {
    async fn by_name(&self, username: &str) -> Result<Option<access::Account>, SignedIn> {
        match Username::parse(username) {
            Ok(username) => Ok(self.access.user_by_name(&username).await?),
            // No account has a reserved name.
            Err(BadUsername::Reserved) => Ok(None),
            Err(wrong) => Err(Problem::parameter("username", wrong.code(), wrong.to_string()).into()),
        }
    }
}

#[OpenApi(tag = "Tag::Users")]
impl Users {
    /// Find users
    ///
    /// Returns the one user with exactly this user name, or an empty list; or the users with these ids, in the order
    /// of the ids. Ids without a user are left out. User names are case-insensitive. Exactly one of `username` and
    /// `ids` is required. All users come in one page, without `next_cursor`.
    #[oai(path = "/users", method = "get", operation_id = "find_users")]
    async fn find(
        &self,
        _caller: Caller,
        /// The complete user name
        #[oai(validator(min_length = 1, max_length = 64))]
        username: Query<Option<String>>,
        /// The ids of up to 100 users, separated by commas
        ids: Query<Option<UserIds>>,
        /// Has no effect
        #[oai(name = "limit")]
        _limit: Query<Limit>,
    ) -> Result<Reply<Page<User>>, SignedIn> {
        let found = match (username.0, ids.0) {
            (Some(username), None) => self.by_name(&username).await?.into_iter().collect(),
            (None, Some(UserIds(ids))) => self.access.users(&ids).await?,
            (None, None) => {
                return Err(Problem::parameter("username", "missing", "give username, or ids").into());
            }
            (Some(_), Some(_)) => {
                let detail = "username and ids cannot be combined: send one of them";
                return Err(Problem::parameter("ids", "contradictory", detail).into());
            }
        };
        Ok(Reply(Page::of(found.into_iter().map(User::from).collect(), None)))
    }

    /// Get a user
    ///
    /// Returns the user with this id.
    #[oai(path = "/users/:id", method = "get", operation_id = "get_user")]
    async fn get(&self, _caller: Caller, id: Path<UserId>) -> Result<Reply<User>, Found> {
        Ok(Reply(self.access.user(id.0).await?.into()))
    }
}
