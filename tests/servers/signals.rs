//! Sending signals to a server, and waiting for it to exit.

use std::{
    fs,
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// The interval at which an exit is polled for.
pub(super) const POLL: Duration = Duration::from_millis(5);
/// How long a server may take for a clean exit.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// How long processes may take to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Sends a signal to a running process.
pub async fn signal(pid: u32, name: &str) {
    let sent =
        tokio::process::Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await;
    assert!(sent.expect("kill runs").success(), "kill -{name} {pid}");
    if name == "STOP" {
        await_stop(&[pid_of(pid)]);
    }
}

/// Sends a signal to these processes. A process that has already exited is not an error.
pub(super) fn signal_all(name: &str, pids: &[i32]) {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).arg("--").args(pids.iter().map(ToString::to_string));
    kill.output().expect("kill runs");
    if name == "STOP" {
        await_stop(pids);
    }
}

/// Blocks until all threads of these processes have stopped. On a busy machine, the other threads of a process go on until
/// the thread that gets the signal has run.
fn await_stop(pids: &[i32]) {
    let deadline = Instant::now() + STOP_DEADLINE;
    while !pids.iter().all(|pid| has_stopped(*pid)) {
        assert!(Instant::now() < deadline, "{pids:?} do not stop");
        thread::sleep(POLL);
    }
}

/// Whether no thread of a process runs. Without `/proc`, nobody can tell.
fn has_stopped(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.into_iter().all(|thread| {
        // A thread that is gone by now has no state. The name is in parentheses, and the state follows.
        let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { return true };
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']))
    })
}

/// Kills a process and its process group, which includes everything that a server has started. Blocks until the process
/// is gone.
pub(super) fn kill(pid: u32, mut ended: impl FnMut() -> Option<ExitStatus>) {
    if ended().is_none() {
        signal_all("KILL", &[-pid_of(pid)]);
        while ended().is_none() {
            thread::sleep(POLL);
        }
    }
}

/// Stops a process cleanly, even if it is frozen. Blocks until the process is gone, and kills it if it takes too long.
pub(super) fn end(pid: u32, by: &str, mut ended: impl FnMut() -> Option<ExitStatus>) {
    if ended().is_some() {
        return;
    }
    signal_all(by, &[pid_of(pid)]);
    signal_all("CONT", &[pid_of(pid)]);
    let deadline = Instant::now() + END_DEADLINE;
    while ended().is_none() {
        if Instant::now() > deadline {
            return kill(pid, ended);
        }
        thread::sleep(POLL);
    }
}

/// The running child processes of a process, from Linux's `/proc`.
pub(super) fn children_of(parent: u32) -> Vec<i32> {
    let is_child = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status
            .lines()
            .any(|line| line.strip_prefix("PPid:").is_some_and(|of| of.trim() == parent.to_string()))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

pub(super) fn pid_of(id: u32) -> i32 {
    i32::try_from(id).expect("process ids are positive 32-bit numbers")
}
