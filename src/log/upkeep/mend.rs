//! Settings of the streams. Our own settings are corrected in place if they are wrong; all others stay as an operator
//! has set them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use async_nats::jetstream::stream::{Config, PersistenceMode};

use crate::log::{
    Log, OpenError, Wanted,
    bus::{claims, lease},
    errors,
    level::READS,
    streams::{
        audit::audit,
        layout::{self, AUDIT, Found, PRESENCE, chat, is_not_found, presence},
        parked::{ADVISORIES, REPLAY, advisories, replays},
    },
    subject,
};

/// A wrong setting of a stream, which was corrected or has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The stream of the setting.
    pub stream: String,
    /// The setting, as JetStream's API names it.
    pub setting: &'static str,
    /// The wrong value.
    pub was: String,
    /// The right value.
    pub is: String,
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, setting, was, is } = self;
        write!(f, "{stream}: {setting} was {was} and is now {is}")
    }
}

impl Log {
    /// Creates the streams that are in the memory of the servers, if they are missing: the stream of presence changes
    /// and the buckets of leases.
    pub async fn make_volatile(&self) -> Result<(), OpenError> {
        layout::make_presence(&self.maker, self.layout).await?;
        self.leases().await.map(drop).map_err(errors::refused)
    }

    /// The streams from which no event could ever be erased: `deny_delete` is set, and cannot be unset.
    pub async fn never_erased(&self) -> Result<Vec<String>, OpenError> {
        let found = layout::look(&self.jetstream, Wanted::default()).await?;
        Ok(found.deny_delete().map(str::to_owned).collect())
    }

    /// The streams that acknowledge events before they are on disk, whatever the servers sync (`persist_mode: async`).
    pub(crate) async fn acknowledges_early(&self) -> Result<Vec<String>, OpenError> {
        let mut early = Vec::new();
        for name in self.kept_streams() {
            match self.jetstream.get_stream(&name).await {
                Ok(stream) if stream.cached_info().config.persist_mode == Some(PersistenceMode::Async) => {
                    early.push(name);
                }
                Ok(_) => {}
                // `check` reports missing streams elsewhere.
                Err(e) if is_not_found(e.kind()) => {}
                Err(e) => return Err(errors::refused(e)),
            }
        }
        Ok(early)
    }

    /// The streams with wrong settings: the correct configuration of each, and the settings that are wrong.
    async fn wrong(&self) -> Result<Vec<(Config, Vec<Mended>)>, OpenError> {
        let layout = self.layout;
        let wanted = Wanted { streams: Some(layout.streams), replicas: Some(layout.replicas) };
        let Found { epoch, infos, .. } = layout::look(&self.maker.jetstream, wanted).await?;
        let mut wrong: Vec<_> = infos
            .into_iter()
            .enumerate()
            .map(|(index, info)| put_right(info.config, chat(index, layout, &epoch)))
            .collect();
        let volatile = [PRESENCE, lease::NODES_STREAM, lease::HERE_STREAM];
        let later = [AUDIT, ADVISORIES, REPLAY, claims::HOOKS_STREAM, claims::ARCHIVES_STREAM];
        for name in volatile.into_iter().chain(later) {
            let stream = match self.maker.jetstream.get_stream(name).await {
                // An operator makes it, or the first process that needs it.
                Err(e) if later.contains(&name) && is_not_found(e.kind()) => continue,
                stream => stream.map_err(errors::refused)?,
            };
            let found = stream.cached_info().config.clone();
            let ours = match name {
                PRESENCE => presence(layout.replicas),
                AUDIT => audit(layout),
                ADVISORIES => advisories(layout),
                REPLAY => replays(layout),
                lease::HERE_STREAM => Config {
                    num_replicas: layout.replicas,
                    allow_message_ttl: true,
                    subject_delete_marker_ttl: Some(lease::MARKER),
                    ..found.clone()
                },
                // All other settings of a bucket come from the client library.
                _ => Config { num_replicas: layout.replicas, ..found.clone() },
            };
            wrong.push(put_right(found, ours));
        }
        wrong.retain(|(_, mended)| !mended.is_empty());
        Ok(wrong)
    }

    /// Our settings of the streams, as far as they are wrong.
    pub async fn to_be_mended(&self) -> Result<Vec<Mended>, OpenError> {
        Ok(self.wrong().await?.into_iter().flat_map(|(_, mended)| mended).collect())
    }

    /// Corrects our settings of the streams, and creates the streams in memory. Returns the settings that were wrong.
    pub async fn mend(&self) -> Result<Vec<Mended>, OpenError> {
        self.make_volatile().await?;
        let mut all = Vec::new();
        for (config, mended) in self.wrong().await? {
            self.maker.update(config).await?;
            all.extend(mended);
        }
        Ok(all)
    }
}

/// The configuration with our settings corrected, and the settings that were wrong.
fn put_right(mut config: Config, mut ours: Config) -> (Config, Vec<Mended>) {
    // The server adds metadata of its own, and the order of subjects does not matter.
    for (name, value) in &config.metadata {
        let wanted = ours.metadata.entry(name.clone()).or_insert_with(|| value.clone());
        // A newer version has raised the level and written events that require it, and this version reads that level:
        // it stays after a rollback.
        if name == READS && value.parse::<u32>().ok() > wanted.parse().ok() {
            wanted.clone_from(value);
        }
    }
    let sorted = |subjects: &[String]| {
        let mut sorted = subjects.to_vec();
        sorted.sort_unstable();
        sorted
    };
    // The lanes of a newer version stay: its nodes write there during a rollback to this one.
    let newer = config.subjects.iter().filter(|subject| subject::is_of_newer_lane(subject));
    ours.subjects.extend(newer.cloned());
    if sorted(&config.subjects) == sorted(&ours.subjects) {
        ours.subjects.clone_from(&config.subjects);
    }
    // The operator may choose any number, as long as there is a limit.
    if config.max_consumers > 0 {
        ours.max_consumers = config.max_consumers;
    }
    // `deny_delete` cannot be unset.
    ours.deny_delete |= config.deny_delete;
    let (mut mended, before) = (Vec::new(), config.clone());
    macro_rules! put_right {
        ($($setting:ident),+) => {$(
            if config.$setting != ours.$setting {
                mended.push(Mended {
                    stream: config.name.clone(),
                    setting: stringify!($setting),
                    was: format!("{:?}", config.$setting),
                    is: format!("{:?}", ours.$setting),
                });
                config.$setting = ours.$setting.clone();
            }
        )+};
    }
    put_right!(
        subjects,
        retention,
        discard,
        storage,
        num_replicas,
        max_age,
        max_messages_per_subject,
        max_message_size,
        duplicate_window,
        max_consumers,
        deny_delete,
        deny_purge,
        allow_direct,
        allow_atomic_publish,
        allow_message_ttl,
        subject_delete_marker_ttl,
        metadata
    );
    for told in &mut mended {
        // Shortened: a stream has up to a thousand subjects, and most of its metadata are the server's.
        (told.was, told.is) = match told.setting {
            "subjects" => {
                (briefly(&before.subjects, &ours.subjects), briefly(&ours.subjects, &before.subjects))
            }
            "metadata" => (only(&before.metadata, &ours.metadata), only(&ours.metadata, &before.metadata)),
            _ => continue,
        };
    }
    (config, mended)
}

/// Subjects in short: their number, and one that `others` lacks.
fn briefly(subjects: &[String], others: &[String]) -> String {
    let count = subjects.len();
    match subjects.iter().find(|subject| !others.contains(subject)) {
        Some(one) => format!("{count} subjects, {one} among them"),
        None => format!("{count} subjects"),
    }
}

/// The metadata that `others` lacks or has with another value.
fn only(metadata: &HashMap<String, String>, others: &HashMap<String, String>) -> String {
    let other: BTreeMap<_, _> =
        metadata.iter().filter(|(name, value)| others.get(*name) != Some(value)).collect();
    format!("{other:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Epoch, log::Layout};

    const LAYOUT: Layout = Layout { streams: 4, replicas: 1 };

    #[test]
    fn what_an_operator_has_set_stays_and_what_is_ours_is_put_right() {
        let ours = chat(2, LAYOUT, &Epoch("one".into()));
        let mut found = Config { max_bytes: 7 << 30, deny_delete: true, allow_direct: false, ..ours.clone() };
        found.metadata.insert("_nats.ver".into(), "2.15.1".into());
        found.subjects.reverse();
        let (config, mended) = put_right(found.clone(), ours);
        assert_eq!(config, Config { allow_direct: true, ..found });
        let told: Vec<String> = mended.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["CHAT_2: allow_direct was false and is now true"]);
    }

    #[test]
    fn a_log_of_an_older_version_gets_what_it_lacks_and_one_of_a_newer_version_keeps_what_it_has() {
        let one = Layout { streams: 1, ..LAYOUT };
        let ours = chat(0, one, &Epoch("one".into()));
        let mut found = ours.clone();
        found.subjects.retain(|subject| subject != "chat.*.*.control");
        found.subjects.push("chat.*.*.sealed".into());
        found.metadata.remove("verbatim.reads");
        let (config, mended) = put_right(found, ours.clone());
        assert_eq!(config.subjects, [ours.subjects.as_slice(), &["chat.*.*.sealed".into()]].concat());
        assert_eq!(config.metadata.get("verbatim.reads").map(String::as_str), Some("2"));
        let told: Vec<String> = mended.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "CHAT_0: subjects was 4 subjects and is now 5 subjects, chat.*.*.control among them",
                r#"CHAT_0: metadata was {} and is now {"verbatim.reads": "2"}"#,
            ]
        );
        assert_eq!(put_right(config.clone(), ours), (config, Vec::new()));
    }

    #[test]
    fn a_contract_level_that_a_newer_version_has_raised_stays_after_a_roll_back() {
        let ours = chat(0, LAYOUT, &Epoch("one".into()));
        let mut raised = ours.clone();
        raised.metadata.insert(READS.into(), "3".into());
        assert_eq!(put_right(raised.clone(), ours.clone()), (raised.clone(), Vec::new()));
        assert_eq!(put_right(ours, raised.clone()).0, raised, "the newer version raises it");
    }

    #[test]
    fn what_is_right_is_left_alone() {
        let ours = chat(0, LAYOUT, &Epoch("one".into()));
        assert_eq!(put_right(ours.clone(), ours.clone()), (ours, Vec::new()));
    }
}
