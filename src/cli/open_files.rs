//! Checks that the limit of open files is high enough for the connections and sockets that the settings allow.

use std::fs;

use crate::config::Settings;

/// Files besides the connections of clients: connections to the servers, listeners, and the node's own files.
const OTHERS: u64 = 256;

/// The limit of open files, which a process started from here inherits. The error says why the limit is too low.
pub(super) fn enough_files(settings: &Settings) -> Result<String, String> {
    let limits = fs::read_to_string("/proc/self/limits").ok();
    judged(limits.as_deref().and_then(limit), settings.connections as u64, settings.sockets as u64)
}

/// A connection that becomes a socket no longer counts as a connection, so a node may have all of both.
fn judged(limit: Option<u64>, connections: u64, sockets: u64) -> Result<String, String> {
    let needed = connections + sockets + OTHERS;
    match limit {
        None => Ok("unknown: this system does not report its limit".into()),
        Some(limit) if limit >= needed => Ok(format!("the limit is {limit}")),
        Some(limit) => Err(format!(
            "the limit of a process started here is {limit}, but VERBATIM_CONNECTIONS allows {connections} connections \
             and VERBATIM_SOCKETS {sockets} sockets: raise the limit to {needed} (`ulimit -n`, or `LimitNOFILE` of a \
             unit), or lower the settings"
        )),
    }
}

/// Parses the soft limit from the text of `/proc/self/limits`.
fn limit(text: &str) -> Option<u64> {
    let limits = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match limits.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_has_to_leave_room_for_more_than_connections() {
        let text = "Limit          Soft Limit  Hard Limit  Units\n\
                    Max processes  7823        7823        processes\n\
                    Max open files 1024        524288      files\n";
        assert_eq!(limit(text), Some(1024));
        assert_eq!(limit(&text.replace("1024", "unlimited")), Some(u64::MAX));
        assert_eq!(limit("what another system says"), None);
        let refusal = judged(limit(text), 16_384, 15_000).expect_err("too few");
        assert!(refusal.contains("is 1024") && refusal.contains("raise the limit to 31640"), "{refusal}");
        assert!(
            judged(Some(31_640), 16_384, 15_000).is_ok() && judged(Some(31_639), 16_384, 15_000).is_err()
        );
        assert!(judged(None, 16_384, 15_000).is_ok());
    }
}
