//! Finding people.

use std::collections::HashSet;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;

use sqlx::PgPool;

use crate::{
    accounts,
    api::operations::tag::Tag,
    api::{
        Caller, FieldError, Found, Limit, Page, Problem, Reply, SignedIn,
        http::{examples, typed::Wrong},
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

impl From<accounts::Account> for User {
    fn from(account: accounts::Account) -> Self {
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
    pub(in crate::api) pool: PgPool,
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
            Ok(username) => accounts::by_username(&self.pool, &username).await?,
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
        let account = accounts::find(&self.pool, id.0).await?.ok_or_else(Problem::not_found)?;
        Ok(Reply(account.into()))
    }
}

/// Refuses a body that names users who do not exist, each at its pointer.
pub(in crate::api) async fn must_exist(
    pool: &PgPool,
    users: &[UserId],
    pointer: impl Fn(usize) -> String,
) -> Result<(), Problem> {
    let known = accounts::existing(pool, users).await?;
    unknown(users, &known, pointer).map_or(Ok(()), Err)
}

fn unknown(users: &[UserId], known: &HashSet<UserId>, pointer: impl Fn(usize) -> String) -> Option<Problem> {
    let strangers = users.iter().enumerate().filter(|(_, user)| !known.contains(user));
    let errors: Vec<_> = strangers
        .map(|(index, _)| FieldError::new(pointer(index), "unknown_user", "there is no such user"))
        .collect();
    (!errors.is_empty()).then(|| Problem::invalid_fields(errors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use examples::{ana, ben};

    #[test]
    fn every_unknown_user_is_pointed_at() {
        let pointer = |index| format!("/members/{index}");
        let only_ana = HashSet::from([ana()]);
        let problem = unknown(&[ben(), ana(), ben()], &only_ana, pointer).expect("refused");
        assert_eq!((problem.status.as_u16(), problem.code), (400, "invalid_body"));
        let at: Vec<_> = problem.errors.iter().map(|e| (e.pointer.as_str(), e.code.as_str())).collect();
        assert_eq!(at, [("/members/0", "unknown_user"), ("/members/2", "unknown_user")]);
        assert!(unknown(&[ana()], &only_ana, pointer).is_none());
    }
}
