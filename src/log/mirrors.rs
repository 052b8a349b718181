//! Mirrors: streams of an operator that have the same messages as a stream of the log, at the same positions. Deletions
//! are not mirrored, so everything that is erased in the log is erased in the mirrors, too.

use std::{collections::BTreeSet, fmt, str::FromStr};

use async_nats::jetstream::{
    self,
    stream::{Config, Stream},
};
use futures_util::TryStreamExt as _;

use crate::{
    domain::Position,
    log::{
        Log, Unavailable,
        erase::{Deleted, delete, follow, has_nothing_at},
        limits::REQUEST_TIMEOUT,
        memory::erased::ErasedEvent,
        streams::layout::{self, is_not_found},
    },
};

/// The most mirrors of a log.
const MOST: usize = 512;
/// The longest name that nats-server accepts.
const LONGEST: usize = 255;

/// The name of a mirror: the name of its stream, and after an `@` its JetStream domain, if that is not the log's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MirrorName {
    stream: String,
    domain: Option<String>,
}

/// The names of the mirrors of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorNames(BTreeSet<MirrorName>);

/// Why a list of mirrors cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMirrors(String);

impl MirrorName {
    /// The stream, and the domain if the mirror is in another one than the log.
    pub fn parts(&self) -> (&str, Option<&str>) {
        (&self.stream, self.domain.as_deref())
    }
}

impl fmt::Display for MirrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.domain {
            None => f.write_str(&self.stream),
            Some(domain) => write!(f, "{}@{domain}", self.stream),
        }
    }
}

impl FromStr for MirrorName {
    type Err = BadMirrors;

    fn from_str(text: &str) -> Result<Self, BadMirrors> {
        let (stream, domain) = match text.split_once('@') {
            None => (text, None),
            Some((stream, domain)) => (stream, Some(domain)),
        };
        let is_name = |name: &str| {
            let may_have = |letter: char| letter.is_ascii_graphic() && !".*>/\\@".contains(letter);
            (1..=LONGEST).contains(&name.len()) && name.chars().all(may_have)
        };
        if !is_name(stream) || !domain.is_none_or(is_name) {
            return Err(BadMirrors(format!(
                "`{text}` is no name of a stream: write names with commas between them, like `CHAT_0_COPY`, and a JetStream \
                 domain behind an `@`, like `CHAT_0_COPY@hub`"
            )));
        }
        Ok(Self { stream: stream.to_owned(), domain: domain.map(str::to_owned) })
    }
}

impl MirrorNames {
    /// Each name once, in order.
    pub fn iter(&self) -> impl Iterator<Item = &MirrorName> {
        self.0.iter()
    }
}

impl FromStr for MirrorNames {
    type Err = BadMirrors;

    fn from_str(list: &str) -> Result<Self, BadMirrors> {
        if list.trim().is_empty() {
            return Ok(Self::default());
        }
        let names: BTreeSet<MirrorName> =
            list.split(',').map(|name| name.trim().parse()).collect::<Result<_, _>>()?;
        match names.len() {
            0..=MOST => Ok(Self(names)),
            many => Err(BadMirrors(format!("there are {many} mirrors: at most {MOST} can be named"))),
        }
    }
}

/// Why a mirror cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotMirrored {
    /// The stream is not a mirror of a stream of this log: the settings name the wrong stream.
    #[error("{0}")]
    NoMirror(String),
    /// The stream does not exist, or does not answer.
    #[error("{0}")]
    Away(String),
}

impl From<NotMirrored> for Unavailable {
    fn from(e: NotMirrored) -> Self {
        Self::because(e)
    }
}

/// A mirror, in the state that its leader has reported.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    name: MirrorName,
    /// The stream of the log that it mirrors.
    pub(crate) origin: usize,
    stream: Stream,
}

impl Log {
    /// Asks for the state of a mirror.
    pub(crate) async fn mirror(&self, name: &MirrorName) -> Result<Mirror, NotMirrored> {
        let (context, api) = match &name.domain {
            None => (self.jetstream.clone(), "$JS.API".to_owned()),
            Some(domain) => {
                let mut context = jetstream::with_domain(self.client.clone(), domain);
                context.set_timeout(REQUEST_TIMEOUT);
                (context, format!("$JS.{domain}.API"))
            }
        };
        let info = format!("{api}.STREAM.INFO.{}", name.stream);
        let asked = self.maker.refusals.hear(&info, context.get_stream(&name.stream)).await.map_err(|_| {
            NotMirrored::Away(format!(
                "the NATS user may not ask for {name}: create one with `verbatim nats eraser --mirrors {name}`, or add the \
                 subjects that deploy/passwords.conf names"
            ))
        })?;
        let stream = asked.map_err(|e| match is_not_found(e.kind()) {
            true => NotMirrored::Away(format!(
                "there is no stream {name}: make the mirror again, or take its name out of VERBATIM_MIRRORS"
            )),
            false => NotMirrored::Away(format!("{name} does not answer: {e}")),
        })?;
        let origin = self.origin_of(&stream.cached_info().config).map_err(|why| {
            NotMirrored::NoMirror(format!(
                "{name} {why}: name mirrors of the streams CHAT_<k> in VERBATIM_MIRRORS, and no other streams"
            ))
        })?;
        Ok(Mirror { name: name.clone(), origin, stream })
    }

    /// The stream of the log that a stream mirrors; otherwise the error says what the stream does instead.
    fn origin_of(&self, config: &Config) -> Result<usize, String> {
        if config.sources.as_ref().is_some_and(|sources| !sources.is_empty()) {
            return Err("has sources and so positions of its own, at which the eraser finds no event".into());
        }
        let Some(mirror) = &config.mirror else { return Err("is no mirror".into()) };
        let origin = layout::index(&mirror.name).filter(|origin| *origin < self.layout.streams);
        origin.ok_or_else(|| format!("mirrors {}, which is no stream of this log", mirror.name))
    }

    /// The streams that copy the log and are not among `names`: erased content stays there.
    pub(crate) async fn copies_besides(&self, names: &MirrorNames) -> Result<Vec<String>, Unavailable> {
        let streams: Vec<_> = self.jetstream.streams().try_collect().await.map_err(Unavailable::because)?;
        let copies = streams.into_iter().map(|info| info.config).filter(|config| {
            let from = config.mirror.iter().chain(config.sources.iter().flatten());
            let is_named = names.iter().any(|name| name.parts() == (&config.name, None));
            !is_named && from.into_iter().any(|one| layout::index(&one.name).is_some())
        });
        Ok(copies.map(|config| config.name).collect())
    }
}

impl Mirror {
    /// Why nothing can be deleted from this mirror; `None` if deletion is possible.
    pub(crate) fn forbids(&self) -> Option<String> {
        let (name, config) = (&self.name, &self.stream.cached_info().config);
        let why = match (config.deny_delete, config.sealed) {
            (true, _) => format!("deny_delete is set on {name} and cannot be unset"),
            (_, true) => format!("{name} is sealed"),
            _ => return None,
        };
        Some(format!("{why}, so nothing can be erased there: make the mirror again without it"))
    }

    /// Its stream, if it is in the JetStream domain of the log.
    pub(crate) fn at_home(&self) -> Option<&str> {
        let (stream, domain) = self.name.parts();
        domain.is_none().then_some(stream)
    }

    /// How many positions it lags behind the end of its stream.
    pub(crate) fn behind(&self, end: Position) -> u64 {
        end.0.saturating_sub(self.stream.cached_info().state.last_sequence)
    }

    /// Whether it has copied everything up to a position. It copies events in order, so an event that it lacks by then,
    /// and that its stream no longer has, will not arrive.
    pub(crate) fn has_reached(&self, position: Position) -> bool {
        self.stream.cached_info().state.last_sequence >= position.0
    }

    /// Whether all of its replicas were online, and as far as its leader.
    pub(crate) fn replicas_follow(&self) -> bool {
        follow(self.stream.cached_info())
    }

    /// Whether its leader has nothing at a position.
    pub(crate) async fn is_gone(&self, position: Position) -> Result<bool, NotMirrored> {
        has_nothing_at(&self.stream, position).await.map_err(|e| self.away(e))
    }

    /// Deletes an erased event, or the placeholder that a restore has put in its place. Any other event stays, because
    /// it shows that this is a mirror of another log.
    pub(crate) async fn erase(&self, event: &ErasedEvent) -> Result<(), NotMirrored> {
        match delete(&self.stream, event.position, event.id).await.map_err(|e| self.away(e))? {
            Deleted::Yes => Ok(()),
            Deleted::OtherEvent => Err(NotMirrored::NoMirror(format!(
                "{} has another event at {} than the log: name mirrors of this log in VERBATIM_MIRRORS, and no others",
                self.name, event.position
            ))),
        }
    }

    fn away(&self, why: impl fmt::Display) -> NotMirrored {
        NotMirrored::Away(format!("{} does not answer: {why}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_once_each_with_their_domains() {
        let names = |list: &str| -> Vec<String> {
            let names: MirrorNames = list.parse().unwrap_or_else(|bad| panic!("{list}: {bad}"));
            names.iter().map(ToString::to_string).collect()
        };
        assert!(names("").is_empty() && names("  ").is_empty());
        assert_eq!(names("CHAT_1_COPY, CHAT_0_COPY@hub,CHAT_1_COPY"), ["CHAT_0_COPY@hub", "CHAT_1_COPY"]);
    }

    #[test]
    fn what_is_no_name_of_a_stream_is_refused_with_what_to_write() {
        let long = "x".repeat(LONGEST + 1);
        for wrong in
            ["a,,b", "a,", "a b", "chat.*", ">", "a/b", "@hub", "a@", "a@hub@hub", "a@hub.b", "é", &long]
        {
            let refused = wrong.parse::<MirrorNames>().expect_err(wrong).to_string();
            assert!(refused.contains("CHAT_0_COPY@hub"), "{wrong}: {refused}");
        }
        let many: Vec<String> = (0..=MOST).map(|number| format!("COPY_{number}")).collect();
        let refused = many.join(",").parse::<MirrorNames>().expect_err("too many").to_string();
        assert!(refused.contains("at most 512"), "{refused}");
    }
}
