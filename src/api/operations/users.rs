//! Finding users.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;

use crate::{
    access::{self, Access},
    api::{
        Caller, Found, Limit, Page, Problem, Reply, SignedIn,
        http::{examples, or_null::OrNull, typed::Wrong},
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
    pub(in crate::api) access: Access,
}

#[OpenApi(tag = "Tag::Users")]
impl Users {
    /// Find a user by name
    ///
    /// Returns the one user with exactly this user name, or an empty list. Upper and lower case are the same.
    #[oai(path = "/users", method = "get", operation_id = "find_users")]
    async fn find(
        &self,
        _caller: Caller,
        /// The whole user name
        #[oai(validator(min_length = 1, max_length = 64))]
        username: Query<String>,
        #[oai(name = "limit")] _limit: Query<Limit>,
    ) -> Result<Reply<Page<User>>, SignedIn> {
        let found = match Username::parse(&username.0) {
            Ok(username) => self.access.user_by_name(&username).await?,
            // No account has a reserved name.
            Err(BadUsername::Reserved) => None,
            Err(wrong) => return Err(Problem::parameter("username", wrong.code(), wrong.to_string()).into()),
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
