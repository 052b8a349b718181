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
    /// Starts its own nats-server and Postgres, and serves everything (the default).
    Dev(Dev),
    /// Serves with the nats-server and Postgres in the settings.
    Serve(Serve),
    /// Creates the tables and the log of a new installation, or upgrades them to this version.
    Migrate(Migrate),
    /// Checks the settings and the servers without changing anything; exit status 1 if a check fails.
    Check(Check),
    /// Shows the streams of the log, the lag of the views, parked conversations, and the nodes; exit status 1 if
    /// the log has a hole or the views were not built from this log.
    Status(Serve),
    /// Rebuilds views from the log next to the live views, and then replaces the live views.
    Rebuild(Rebuild),
    /// Compares the views with the log, row by row; exit status 1 on a difference.
    Verify(Servers),
    /// Archives the log and the accounts until it is stopped, like the role `archiver` of `serve`.
    Archive(Servers),
    /// Deletes erased events from the log until it is stopped, like the role `eraser` of `serve`.
    Eraser(Servers),
    /// Lists and shows erasures, and verifies on the servers that nothing is left.
    Erasures(ErasureCommand),
    /// Places, lists and lifts legal holds, which protect data from deletion.
    Holds(HoldCommand),
    /// Creates, lists, verifies and prunes backups.
    Backup(BackupCommand),
    /// Restores lost streams, accounts and views from an archive, at the same positions and in a new epoch.
    Restore(Restore),
    /// Begins a new epoch of the log, or recreates lost streams, after a disaster.
    Log(LogCommand),
    /// Revokes logins of all users after the accounts were restored.
    Logins(Logins),
    /// Creates, lists and revokes invitation codes for registration.
    Invites(InviteCommand),
    /// Shows, deactivates and reactivates user accounts, and makes recovery tokens for forgotten passwords.
    Users(UserCommand),
    /// Shows the audit trail of accounts, keys and issuers.
    Audit(AuditCommand),
    /// Creates service accounts (the accounts of programs) and their API keys.
    Services(Programs),
    /// Adds, shows and removes consumers of the log, which are external programs. Without settings, it uses a running
    /// `verbatim dev`.
    Consumers(Consumers),
    /// Creates the NATS keys, accounts and users of a new installation.
    Nats(NatsCommand),
    /// Rotates and lists the keys in the database that sign access tokens.
    SigningKey(SigningKeyCommand),
    /// Adds, shows, tests and replays webhooks, which send events to other servers.
    Webhooks(WebhookCommand),
    /// Prints the OpenAPI document.
    Openapi,
    /// Prints the AsyncAPI document.
    Asyncapi,
}
