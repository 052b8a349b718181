//! The names of users, which answers can include beside their ids.

use std::collections::BTreeSet;

use super::{error::ReadError, open::Reading};
use crate::{
    accounts::{self, Account},
    domain::UserId,
};

/// The most users whose names come with one answer. A page has far fewer, unless its messages mention very many.
pub(crate) const MOST_NAMES: usize = 2_000;

impl Reading {
    /// The accounts of these users, by one query: of the first [`MOST_NAMES`] of them, each once. Ids without an
    /// account are left out. Every user may see every account, so there is nothing to decide.
    pub async fn names(&self, ids: impl IntoIterator<Item = UserId>) -> Result<Vec<Account>, ReadError> {
        let mut seen = BTreeSet::new();
        let ids: Vec<UserId> = ids.into_iter().filter(|id| seen.insert(*id)).take(MOST_NAMES).collect();
        match ids.as_slice() {
            [] => Ok(Vec::new()),
            ids => Ok(accounts::find_many(&self.pool, ids).await?),
        }
    }
}
