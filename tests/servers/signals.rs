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

/// Sends a signal to these processes. A process that has already exited is not an error.
pub(super) fn signal(name: &str, pids: &[i32]) {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).arg("--").args(pids.iter().map(ToString::to_string));
    kill.output().expect("kill runs");
}

/// Kills a process and its process group, which includes everything that a server has started. Blocks until the process
/// is gone.
pub(super) fn kill(pid: u32, mut ended: impl FnMut() -> Option<ExitStatus>) {
    if ended().is_none() {
        signal("KILL", &[-pid_of(pid)]);
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
    signal(by, &[pid_of(pid)]);
    signal("CONT", &[pid_of(pid)]);
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
