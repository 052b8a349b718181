//! Third-party S3 servers, for archives in buckets.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    sync::{Mutex, OnceCell},
    time::sleep,
};

const KEY: &str = "story";
const SECRET: &str = "a secret/of+stories";
/// The bucket on each server.
pub const BUCKET: &str = "archive";
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A server with a bucket. It is stopped when this is dropped.
#[derive(Debug)]
pub struct ObjectStorage {
    program: Program,
    port: u16,
    server: Mutex<Child>,
}

#[derive(Debug, Clone)]
enum Program {
    /// It checks signatures, and the bucket is a subfolder of this folder. It ignores the conditions of a write.
    Rclone(PathBuf),
    /// It supports conditional writes and versions. It checks no signatures, and keeps everything in memory.
    Moto,
}

/// Installs both servers once. A later run uses the same folder.
async fn installed() -> &'static Path {
    static INSTALLED: OnceCell<PathBuf> = OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/s3.sh");
            let mut command = Command::new("sh");
            command.arg(script).stdin(Stdio::null()).stderr(Stdio::inherit());
            let output = command.output().await.expect("sh runs");
            assert!(output.status.success(), "tests/servers/s3.sh failed: {}", output.status);
            String::from_utf8(output.stdout).expect("text").trim_end().into()
        })
        .await
}

impl ObjectStorage {
    /// A server that checks signatures. The bucket is a subfolder of this folder.
    pub async fn in_folder(dir: &Path) -> Self {
        std::fs::create_dir_all(dir.join(BUCKET)).expect("a folder");
        Self::start(Program::Rclone(dir.to_owned()), free_port()).await
    }

    /// A server that supports conditional writes. The bucket can keep versions.
    pub async fn that_compares(keeps_versions: bool) -> Self {
        let storage = Self::start(Program::Moto, free_port()).await;
        storage.asks(reqwest::Method::PUT, "", "").await;
        if keeps_versions {
            let document = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
            storage.asks(reqwest::Method::PUT, "?versioning", document).await;
        }
        storage
    }

    async fn start(program: Program, port: u16) -> Self {
        let server = Mutex::new(starts(&program, port).await);
        Self { program, port, server }
    }

    /// Sends a request for the bucket or an object to a server that checks no signatures.
    pub async fn asks(&self, method: reqwest::Method, what: &str, body: &str) -> reqwest::Response {
        let url = format!("{}/{BUCKET}{what}", self.url());
        let credential = format!("Credential={KEY}/20261130/us-east-1/s3/aws4_request");
        let signed = format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=none");
        let asked = reqwest::Client::new().request(method, url).header("authorization", signed);
        asked.body(body.to_owned()).send().await.expect("an answer")
    }

    /// Kills the server. Acknowledged data stays if the bucket is a folder.
    pub async fn kill9(&self) {
        self.server.lock().await.kill().await.expect("it ran");
    }

    /// Restarts the server on the same port. This is also needed after changing files by hand, because the server
    /// caches the content of a folder.
    pub async fn start_again(&self) {
        let mut server = self.server.lock().await;
        // It may already have been killed.
        drop(server.kill().await);
        *server = starts(&self.program, self.port).await;
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The URL of an archive.
    pub fn place(&self) -> String {
        format!("s3://{BUCKET}/chat?endpoint={}", self.url())
    }

    /// The keys.
    pub fn settings(&self) -> [(&'static str, &'static str); 2] {
        [("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET)]
    }
}

async fn starts(program: &Program, port: u16) -> Child {
    let packages = installed().await;
    let mut command = match program {
        Program::Rclone(dir) => {
            let mut command = Command::new(packages.join("bin/rclone"));
            command.args(["serve", "s3", "--auth-key", &format!("{KEY},{SECRET}"), "--addr"]);
            command.arg(format!("127.0.0.1:{port}")).arg(dir).env("RCLONE_CONFIG", "/dev/null");
            command
        }
        Program::Moto => {
            let mut command = Command::new("python3");
            command.args(["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p"]);
            command.arg(port.to_string());
            command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut server = command.spawn().expect("a server of buckets runs");
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        assert!(server.try_wait().expect("wait").is_none(), "the server of buckets has ended: {program:?}");
        assert!(begun.elapsed() < START_DEADLINE, "the server of buckets does not listen: {program:?}");
        sleep(Duration::from_millis(20)).await;
    }
    server
}

/// Another process is unlikely to take the port before the server does, because the system gives each caller a
/// different port.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
