//! External client libraries from npm and PyPI: a story runs a script of `tests/clients/` with them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{io::AsyncWriteExt as _, process::Command, sync::OnceCell, time::timeout};

use super::PATIENCE;

struct Installed {
    node: PathBuf,
    packages: PathBuf,
}

/// Installs them once. The folder of an earlier run is reused.
async fn installed() -> &'static Installed {
    static INSTALLED: OnceCell<Installed> = OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/install.sh");
            let mut command = Command::new("sh");
            command.arg(script).stdin(Stdio::null()).stderr(Stdio::inherit());
            let output = command.output().await.expect("sh runs");
            assert!(output.status.success(), "tests/clients/install.sh failed: {}", output.status);
            let answer = String::from_utf8(output.stdout).expect("text");
            let line = |key: &str| {
                let line = answer.lines().find_map(|line| line.strip_prefix(key));
                PathBuf::from(line.unwrap_or_else(|| panic!("no {key} in {answer}")))
            };
            Installed { node: line("node="), packages: line("packages=") }
        })
        .await
}

/// A command that runs a module of `tests/clients/` with node. The packages are found from the working directory,
/// because a module that is passed as text has no path.
pub async fn node(script: &str, arguments: &[&str]) -> Command {
    let text = std::fs::read_to_string(scripts().join(script)).expect(script);
    node_with(&text, arguments).await
}

/// The same for a module that is passed as text.
pub async fn node_with(module: &str, arguments: &[&str]) -> Command {
    let Installed { node, packages } = installed().await;
    let mut command = Command::new(node);
    // Node 20 has WebSocket only with this flag.
    command.arg("--experimental-websocket").args(["--input-type=module", "--eval", module, "--"]);
    command.args(arguments).current_dir(packages).kill_on_drop(true);
    command
}

/// A command that runs a script of `tests/clients/` with Python.
pub async fn python(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg(scripts().join(script)).args(arguments);
    command.env("PYTHONPATH", installed().await.packages.join("python"));
    // The run must leave no files in the checkout.
    command.env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
    command
}

/// The folder of the packages. Those of PyPI are in its subfolder `python`.
pub async fn packages() -> &'static Path {
    &installed().await.packages
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a command with an input, asserts that it succeeds, and returns its output.
pub async fn output_of(mut command: Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().expect("it runs");
    let (mut stdin, input) = (child.stdin.take().expect("piped"), input.to_owned());
    // The command may write more than a pipe holds before it has read all of its input.
    let writing = tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends in time").expect("wait");
    assert!(output.status.success(), "{}", output.status);
    writing.await.expect("no panic").expect("it reads its input");
    String::from_utf8(output.stdout).expect("text")
}
