//! Restoring a log: its streams are recreated in another epoch, and get the records of an archive at the same
//! positions.
//!
//! Until the restore is finished, the metadata of the streams say that nobody may read them, in a form that every
//! version understands. So a restore that was killed is noticed, and can continue after its last record.

pub(super) mod writer;

use std::time::Duration;

use async_nats::{
    Client,
    jetstream::{self, Context, ErrorCode, consumer, stream::Config},
};
use futures_util::TryStreamExt as _;

use crate::{
    domain::{Epoch, Position},
    log::{
        KeptDurable, Log, NatsServers, OpenError, Record, Remake, StreamEnds,
        connect::{Noted, connect},
        errors::refused,
        level,
        limits::REQUEST_TIMEOUT,
        streams::{
            layout::{self, AUDIT, EPOCH},
            maker::{Maker, Refusals},
        },
    },
    supervise::Supervisor,
};

/// The metadata with the epoch of the archive that a stream is restored from.
const RESTORED_FROM: &str = "verbatim.restored_from";
/// The metadata of a stream that was not lost, while the others are restored. It may go on after the end of the archive.
const KEPT: &str = "verbatim.kept";
/// How long JetStream remembers a `Nats-Msg-Id` during a restore: the least that it allows. A log may have an id twice,
/// hours apart, and a restore writes hours within a second.
const WINDOW: Duration = Duration::from_millis(100);
/// The answers to a request for a durable that exists.
const IS_THERE: ErrorCode = ErrorCode(10_148);
const IS_AWAY: ErrorCode = ErrorCode(10_119);

/// Why a log was not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRestored {
    /// The servers do not answer, or refuse.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A stream has another record than the archive.
    #[error(
        "{stream} has a different record at {at} than the archive: nothing in it was changed. {WHAT_ELSE}"
    )]
    Another {
        /// The stream.
        stream: String,
        /// The position.
        at: Position,
    },
    /// A record was stored at another position than its own.
    #[error(
        "a record of {stream} that belongs to {wanted} was stored at {found}: another program writes to the stream. Stop \
         all nodes, delete the streams that this restore has created, and start over"
    )]
    Misplaced {
        /// The stream.
        stream: String,
        /// The position in the archive.
        wanted: Position,
        /// The position that JetStream gave.
        found: Position,
    },
    /// The archive has no record that follows the last one.
    #[error(
        "the archive has no record of {stream} after {last}, but one at {next}: nothing was written there. Run \
         `verbatim backup verify`"
    )]
    Gap {
        /// The stream.
        stream: String,
        /// The last record that is stored.
        last: Position,
        /// The position of the record that was to be written.
        next: Position,
    },
    /// JetStream does not accept a batch.
    #[error(
        "{stream} does not accept the records after {last}: {why}. Fix that, and run the same command again"
    )]
    Refused {
        /// The stream.
        stream: String,
        /// The last record that is stored.
        last: Position,
        /// The server's reason.
        why: String,
    },
}

const WHAT_ELSE: &str =
    "Restore into other servers, or delete its streams if you are sure that nobody needs them";

/// A stream as a restore finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remade {
    /// It has no record.
    Empty,
    /// A restore from an archive of the epoch `from` has begun it.
    Begun {
        /// The epoch of the archive.
        from: Epoch,
        /// The epoch that begins.
        epoch: Epoch,
        /// Whether the stream was not lost, so that its records are not those of the restore alone. `None` if that is not
        /// known: the last step of a restore takes the mark off, and earlier versions made none.
        is_kept: Option<bool>,
    },
    /// It is part of a log that no restore has touched; a stream without an epoch is not ours, or is AUDIT.
    Whole(Option<Epoch>),
}

/// A connection that restores.
pub(crate) struct Restoring {
    servers: NatsServers,
    client: Client,
    maker: Maker,
}

impl Restoring {
    /// Connects to the servers, with the login of an operator.
    pub(crate) async fn connect(servers: NatsServers) -> Result<Self, OpenError> {
        let refusals = Refusals::default();
        let noted = Noted {
            connections: Default::default(),
            works: tokio::sync::watch::Sender::new(true),
            refusals: refusals.clone(),
        };
        let client = connect(&servers, noted).await?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(REQUEST_TIMEOUT);
        Ok(Self { servers, client, maker: Maker { jetstream, refusals } })
    }

    fn jetstream(&self) -> &Context {
        &self.maker.jetstream
    }

    /// An epoch for the restored log.
    pub(crate) fn new_epoch() -> Epoch {
        layout::new_epoch()
    }

    /// The existing streams of a log.
    pub(crate) async fn found(&self) -> Result<Vec<(String, Remade)>, OpenError> {
        let names: Vec<String> = self.jetstream().stream_names().try_collect().await.map_err(refused)?;
        let mut found = Vec::new();
        for name in names.into_iter().filter(|name| layout::index(name).is_some() || name == AUDIT) {
            let stream = self.jetstream().get_stream(&name).await.map_err(refused)?;
            let info = stream.cached_info();
            let said = |key: &str| info.config.metadata.get(key).map(|epoch| Epoch(epoch.clone()));
            let state = match (said(RESTORED_FROM), said(EPOCH)) {
                (Some(from), Some(epoch)) => {
                    let is_kept = info.config.metadata.get(KEPT).map(|kept| kept == "true");
                    Remade::Begun { from, epoch, is_kept }
                }
                (_, epoch) if info.state.last_sequence > 0 => Remade::Whole(epoch),
                _ => Remade::Empty,
            };
            found.push((name, state));
        }
        Ok(found)
    }

    /// Creates a stream that is marked as being restored, or marks an existing one that is kept.
    pub(crate) async fn make(&self, remake: &Remake, stream: &str, first: Position) -> Result<(), OpenError> {
        let there = self.found().await?.into_iter().find(|(name, _)| name == stream).map(|(_, state)| state);
        let has_records = matches!(there, Some(Remade::Begun { .. } | Remade::Whole(_)));
        let mut config = match has_records {
            true => self.config(stream).await?,
            false => remake.config(stream),
        };
        config.duplicate_window = WINDOW;
        config.allow_atomic_publish = true;
        for (key, value) in
            [(EPOCH, &*remake.epoch.0), (RESTORED_FROM, &*remake.from.0), (level::READS, level::RESTORING)]
        {
            config.metadata.insert(key.to_owned(), value.to_owned());
        }
        match &there {
            Some(Remade::Begun { .. }) => {}
            // This restore has finished it already, and does its last step again.
            Some(Remade::Whole(Some(its))) if *its == remake.epoch => {}
            other => {
                let is_kept = matches!(other, Some(Remade::Whole(_)));
                config.metadata.insert(KEPT.to_owned(), is_kept.to_string());
            }
        }
        if has_records {
            return self.maker.update(config).await;
        }
        if there.is_some() {
            // A stream without a record may begin at another position than this one has to.
            self.jetstream().delete_stream(stream).await.map_err(refused)?;
        }
        config.first_sequence = Some(first.0).filter(|first| *first > 1);
        self.maker.create(config).await
    }

    async fn config(&self, stream: &str) -> Result<Config, OpenError> {
        let found = self.jetstream().get_stream(stream).await.map_err(refused)?;
        Ok(found.cached_info().config.clone())
    }

    /// Deletes a stream without a record that the restored log does not have, unless that is done.
    pub(crate) async fn remove_empty(&self, stream: &str) -> Result<(), OpenError> {
        let found = self.found().await?.into_iter().any(|(name, _)| name == stream);
        if found {
            self.jetstream().delete_stream(stream).await.map_err(refused)?;
        }
        Ok(())
    }

    /// Where a stream begins and ends.
    pub(crate) async fn ends(&self, stream: &str) -> Result<StreamEnds, OpenError> {
        let found = self.jetstream().get_stream(stream).await.map_err(refused)?;
        let state = &found.cached_info().state;
        Ok(StreamEnds { first: Position(state.first_sequence), last: Position(state.last_sequence) })
    }

    /// The record at a position.
    pub(crate) async fn record(&self, stream: &str, at: Position) -> Result<Record, OpenError> {
        let found = self.jetstream().get_stream_no_info(stream).await.map_err(refused)?;
        let message = found.get_raw_message(at.0).await.map_err(refused)?;
        let headers = Some(&message.headers).filter(|headers| !headers.is_empty());
        Ok(Record::of(message.sequence, message.time, &message.subject, headers, message.payload))
    }

    /// Recreates a durable. It begins after the last position that it had acknowledged, but never beyond the position
    /// after the end of its stream: JetStream would be silent for ever (nats-server#5412).
    pub(crate) async fn make_durable(
        &self,
        remake: &Remake,
        kept: &KeptDurable,
        end: Position,
    ) -> Result<(), OpenError> {
        let mut config: consumer::Config = serde_json::from_value(kept.config.clone()).map_err(refused)?;
        // A durable cannot have more copies than its stream; with 0 it has as many.
        if config.num_replicas > remake.layout.replicas {
            config.num_replicas = 0;
        }
        let from = kept.ack_floor.min(end.0) + 1;
        config.deliver_policy = consumer::DeliverPolicy::ByStartSequence { start_sequence: from };
        let subject = format!("CONSUMER.CREATE.{}.{}", kept.stream, kept.name);
        let request = serde_json::json!({ "stream_name": kept.stream, "config": config, "action": "create" });
        let made: jetstream::response::Response<serde_json::Value> =
            self.jetstream().request(subject, &request).await.map_err(refused)?;
        match made {
            // It was created before this restore was killed, or came with the stream that is kept. It may be away with
            // its server.
            jetstream::response::Response::Err { error }
                if [IS_THERE, IS_AWAY].contains(&error.error_code()) =>
            {
                Ok(())
            }
            jetstream::response::Response::Err { error } => Err(refused(error)),
            jetstream::response::Response::Ok(_) => Ok(()),
        }
    }

    /// The log that is being restored, which nobody else may read.
    pub(crate) async fn log(&self, tasks: &Supervisor) -> Result<Log, OpenError> {
        Log::open_restored(&self.servers, tasks).await
    }

    /// Gives the streams their final settings, the first stream last. From then on, nodes may read the log.
    pub(crate) async fn finish(&self, remake: &Remake) -> Result<(), OpenError> {
        let chat = (0..remake.layout.streams).rev().map(layout::name);
        for stream in [AUDIT.to_owned()].into_iter().chain(chat) {
            let Config { duplicate_window, allow_atomic_publish, metadata, .. } = remake.config(&stream);
            let found = self.config(&stream).await?;
            let config = Config { duplicate_window, allow_atomic_publish, metadata, ..found };
            self.maker.update(config).await?;
        }
        Ok(())
    }
}
