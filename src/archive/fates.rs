//! What AUDIT says has become of accounts. The copy of the accounts in a backup may be older than these events, and
//! nobody would request them a second time.

use std::collections::BTreeSet;

use crate::{
    archive::{ArchiveError, ArchiveHead, ArchiveTarget, chain::Chain, head::AUDIT},
    domain::{AuditEvent, Epoch, Position, UserId},
    log::Record,
};

/// The accounts that are out, as of the events that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AccountFates {
    /// The erased accounts.
    pub erased: BTreeSet<UserId>,
    /// The suspended accounts.
    pub suspended: BTreeSet<UserId>,
}

impl AccountFates {
    /// Reads the next event of AUDIT.
    pub(crate) fn read(&mut self, event: &AuditEvent) {
        let Ok(account) = event.subject.parse() else { return };
        match &*event.word {
            "account.erased" => drop(self.erased.insert(account)),
            "account.suspended" => drop(self.suspended.insert(account)),
            "account.restored" => drop(self.suspended.remove(&account)),
            _ => {}
        }
    }

    /// Reads AUDIT as later epochs have it, which began from this one: the archive may have their audit events before
    /// it has all of their other events.
    pub(super) async fn read_later_epochs(
        &mut self,
        target: &ArchiveTarget,
        epoch: &Epoch,
        audited: Position,
    ) -> Result<(), ArchiveError> {
        for later in ArchiveHead::all(target).await?.iter().filter(|later| later.former.contains(epoch)) {
            let Some(end) = later.ends.get(AUDIT).filter(|end| end.last > audited) else { continue };
            let (mut chain, missing) = Chain::find(target, &later.epoch, AUDIT, end).await?;
            let mut problems = missing;
            while let Some(segment) = chain.read(target).await? {
                match segment {
                    Ok(segment) => {
                        let events = segment.records.iter().filter_map(Record::audit_event);
                        events.for_each(|event| self.read(&event));
                    }
                    Err(problem) => problems.push(problem),
                }
            }
            for problem in problems {
                tracing::warn!(problem, "it is not known which accounts were erased or suspended here");
            }
        }
        Ok(())
    }
}
