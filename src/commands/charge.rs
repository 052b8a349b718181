//! The cost of a command. The cost is taken once the caller is known to be a member, so that a stranger never
//! uses up the budget of a conversation. Before that, the request itself has cost its user a unit. A command
//! with a policy of its own gives that unit back when the command has happened. A retry, which changes
//! nothing, gives the cost of the command back instead, and so costs the user's budget only.

use crate::{
    commands::{acting::is_paid_by_key, bringing_in::others, needs::Commands, refused::Refused},
    domain::{ConversationId, Event, UserId},
    limits::{Exceeded, Policy},
};

impl Commands {
    /// Takes the cost of a change to the timeline from all its budgets, or from none.
    pub(super) fn charge_change(&self, by: UserId, id: ConversationId) -> Result<(), Refused> {
        if !self.pays_send(by) {
            return Ok(self.limits.admit(Policy::Conversation, id)?);
        }
        self.limits.admit(Policy::Send, by)?;
        self.limits
            .admit(Policy::Conversation, id)
            .inspect_err(|_| self.limits.give_back(Policy::Send, by, 1))?;
        Ok(())
    }

    /// Settles the cost that [`charge_change`](Self::charge_change) took, once the log has answered.
    pub(super) fn settle_change(&self, by: UserId, id: ConversationId, was_there: bool) {
        if was_there {
            self.limits.give_back(Policy::Conversation, id, 1);
        }
        if was_there && self.pays_send(by) {
            self.limits.give_back(Policy::Send, by, 1);
        }
        if !was_there && !is_paid_by_key() {
            self.limits.instead_of_user(by);
        }
    }

    /// A key pays by its own budget alone, unless its account was given a limit of sends.
    fn pays_send(&self, by: UserId) -> bool {
        !is_paid_by_key() || self.limits.has_own(Policy::Send, by)
    }

    /// Takes the cost of bringing others in.
    pub(super) fn charge_members(&self, by: UserId, event: &Event) -> Result<(), Exceeded> {
        match others_of(by, event) {
            0 => Ok(()),
            many => self.limits.admit_many(Policy::Members, by, many),
        }
    }

    /// Takes the cost of starting a conversation from all its budgets, or from none.
    pub(super) fn charge_start(&self, by: UserId, event: &Event) -> Result<(), Exceeded> {
        self.limits.admit(Policy::Start, by)?;
        self.charge_members(by, event).inspect_err(|_| self.limits.give_back(Policy::Start, by, 1))
    }

    /// Settles the cost that [`charge_start`](Self::charge_start) took, once the log has answered.
    pub(super) fn settle_start(&self, by: UserId, members: u32, was_there: bool) {
        if was_there {
            self.limits.give_back(Policy::Members, by, members);
            self.limits.give_back(Policy::Start, by, 1);
        } else if !is_paid_by_key() {
            self.limits.instead_of_user(by);
        }
    }
}

/// How many other users an event brings in.
pub(super) fn others_of(by: UserId, event: &Event) -> u32 {
    u32::try_from(others(by, event).len()).unwrap_or(u32::MAX)
}
