//! `nats`: the accounts and keys of NATS.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use crate::{
    app::AppError,
    authority::{ACCOUNTS, installation},
    clock::Clock,
};

#[derive(Debug, Args)]
pub(super) struct NatsCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes the keys, accounts and users of a new installation of NATS.
    Init {
        /// Folder for the files. It is made if it is missing, and no file in it is replaced.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
}

pub(super) fn nats(NatsCommand { what: What::Init { out } }: NatsCommand) -> Result<(), AppError> {
    let failed = |path: &Path, e: io::Error| {
        let why = match e.kind() {
            io::ErrorKind::AlreadyExists => {
                "it exists, and no key is ever replaced: name an empty folder".into()
            }
            _ => e.to_string(),
        };
        AppError::Refused(format!("cannot write {}: {why}", path.display()))
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&out).map_err(|e| failed(&out, e))?;
    for file in installation(Clock::system().now().datetime().unix_timestamp()) {
        let path = out.join(file.name);
        let mode = if file.is_secret { 0o600 } else { 0o644 };
        let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        written
            .and_then(|mut opened| opened.write_all(file.text.as_bytes()))
            .map_err(|e| failed(&path, e))?;
    }
    let file = |name: &str| out.join(name).display().to_string();
    println!(
        "The keys, accounts and users are made.\n\n\
         Each nats-server    copy {} beside log.conf (deploy/README.md)\n\
         The nodes           VERBATIM_NATS_CREDENTIALS_FILE={}\n\
         `migrate`, `log`    VERBATIM_NATS_OPERATOR_CREDENTIALS_FILE={}\n\
         `consumers`         VERBATIM_CONSUMERS_KEY_FILE={}\n\
         \x20                   VERBATIM_NATS_OPERATOR_KEY_FILE={}\n\
         \x20                   VERBATIM_NATS_SYS_CREDENTIALS_FILE={}\n\n\
         Move operator.nk, sys.nk, chat.nk and readers.nk to a safe place that is not on the network. No node needs a \
         file ending in .nk.",
        file(ACCOUNTS),
        file("verbatim.creds"),
        file("operator.creds"),
        file("consumers.key"),
        file("operator-signing.nk"),
        file("sys.creds"),
    );
    Ok(())
}
