//! What AUDIT says has become of accounts. The copy of the accounts in a backup may be older than these events, and
//! nobody would request them a second time.

use std::collections::BTreeSet;

use crate::{
    archive::{ArchiveError, ArchiveHead, ArchiveTarget, chain::Chain, head::AUDIT},
    domain::{AuditEvent, Epoch, UserId},
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
    /// it has all of their other events. Each is read from its beginning, because AUDIT begins again at 1 if it was
    /// recreated; where it was not, the same events in the same order say the same again.
    pub(super) async fn read_later_epochs(
        &mut self,
        target: &ArchiveTarget,
        epoch: &Epoch,
    ) -> Result<(), ArchiveError> {
        let mut later = ArchiveHead::all(target).await?;
        later.retain(|later| later.former.contains(epoch));
        // Each epoch has all epochs before it as former ones.
        later.sort_by_key(|later| later.former.len());
        for later in &later {
            let Some(end) = later.ends.get(AUDIT) else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::{
            head::{FILE, StreamEnd, of_epoch},
            segment::{SegmentWriter, Written},
            target::Replaces,
        },
        domain::Position,
        log::Layout,
    };

    const ANA: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";
    const BEN: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ac";

    /// Archives an epoch with one audit event.
    async fn archives(
        target: &ArchiveTarget,
        name: &str,
        former: &[&str],
        word: &str,
        account: &str,
        file: &str,
    ) {
        let epoch = Epoch(name.into());
        let headers = [
            format!("ce-id: {ANA}"),
            "ce-time: 2026-01-02T03:04:05.678Z".into(),
            format!("ce-type: verbatim.{word}.v1"),
        ];
        let record = Record {
            position: Position(1),
            stored_at: 0,
            subject: format!("audit.account.{account}"),
            headers: headers.map(|line| line + "\r\n").concat().into(),
            payload: "{}".into(),
        };
        let mut writer = SegmentWriter::begin(&epoch, AUDIT, Position(1)).expect("a segment");
        writer.add(&record).expect("a record");
        let Written { name, file: bytes, footer } = writer.end(None).expect("a file");
        target.put(&name, bytes, Replaces::Nothing).await.expect("written");
        let at = "2026-01-02T03:04:05.678Z".parse().expect("a time");
        let mut head = ArchiveHead::begin(&epoch, Layout { streams: 1, replicas: 1 }, at);
        head.former = former.iter().map(|name| Epoch((*name).into())).collect();
        let (first, last) = (Position(1), Position(1));
        let end = StreamEnd { first, last, sha256: Some(footer.sha256), segments: 1 };
        head.ends.insert(AUDIT.into(), end);
        head.put(target, file, Replaces::Nothing).await.expect("written");
    }

    /// AUDIT of a later epoch may be shorter than that of the restored one, and its name says nothing of its age.
    #[tokio::test]
    async fn later_epochs_are_read_in_the_order_in_which_they_began() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = ArchiveTarget::folder(folder.path());
        let [second, third] = ["b", "a"].map(|name| of_epoch(&Epoch(name.into())));
        archives(&target, "b", &["one"], "account.suspended", ANA, &second).await;
        archives(&target, "a", &["one", "b"], "account.restored", ANA, &third).await;
        archives(&target, "c", &["one", "b", "a"], "account.erased", BEN, FILE).await;
        let mut fates = AccountFates::default();
        fates.read_later_epochs(&target, &Epoch("one".into())).await.expect("read");
        let erased = BTreeSet::from([BEN.parse().expect("an id")]);
        assert_eq!(fates, AccountFates { erased, suspended: BTreeSet::new() });
        let mut fates = AccountFates::default();
        fates.read_later_epochs(&target, &Epoch("c".into())).await.expect("read");
        assert_eq!(fates, AccountFates::default(), "no epoch is later");
    }
}
