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
        http::{examples, typed::Wrong},
        operations::tag::Tag,
    },
    credentials::{BadUsername, Username},
    domain::UserId,
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
}

impl From<access::Account> for User {
    fn from(account: access::Account) -> Self {
        let (username, display_name) = (account.username.to_string(), account.display_name.to_string());
        Self { id: account.id, username, display_name }
    }
}

impl Example for User {
    fn example() -> Self {
        Self { id: examples::ben(), username: "ben".into(), display_name: "Ben".into() }
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
