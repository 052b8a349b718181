//! Signals to a server, and the wait for its end.

use std::{
    fs,
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// How often a server is asked whether it has ended.
pub(super) const POLL: Duration = Duration::from_millis(5);
/// How long a server may take to end in good order.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// Sends a signal to these processes. A process that has gone meanwhile is no error.
pub(super) fn signal(name: &str, pids: &[i32]) {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).arg("--").args(pids.iter().map(ToString::to_string));
    kill.output().expect("kill runs");
}

/// Kills a process with its group, which is all that a server has started. Blocks until the process is gone.
pub(super) fn kill(pid: u32, mut ended: impl FnMut() -> Option<ExitStatus>) {
    if ended().is_none() {
        signal("KILL", &[-pid_of(pid)]);
        while ended().is_none() {
            thread::sleep(POLL);
        }
    }
}

/// Has a process end in good order, also one that is frozen. Blocks until the process is gone.
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

/// The processes that a process has started and that run, as Linux tells them.
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
