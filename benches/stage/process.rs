//! Measured processes: the CPU to which they are pinned, their costs, and the node itself.

use std::{fs, io, net::SocketAddr, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use super::{Stage, floor, talker, unlimited::UNLIMITED};

/// The CPU of the measured process, and the CPU of the load.
const MEASURED: usize = 0;
const LOAD: usize = 1;
/// The time limit for a node to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a benchmark on its own stage. If a benchmark started this process as a floor or talker, runs that instead.
pub fn run(benchmark: impl AsyncFnOnce(&Stage)) {
    if floor::serve_if_asked() || talker::serve_if_asked() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stage = Stage::set().await;
        prepare();
        benchmark(&stage).await;
        stage.clear().await;
    });
}

/// Pins this thread, with all the load, to its CPU, and raises the limit of open files to the maximum of the machine.
/// Servers that were started before are not pinned.
fn prepare() {
    raise_the_limit_of_files().expect("the soft limit may be as high as the hard one");
    if let Err(e) = keep_to(LOAD) {
        eprintln!("load and server share the processors, figures are rough: {e}");
    }
}

/// Starts a child on the CPU of measured processes.
pub fn measured<T>(start: impl FnOnce() -> T) -> T {
    // A child inherits the CPU affinity of the thread that creates it. A machine with one CPU leaves no choice.
    let moved = keep_to(MEASURED).and_then(|()| keep_to(LOAD)).is_ok();
    if moved {
        keep_to(MEASURED).expect("it could a moment ago");
    }
    let started = start();
    if moved {
        keep_to(LOAD).expect("it could a moment ago");
    }
    started
}

#[allow(unsafe_code)] // The standard library cannot set a CPU affinity.
fn keep_to(cpu: usize) -> io::Result<()> {
    // SAFETY: an empty set is all zeros, and the kernel only reads it.
    let answer = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[allow(unsafe_code)] // The standard library cannot set resource limits.
fn raise_the_limit_of_files() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes and reads this one value.
    let answer = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The CPU time of a process so far, to the nanosecond, including threads that have ended.
#[allow(unsafe_code)] // The standard library cannot read the CPU clock of another process.
pub fn cpu(pid: u32) -> Duration {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: the kernel writes these two values.
    let answers = unsafe {
        [libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock), libc::clock_gettime(clock, &mut time)]
    };
    assert_eq!(answers, [0, 0], "process {pid} runs");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The resident memory of a process, in bytes.
pub fn memory(pid: u32) -> f64 {
    status(pid, "VmRSS:")
}

/// The number of open files and sockets of a process.
pub fn files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

/// The peak of a process's memory since `forget_peak`, in bytes.
pub fn peak(pid: u32) -> f64 {
    status(pid, "VmHWM:")
}

pub fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("a process of our own");
}

fn status(pid: u32, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux");
    let kib: f64 = line.trim_end_matches("kB").trim().parse().expect("a number");
    kib * 1024.0
}

/// A node: the program itself, as a separate process.
pub struct Node {
    child: Child,
    pub address: SocketAddr,
    admin: SocketAddr,
}

impl Node {
    /// Starts a node with these roles, with cheap password hashes and limits that allow all sockets of a benchmark.
    pub async fn start(stage: &Stage, roles: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_verbatim"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VERBATIM_")) {
            command.env_remove(name);
        }
        command
            .args(["serve", "--roles", roles])
            .env("VERBATIM_NATS_URL", stage.nats.url())
            .env("VERBATIM_DATABASE_URL", stage.postgres.url())
            .env("VERBATIM_LISTEN", "127.0.0.1:0")
            .env("VERBATIM_ADMIN_LISTEN", "127.0.0.1:0")
            .env("VERBATIM_SOCKETS", "100000")
            .env("VERBATIM_LOG", "json")
            .env("VERBATIM_DRAIN_DELAY", "0")
            .env("VERBATIM_ARGON2_MEMORY", "64")
            .env("VERBATIM_ARGON2_PASSES", "1")
            .envs(UNLIMITED.iter().copied())
            .envs(settings.iter().copied())
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = measured(|| command.spawn()).expect("the program runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let serving = timeout(PATIENCE, serving(&mut lines)).await;
        let (admin, address) = serving.expect("the node starts in time").expect("the node serves");
        tokio::spawn(async move { while next(&mut lines).await.is_some() {} });
        Self { child, address, admin }
    }

    /// Its metrics, as text.
    pub async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).await.expect("the node listens");
        let asked = b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
        stream.write_all(asked).await.expect("asked");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        text
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Stops it in order.
    pub async fn stop(mut self) {
        let sent = Command::new("kill").arg(self.pid().to_string()).status().await;
        assert!(sent.expect("kill runs").success());
        timeout(PATIENCE, self.child.wait()).await.expect("it stops in time").expect("it ends");
    }
}

/// The addresses of its admin and its public listener; `None` if it has ended.
async fn serving(lines: &mut Lines<BufReader<ChildStderr>>) -> Option<(SocketAddr, SocketAddr)> {
    let mut admin = None;
    loop {
        let line = next(lines).await?;
        if line["message"] == "answering operators" {
            admin = line["admin"].as_str()?.parse().ok();
        }
        if line["message"] == "serving" {
            return Some((admin?, line["listen"].as_str()?.parse().ok()?));
        }
    }
}

/// The next line of a node's log. All lines except those of level info are printed.
async fn next(lines: &mut Lines<BufReader<ChildStderr>>) -> Option<Value> {
    let line = lines.next_line().await.ok()??;
    let read = serde_json::from_str(&line).unwrap_or_default();
    let Value::Object(_) = &read else {
        eprintln!("the node: {line}");
        return Some(read);
    };
    if read["level"] != "INFO" {
        eprintln!("the node: {line}");
    }
    Some(read)
}
