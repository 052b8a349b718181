//! Finds the programs of the servers with `deploy/tools.sh`, which is embedded in the binary.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::dev::DevError;

const SCRIPT: &str = include_str!("../../deploy/tools.sh");

/// The programs of the two servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The nats-server program, 2.12 or later.
    pub nats_server: PathBuf,
    /// The folder with the programs `postgres` and `initdb`, version 15 to 18.
    pub postgres_bin: PathBuf,
}

/// Finds the programs, or downloads them once (some seconds, 21 MB), without a checkout into the usual data folder.
/// Blocks. Later calls in the same process return the result of the first. `deploy/README.md` explains the settings
/// `VERBATIM_NATS_SERVER`, `VERBATIM_PG_BIN`, `VERBATIM_TOOLS_DIR` and `VERBATIM_TOOLS_FETCH`.
pub fn tools() -> Result<Tools, DevError> {
    tools_in(Path::new(&env::var_os("VERBATIM_DATA_DIR").unwrap_or_else(|| ".verbatim".into())))
}

/// The same with another data folder.
pub fn tools_in(data_dir: &Path) -> Result<Tools, DevError> {
    static FOUND: Mutex<Option<Tools>> = Mutex::new(None);
    // A panic in another thread cannot leave an incomplete result here, so a poisoned lock is usable.
    let mut found = FOUND.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(tools) = &*found {
        return Ok(tools.clone());
    }
    let tools = run_script(data_dir)?;
    *found = Some(tools.clone());
    Ok(tools)
}

fn run_script(data_dir: &Path) -> Result<Tools, DevError> {
    let failed = |why| DevError::Tools(format!("could not find or download nats-server and Postgres: {why}"));
    let here = env::current_dir().map_err(|error| failed(format!("there is no current folder: {error}")))?;
    let tools_dir =
        env::var_os("VERBATIM_TOOLS_DIR").map_or_else(|| default_dir(&here, data_dir), PathBuf::from);
    let output = Command::new("sh")
        .args(["-c", SCRIPT, "tools.sh"])
        .env("VERBATIM_TOOLS_DIR", tools_dir)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(format!("cannot run sh: {error}")))?;
    if !output.status.success() {
        return Err(failed(format!("see above ({})", output.status)));
    }
    let answer = String::from_utf8_lossy(&output.stdout);
    let line = |key: &str| answer.lines().find_map(|line| line.strip_prefix(key)).map(PathBuf::from);
    match (line("nats_server="), line("postgres_bin=")) {
        (Some(nats_server), Some(postgres_bin)) => Ok(Tools { nats_server, postgres_bin }),
        _ => Err(failed(format!("tools.sh answered {answer:?}"))),
    }
}

/// The folder `.tools` of the checkout around `here`, or else a folder within the data folder.
fn default_dir(here: &Path, data_dir: &Path) -> PathBuf {
    let is_ours = |folder: &&Path| {
        std::fs::read_to_string(folder.join("Cargo.toml"))
            .is_ok_and(|manifest| manifest.contains(concat!("name = \"", env!("CARGO_PKG_NAME"), "\"")))
    };
    here.ancestors()
        .find(is_ours)
        .map_or_else(|| here.join(data_dir).join("tools"), |checkout| checkout.join(".tools"))
}
