//! The subjects that each user may publish and subscribe to. `deploy/passwords.conf` grants the same to users with
//! passwords.

/// The request with which nodes read the settings that are actually in force on every server.
pub(super) const VARZ: &str = "$SYS.REQ.SERVER.PING.VARZ";
/// The request with which the eraser reads the Raft logs, which keep an erased message for some minutes, and the request
/// with which it learns the name of its account, which the first one needs.
pub(super) const RAFT: &str = "$SYS.REQ.SERVER.PING.RAFTZ";
pub(super) const OWN_USER: &str = "$SYS.REQ.USER.INFO";
/// The request with which nodes and operators count the connections of consumers. This is its subject in the account of
/// the log. In the system account, the public key of the account READERS replaces the name.
pub(super) const CONNECTIONS: &str = "$SYS.REQ.ACCOUNT.READERS.CONNZ";

/// The same request in the system account.
pub(super) fn connections_of(readers: &str) -> String {
    format!("$SYS.REQ.ACCOUNT.{readers}.CONNZ")
}

/// The subjects to which nodes may publish. Nodes append and read. They never change a stream of the log or delete
/// anything from it.
pub(super) const OF_NODES: &[&str] = &[
    // Events, typing signals, and messages between nodes.
    "chat.*.*.*",
    "audit.*.*",
    "verbatim.>",
    // Streams and buckets that exist only in the memory of servers, and are lost with them.
    "$JS.API.STREAM.CREATE.PRESENCE",
    "$JS.API.STREAM.CREATE.KV_verbatim_nodes",
    "$JS.API.STREAM.CREATE.KV_verbatim_here",
    "$JS.API.STREAM.CREATE.KV_verbatim_hooks",
    "$JS.API.STREAM.CREATE.KV_verbatim_archive",
    "$KV.verbatim_nodes.>",
    "$KV.verbatim_here.>",
    "$KV.verbatim_hooks.>",
    "$KV.verbatim_archive.>",
    // Copies of parked events for consumers, and the advisories that an event was parked. Neither is part of the log.
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

/// The subjects to which the eraser may publish. It deletes single messages, and reads. A wildcard matches a whole
/// token, so it cannot select streams by a part of their names. [`NOT_OF_ERASER`] lists the exceptions.
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

/// The additional subjects that the eraser needs to delete from a mirror in another JetStream domain.
pub(super) fn of_mirror(stream: &str, domain: &str) -> [String; 3] {
    ["INFO", "MSG.GET", "MSG.DELETE"].map(|ask| format!("$JS.{domain}.API.STREAM.{ask}.{stream}"))
}

/// The streams from which the eraser may not delete messages.
pub(super) const NOT_OF_ERASER: &[&str] = &[
    "$JS.API.STREAM.MSG.DELETE.AUDIT",
    "$JS.API.STREAM.MSG.DELETE.PRESENCE",
    "$JS.API.STREAM.MSG.DELETE.ADVISORIES",
];

/// The services that the account of the log exports to the account of consumers: the subject in the account of the log,
/// the subject in the account of consumers, and whether a reply is a stream of messages.
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

/// The subjects to which a consumer may publish, as the template of the key that signs it. The name and the tags of the
/// consumer fill the placeholders, and a subject whose tag is missing is not granted.
pub(super) const OF_CONSUMERS: &[&str] = &[
    "log.api.STREAM.NAMES",
    // With a filter this lists the subjects of a stream, which name every conversation. So consumers of only some
    // conversations may not use it.
    "log.api.{{tag(streams)}}.INFO.*",
    "log.api.CONSUMER.INFO.*.{{name()}}",
    "log.api.CONSUMER.MSG.NEXT.*.{{name()}}",
    // Both forms of an acknowledgement, each with its exact number of tokens. With more or fewer tokens the name would
    // be in another place, and an acknowledgement can also ask for the next message.
    "$JS.ACK.*.{{name()}}.*.*.*.*.*",
    "$JS.ACK.*.*.*.{{name()}}.*.*.*.*.*.*",
    "verbatim.{{tag(bot)}}.{{name()}}.*",
    "$SRV.PING.{{tag(asks)}}",
    "$SRV.INFO.{{tag(asks)}}",
];

/// The tag of a consumer that may ask about streams.
pub(super) const ASKS_STREAMS: &str = "streams:STREAM";
/// The tags of a consumer that may send commands.
pub(super) const COMMANDS: [&str; 2] = ["bot:commands", "asks:verbatim"];

/// The inbox in which a consumer receives replies.
pub(super) const INBOX_OF_CONSUMERS: &str = "_INBOX_{{name()}}.>";
