//! What each user may publish and subscribe to. `deploy/passwords.conf` grants the same to users with passwords.

/// The request by which nodes read the settings that are really in force on every server.
pub(super) const VARZ: &str = "$SYS.REQ.SERVER.PING.VARZ";
/// The request by which the eraser reads the Raft logs, which keep an erased message for some minutes, and by which it
/// learns the name of its account for that request.
pub(super) const RAFT: &str = "$SYS.REQ.SERVER.PING.RAFTZ";
pub(super) const OWN_USER: &str = "$SYS.REQ.USER.INFO";
/// The request by which nodes and operators count the connections of consumers, in the account of the log. The system
/// account has the key of the account READERS in its place.
pub(super) const CONNECTIONS: &str = "$SYS.REQ.ACCOUNT.READERS.CONNZ";

/// The same request in the system account.
pub(super) fn connections_of(readers: &str) -> String {
    format!("$SYS.REQ.ACCOUNT.{readers}.CONNZ")
}

/// What nodes may publish: they append and read. They never change a stream of the log or take anything away from it.
pub(super) const OF_NODES: &[&str] = &[
    // Events, typing, and what nodes tell one another.
    "chat.*.*.*",
    "audit.*.*",
    "verbatim.>",
    // What lies in memory only, and goes with its server.
    "$JS.API.STREAM.CREATE.PRESENCE",
    "$JS.API.STREAM.CREATE.KV_verbatim_nodes",
    "$JS.API.STREAM.CREATE.KV_verbatim_here",
    "$JS.API.STREAM.CREATE.KV_verbatim_hooks",
    "$JS.API.STREAM.CREATE.KV_verbatim_archive",
    "$KV.verbatim_nodes.>",
    "$KV.verbatim_here.>",
    "$KV.verbatim_hooks.>",
    "$KV.verbatim_archive.>",
    // Copies of parked events for consumers, and the notes that an event was parked. Neither is part of the log.
    "replay.*",
    "$JS.API.STREAM.MSG.DELETE.ADVISORIES",
    // Reading.
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.DIRECT.GET.>",
    "$JS.API.CONSUMER.CREATE.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.>",
    "$JS.API.CONSUMER.NAMES.*",
    "$JS.API.CONSUMER.LIST.*",
    "$JS.API.CONSUMER.INFO.*.*",
    "$JS.API.CONSUMER.DELETE.*.*",
    "$JS.API.CONSUMER.MSG.NEXT.*.*",
    "$JS.ACK.>",
    "$JS.FC.>",
    VARZ,
    RAFT,
    OWN_USER,
    CONNECTIONS,
    // Replies to commands: to programs in READERS, and to people in this account.
    "_R_.>",
    "_INBOX.>",
    "_INBOX_operator.>",
];

/// What the eraser may publish: it deletes single messages, and reads. A wildcard stands for a whole token, so the names of the
/// streams cannot be narrowed down; what the eraser may not is in [`NOT_OF_ERASER`].
pub(super) const OF_ERASER: &[&str] = &[
    "$JS.API.STREAM.MSG.DELETE.*",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.DIRECT.GET.>",
    RAFT,
    OWN_USER,
];

/// What the eraser may publish besides, to delete from a mirror in another JetStream domain.
pub(super) fn of_mirror(stream: &str, domain: &str) -> [String; 3] {
    ["INFO", "MSG.GET", "MSG.DELETE"].map(|ask| format!("$JS.{domain}.API.STREAM.{ask}.{stream}"))
}

/// Streams from which nobody deletes single messages.
pub(super) const NOT_OF_ERASER: &[&str] = &[
    "$JS.API.STREAM.MSG.DELETE.AUDIT",
    "$JS.API.STREAM.MSG.DELETE.PRESENCE",
    "$JS.API.STREAM.MSG.DELETE.ADVISORIES",
];

/// What the account of the log answers to the account of consumers: the subject there, and here; whether an answer is a
/// stream of messages.
pub(super) const FOR_CONSUMERS: &[(&str, &str, bool)] = &[
    ("$JS.API.STREAM.NAMES", "log.api.STREAM.NAMES", false),
    ("$JS.API.STREAM.INFO.*", "log.api.STREAM.INFO.*", false),
    ("$JS.API.CONSUMER.INFO.*.*", "log.api.CONSUMER.INFO.*.*", false),
    ("$JS.API.CONSUMER.MSG.NEXT.*.*", "log.api.CONSUMER.MSG.NEXT.*.*", true),
    ("$JS.ACK.>", "$JS.ACK.>", false),
    ("verbatim.commands.*.*", "verbatim.commands.*.*", false),
    ("$SRV.PING.verbatim", "$SRV.PING.verbatim", true),
    ("$SRV.INFO.verbatim", "$SRV.INFO.verbatim", true),
];

/// What a consumer may publish, as the template of its key: its name and its tags fill the gaps, and a subject whose tag
/// is missing is not granted.
pub(super) const OF_CONSUMERS: &[&str] = &[
    "log.api.STREAM.NAMES",
    // With a filter it lists the subjects of a stream, which name every conversation: not for consumers of some
    // conversations only.
    "log.api.{{tag(streams)}}.INFO.*",
    "log.api.CONSUMER.INFO.*.{{name()}}",
    "log.api.CONSUMER.MSG.NEXT.*.{{name()}}",
    // Both forms of an acknowledgement, each with exactly as many tokens as it has: a longer or shorter one would have the
    // name elsewhere, and an acknowledgement can ask for the next message.
    "$JS.ACK.*.{{name()}}.*.*.*.*.*",
    "$JS.ACK.*.*.*.{{name()}}.*.*.*.*.*.*",
    "verbatim.{{tag(bot)}}.{{name()}}.*",
    "$SRV.PING.{{tag(asks)}}",
    "$SRV.INFO.{{tag(asks)}}",
];

/// The tag of a consumer that may ask about streams.
pub(super) const ASKS_STREAMS: &str = "streams:STREAM";
/// The tags of a consumer that may give commands.
pub(super) const COMMANDS: [&str; 2] = ["bot:commands", "asks:verbatim"];

/// Where a consumer hears answers.
pub(super) const INBOX_OF_CONSUMERS: &str = "_INBOX_{{name()}}.>";
