//! Servers of other people that speak S3, for archives in buckets.

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
/// The bucket that each of them has.
pub const BUCKET: &str = "archive";
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A server with a bucket. It ends when this is dropped.
#[derive(Debug)]
pub struct ObjectStorage {
    program: Program,
    port: u16,
    server: Mutex<Child>,
}

#[derive(Debug, Clone)]
enum Program {
    /// It checks signatures, and the bucket is a folder in this one. It writes whatever a write may replace.
    Rclone(PathBuf),
    /// It knows what a write may replace, and versions; it checks no signature and has all in memory.
    Moto,
}

/// Installs both once; the folder of an earlier run is found again.
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
    /// A server that checks signatures, with the bucket as a folder in this one.
    pub async fn in_folder(dir: &Path) -> Self {
        std::fs::create_dir_all(dir.join(BUCKET)).expect("a folder");
        Self::start(Program::Rclone(dir.to_owned()), free_port()).await
    }

    /// A server that compares before it replaces, with a bucket that keeps versions or not.
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

    /// Asks a server that checks no signature, for the bucket or what is in it.
    pub async fn asks(&self, method: reqwest::Method, what: &str, body: &str) -> reqwest::Response {
        let url = format!("{}/{BUCKET}{what}", self.url());
        let credential = format!("Credential={KEY}/20261130/us-east-1/s3/aws4_request");
        let signed = format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=none");
        let asked = reqwest::Client::new().request(method, url).header("authorization", signed);
        asked.body(body.to_owned()).send().await.expect("an answer")
    }

    /// Kills it. What it has acknowledged stays, if it is in a folder.
    pub async fn kill9(&self) {
        self.server.lock().await.kill().await.expect("it ran");
    }

    /// Starts it again on the same port, also to see files that were changed by hand: it remembers what is in a folder.
    pub async fn start_again(&self) {
        let mut server = self.server.lock().await;
        // It may have been killed before.
        drop(server.kill().await);
        *server = starts(&self.program, self.port).await;
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A place for an archive.
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

/// Nobody else takes it in the moment before the server does: the system gives another one to each who asks.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
