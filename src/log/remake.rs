//! The log that a restore recreates: its epochs, and the settings of its streams.

use async_nats::jetstream::stream::Config;

use crate::{
    domain::Epoch,
    log::streams::{
        audit::audit,
        former,
        layout::{self, Layout, chat},
    },
};

/// A log that is to be recreated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remake {
    /// The epoch that begins.
    pub epoch: Epoch,
    /// The epoch of the archive.
    pub from: Epoch,
    /// The epochs before that, the latest one last.
    pub former: Vec<Epoch>,
    /// The streams, and the replicas of each.
    pub layout: Layout,
}

impl Remake {
    /// The epochs from which the restored log begins, the latest one last.
    pub(crate) fn begins_from(&self) -> Vec<Epoch> {
        former::once(self.former.iter().chain([&self.from]).cloned())
    }

    /// The settings of a stream of the restored log.
    pub(in crate::log) fn config(&self, stream: &str) -> Config {
        let Some(index) = layout::index(stream) else { return audit(self.layout) };
        let mut config = chat(index, self.layout, &self.epoch);
        former::note(&mut config, &self.begins_from());
        config
    }
}
