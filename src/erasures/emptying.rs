//! Emptying the account of a request. The user loses access on all nodes before the log is searched for content of the
//! account.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    accounts::{
        self, By, ErasureScope, Stamp,
        erasures::{ErasurePart, ErasureRequest},
    },
    clock::Clock,
    domain::{ConversationId, EventId, LoginId, Position, UserId},
    erasures::{error::ErasureError, hiding::Hiding},
    log::{Signal, Unavailable},
    views::{self, Checkpoint},
};

/// How long to wait until the views show all memberships of the user.
const PATIENCE: Duration = Duration::from_secs(5);

impl Hiding {
    /// Empties an account, and returns the conversations in which it may have sent messages.
    pub(super) async fn empty(
        &self,
        erasure: &ErasureRequest,
        account: UserId,
    ) -> Result<Vec<ErasurePart>, ErasureError> {
        let by = By::account(erasure.actor);
        let stamps = [Stamp::now(&self.clock, by), Stamp::now(&self.clock, by)];
        let emptied = accounts::erase(&self.pool, account, &erased_name(&self.clock), stamps).await?;
        let emptied = emptied.ok_or(ErasureError::NoAccount("/user_id"))?;
        self.cut_off(account, &emptied.ended).await?;
        let conversations = match erasure.scope {
            ErasureScope::AccountAndContent => self.conversations_of(account).await?,
            ErasureScope::Account | ErasureScope::Content => BTreeSet::new(),
        };
        let conversations: Vec<ConversationId> = conversations.into_iter().collect();
        accounts::account_is_emptied(&self.pool, erasure.id, emptied.rows, self.clock.now(), &conversations)
            .await?;
        let part = |conversation| ErasurePart {
            conversation,
            positions: Vec::new(),
            events: Vec::new(),
            told_at: None,
        };
        Ok(conversations.into_iter().map(part).collect())
    }

    /// Signals to all nodes, including this one, that the account and its logins are no longer valid. A node that
    /// misses the signal reads the change from the database.
    async fn cut_off(&self, account: UserId, logins: &[LoginId]) -> Result<(), Unavailable> {
        self.log.tell(Signal::Suspended { user: account }).await?;
        for login in logins {
            self.log.tell(Signal::Revoked { login: *login, suspended: Some(account) }).await?;
        }
        self.log.tell(Signal::UserChanged { user: account }).await
    }

    /// The conversations of which the user is or was a member, and all parked ones: the views do not know who joined
    /// those later. For this, the views must include everything that was in the log when the account was emptied.
    async fn conversations_of(&self, account: UserId) -> Result<BTreeSet<ConversationId>, ErasureError> {
        let ends = self.log.ends().await?.into_iter().enumerate();
        let ends: Vec<_> = ends.map(|(stream, position)| Checkpoint { stream, position }).collect();
        if !self.progress.all_reached(&ends, PATIENCE).await? {
            return Err(Unavailable::because("the views have not followed the log yet").into());
        }
        let stays = views::memberships(&self.pool, None, account, Position::START).await?;
        let parked = views::parked_conversations(&self.pool).await?;
        Ok(stays.present.iter().chain(&stays.past).map(|stay| stay.conversation).chain(parked).collect())
    }
}

/// A meaningless user name: the last digits of a new id are random.
pub(crate) fn erased_name(clock: &Clock) -> String {
    let id = clock.id(EventId::known).uuid().simple().to_string();
    format!("erased-{}", &id[id.len() - 8..])
}
