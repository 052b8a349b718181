//! `nats`: the accounts and keys of NATS.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use crate::{
    app::AppError,
    authority::{ACCOUNTS, NKey, eraser, installation},
    clock::Clock,
    config::MirrorSettings,
    log::{MirrorName, MirrorNames},
};

#[derive(Debug, Args)]
pub(super) struct NatsCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Creates the keys, accounts and users of a new NATS installation.
    Init {
        /// Folder for the files. It is created if it is missing, and no file in it is overwritten.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Creates a NATS user of the eraser, for an installation that was created without one or has mirrors in other JetStream
    /// domains.
    Eraser {
        /// The file `chat.nk` of the installation.
        #[arg(long, value_name = "FILE")]
        account_key: PathBuf,
        /// The `.creds` file to write. An existing file is not overwritten.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        mirrors: MirrorSettings,
    },
}

pub(super) fn nats(NatsCommand { what }: NatsCommand) -> Result<(), AppError> {
    let now = Clock::system().now().datetime().unix_timestamp();
    match what {
        What::Init { out } => init(&out, now),
        What::Eraser { account_key, out, mirrors } => make_eraser(&account_key, &out, &mirrors.names, now),
    }
}

fn failed(path: &Path, e: &io::Error) -> AppError {
    let why = match e.kind() {
        io::ErrorKind::AlreadyExists => {
            "it already exists, and no key is ever replaced: name another place".into()
        }
        _ => e.to_string(),
    };
    AppError::Refused(format!("cannot write {}: {why}", path.display()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), AppError> {
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    written.and_then(|mut opened| opened.write_all(text.as_bytes())).map_err(|e| failed(path, &e))
}

/// Creates a NATS user of the eraser. The account key signs it, so no server needs a change.
fn make_eraser(account_key: &Path, out: &Path, mirrors: &MirrorNames, now: i64) -> Result<(), AppError> {
    let refused = |why: &str| AppError::Refused(format!("cannot use {}: {why}", account_key.display()));
    let seed = fs::read_to_string(account_key).map_err(|e| refused(&e.to_string()))?;
    let account = NKey::account(seed.trim())
        .map_err(|_| refused("it is not an account key: name the file chat.nk of the installation"))?;
    let elsewhere = mirrors.iter().map(MirrorName::parts);
    let elsewhere = elsewhere.filter_map(|(stream, domain)| Some((stream, domain?)));
    write(out, &eraser(&account, now, elsewhere), 0o600)?;
    println!("The eraser          VERBATIM_NATS_ERASER_CREDENTIALS_FILE={}", out.display());
    Ok(())
}

fn init(out: &Path, now: i64) -> Result<(), AppError> {
    DirBuilder::new().recursive(true).mode(0o700).create(out).map_err(|e| failed(out, &e))?;
    for file in installation(now) {
        write(&out.join(file.name), &file.text, if file.is_secret { 0o600 } else { 0o644 })?;
    }
    let file = |name: &str| out.join(name).display().to_string();
    println!(
        "Created the keys, accounts and users.\n\n\
         Each nats-server    copy {} beside log.conf (deploy/README.md)\n\
         The nodes           VERBATIM_NATS_CREDENTIALS_FILE={}\n\
         The eraser          VERBATIM_NATS_ERASER_CREDENTIALS_FILE={}\n\
         `migrate`, `log`    VERBATIM_NATS_OPERATOR_CREDENTIALS_FILE={}\n\
         `consumers`         VERBATIM_CONSUMERS_KEY_FILE={}\n\
         \x20                   VERBATIM_NATS_OPERATOR_KEY_FILE={}\n\
         \x20                   VERBATIM_NATS_SYS_CREDENTIALS_FILE={}\n\n\
         Move operator.nk, sys.nk, chat.nk and readers.nk to a safe place that is offline. No node needs a file ending \
         in .nk.",
        file(ACCOUNTS),
        file("verbatim.creds"),
        file("eraser.creds"),
        file("operator.creds"),
        file("consumers.key"),
        file("operator-signing.nk"),
        file("sys.creds"),
    );
    Ok(())
}
