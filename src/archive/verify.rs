//! Reads a whole archive again, and names each file that is corrupt, missing or swapped.

use crate::{
    archive::{ArchiveError, ArchiveHead, ArchiveTarget, backups, chain::Chain, head::StreamEnd},
    domain::Epoch,
};

/// What a verification has found.
#[derive(Debug, Default)]
pub(crate) struct VerifiedArchive {
    /// The segments that are good.
    pub segments: u64,
    /// Their records.
    pub records: u64,
    /// The backups that are good.
    pub backups: u64,
    /// What is wrong, each by the name of its file.
    pub problems: Vec<String>,
}

/// Reads the segments of all epochs, and all backups.
pub(crate) async fn verify(target: &ArchiveTarget) -> Result<VerifiedArchive, ArchiveError> {
    let mut verified = VerifiedArchive::default();
    for head in ArchiveHead::all(target).await? {
        for (stream, end) in &head.ends {
            verify_stream(target, &head.epoch, stream, end, &mut verified).await?;
        }
    }
    for (name, backup) in backups::all(target).await? {
        let problems = match backup {
            Ok(backup) => backups::problems(target, &backup).await?,
            Err(why) => vec![format!("{name}: {why}")],
        };
        if problems.is_empty() {
            verified.backups += 1;
        }
        verified.problems.extend(problems);
    }
    Ok(verified)
}

async fn verify_stream(
    target: &ArchiveTarget,
    epoch: &Epoch,
    stream: &str,
    end: &StreamEnd,
    verified: &mut VerifiedArchive,
) -> Result<(), ArchiveError> {
    let (mut chain, missing) = Chain::find(target, epoch, stream, end).await?;
    verified.problems.extend(missing);
    let stray = |name| {
        format!(
            "{name}: other segments have its records, too: an archiver that was killed may have left it behind"
        )
    };
    verified.problems.extend(chain.strays().iter().map(stray));
    while let Some(read) = chain.read(target).await? {
        match read {
            Ok(segment) => {
                verified.segments += 1;
                verified.records += segment.footer.records;
            }
            Err(problem) => verified.problems.push(problem),
        }
    }
    Ok(())
}
