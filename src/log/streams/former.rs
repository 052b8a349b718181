//! The epochs that a log had before its own. They say which archives are archives of this log.

use async_nats::jetstream::stream::{Config, Info};

use crate::domain::Epoch;

/// The metadata with the former epochs of a stream, the latest one last, separated by commas.
const FORMER: &str = "verbatim.former_epochs";
/// The most epochs that are kept. A log gets another one only after a disaster.
const MOST: usize = 64;

/// The former epochs of a log. An interrupted command may have written them to some of its streams only.
pub(in crate::log) fn former(there: &[Info]) -> Vec<Epoch> {
    let noted = there.iter().filter_map(|info| info.config.metadata.get(FORMER));
    once(noted.flat_map(|noted| noted.split(',')).map(|epoch| Epoch(epoch.to_owned())))
}

/// Each epoch at its first place.
pub(in crate::log) fn once(epochs: impl IntoIterator<Item = Epoch>) -> Vec<Epoch> {
    let mut once = Vec::new();
    for epoch in epochs {
        if !once.contains(&epoch) {
            once.push(epoch);
        }
    }
    once
}

/// Writes the former epochs into the settings of a stream.
pub(in crate::log) fn note(config: &mut Config, former: &[Epoch]) {
    let latest = &former[former.len().saturating_sub(MOST)..];
    if !latest.is_empty() {
        let noted: Vec<&str> = latest.iter().map(|epoch| &*epoch.0).collect();
        config.metadata.insert(FORMER.to_owned(), noted.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_epochs_are_noted_once() {
        let named = |number: usize| Epoch(format!("{number:032x}"));
        let epochs = once((0..MOST + 2).chain([3]).map(named));
        assert_eq!(epochs.len(), MOST + 2);
        let mut config = Config::default();
        note(&mut config, &[]);
        assert!(config.metadata.is_empty());
        note(&mut config, &epochs);
        let noted: Vec<&str> = config.metadata[FORMER].split(',').collect();
        assert_eq!((noted.len(), noted[0], noted[MOST - 1]), (MOST, &*named(2).0, &*named(MOST + 1).0));
    }
}
