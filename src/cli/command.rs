//! The commands and their names on the command line.

use clap::{Parser, Subcommand};

use crate::cli::{
    audit::AuditCommand,
    backup::BackupCommand,
    check::Check,
    consumers::Consumers,
    dev::Dev,
    erasures::ErasureCommand,
    holds::HoldCommand,
    log::LogCommand,
    logins::Logins,
    migrate::Migrate,
    nats::NatsCommand,
    people::{InviteCommand, UserCommand},
    programs::Programs,
    rebuild::Rebuild,
    restore::Restore,
    serve::Serve,
    servers::Servers,
    signing_key::SigningKeyCommand,
    webhooks::WebhookCommand,
};

/// The chat backend that keeps every word, in order, once, and can prove it.
#[derive(Debug, Parser)]
#[command(name = "verbatim", version)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Starts private servers and serves everything (the default).
    Dev(Dev),
    /// Serves with real servers.
    Serve(Serve),
    /// Makes the tables and the log of a new installation, and upgrades them to this version.
    Migrate(Migrate),
    /// Checks the settings and the servers, and changes nothing; exit status 1 on a refusal.
    Check(Check),
    /// Shows the streams of the log, the lag of the views, parked conversations, and the nodes; exit status 1 if
    /// the log has a hole or the views do not follow from the log.
    Status(Serve),
    /// Builds views anew from the log beside the live views, and then replaces the live views.
    Rebuild(Rebuild),
    /// Compares the views with the log, row by row; exit status 1 on a difference.
    Verify(Servers),
    /// Archives the log and the accounts for as long as it runs, as the role `archiver` of `serve` does.
    Archive(Servers),
    /// Deletes from the log what it lists as erased for as long as it runs, as the role `eraser` of `serve` does.
    Eraser(Servers),
    /// Lists and shows erasures, and reads on the servers whether anything is left.
    Erasures(ErasureCommand),
    /// Places, lists and lifts legal holds, which keep what is erased.
    Holds(HoldCommand),
    /// Makes, lists, checks and removes backups.
    Backup(BackupCommand),
    /// Makes lost streams, accounts and views again from an archive, at the same positions and in a new epoch.
    Restore(Restore),
    /// Begins a new epoch of the log, or makes lost streams anew, after a disaster.
    Log(LogCommand),
    /// Ends logins of all users, after a restore of the accounts.
    Logins(Logins),
    /// Makes, lists and ends invitation codes, for people who register.
    Invites(InviteCommand),
    /// Shows, deactivates and reactivates accounts of people, and recovers one whose password is forgotten.
    Users(UserCommand),
    /// Shows the audit trail: what has happened to accounts, keys and issuers.
    Audit(AuditCommand),
    /// Makes service accounts, which are the accounts of programs, and their API keys.
    Services(Programs),
    /// Adds, shows and removes consumers of the log, which are the programs of others. Without settings it finds a
    /// running `verbatim dev`.
    Consumers(Consumers),
    /// Makes the keys, accounts and users of NATS for a new installation.
    Nats(NatsCommand),
    /// Replaces and lists the keys in the database that sign access tokens.
    SigningKey(SigningKeyCommand),
    /// Sends events to other servers: adds, shows, tests and replays webhooks.
    Webhooks(WebhookCommand),
    /// Prints the OpenAPI document.
    Openapi,
    /// Prints the AsyncAPI document.
    Asyncapi,
}
