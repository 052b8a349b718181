//! A server process that does not outlive the process that started it.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::dev::{DevError, error::cannot_use, folder::PRIVATE, home::Home};

/// The file with the process id of a server. With it, the next run finds a leftover server.
const PID: &str = "pid";

/// The interval at which a process is polled: too short for anyone to notice, and long enough to cost nothing.
pub(super) const POLL: Duration = Duration::from_millis(5);
/// The time limit for a server to stop before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
const LOG_LIMIT: u64 = 8 << 20;
const LOG_TAIL: u64 = 4 << 10;

/// The signal for an orderly shutdown of a server.
#[derive(Debug, Clone, Copy)]
pub(super) enum EndBy {
    /// SIGTERM: for nats-server, and for programs without a signal of their own.
    Term,
    /// SIGINT: Postgres disconnects its clients and writes a checkpoint; on SIGTERM it would wait for the
    /// clients.
    Interrupt,
}

impl EndBy {
    fn signal(self) -> i32 {
        match self {
            Self::Term => libc::SIGTERM,
            Self::Interrupt => libc::SIGINT,
        }
    }
}

/// A command that inherits only PATH from the environment: no secret, and no `PG...` setting.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C");
    if let Some(path) = env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// A child process in its own process group, so that Ctrl-C reaches only its parent. Dropping this value
/// stops the child; if the parent dies in any other way, the kernel stops the child (on Linux).
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    end_by: EndBy,
    /// The file with the output of the process, and the path of the file.
    log: (File, PathBuf),
}

impl Process {
    /// Starts `command` in `home`, as its user, and appends the output to the file `log`. The parent opens
    /// that file without following links, because the server could have put a link in its place.
    pub(super) fn start(
        mut command: Command,
        home: &Home,
        log: &str,
        end_by: EndBy,
    ) -> Result<Self, DevError> {
        let path = home.folder.path.join(log);
        let output = home.folder.log(log)?;
        shorten(&output).map_err(cannot_use(&path))?;
        let copy = || output.try_clone().map_err(cannot_use(&path));
        command.current_dir(&home.folder.path).process_group(0).stdin(Stdio::null());
        command.stdout(copy()?).stderr(copy()?);
        if let Some(user) = home.user {
            command.uid(user.uid).gid(user.gid);
        }
        let program = PathBuf::from(command.get_program());
        end_with_us(&mut command, end_by.signal());
        let failed = |error| DevError::Tools(format!("cannot run {}: {error}", program.display()));
        let child = spawn(command).map_err(failed)?;
        home.folder.write(PID, &child.id().to_string(), PRIVATE)?;
        Ok(Self { child, end_by, log: (output, path) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Stops the process in order, or kills it if that takes longer than 10 s. Blocks until it is gone.
    fn end(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal(self.end_by.signal());
        self.signal(libc::SIGCONT);
        let deadline = Instant::now() + STOP_DEADLINE;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                return self.kill();
            }
            thread::sleep(POLL);
        }
    }

    /// Kills the process and its group. Blocks until the process is gone.
    fn kill(&mut self) {
        if self.ended().is_none() {
            send_signal(-pid_of(self.pid()), libc::SIGKILL);
            // The process is a child and was killed, so waiting for it cannot fail.
            drop(self.child.wait());
        }
    }

    fn signal(&self, signal: i32) {
        send_signal(pid_of(self.pid()), signal);
    }

    /// The error for a server that did not start, with the end of its log.
    pub(super) fn failed(&self, server: &'static str, why: String) -> DevError {
        DevError::Server { server, why, log: tail(&self.log.0, &self.log.1) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Stops the server that an earlier, killed run may have left in this folder: the process with the recorded id, if
/// its command line names the folder of `home`.
pub(super) async fn end_stale(home: &Home, end_by: EndBy) {
    let written = home.folder.read(PID).ok().flatten();
    let Some(pid) = written.and_then(|pid| pid.trim().parse().ok()).filter(|pid: &i32| *pid > 1) else {
        return;
    };
    let started = Instant::now();
    while runs_on(pid, &home.folder.path) {
        let late = started.elapsed() > STOP_DEADLINE;
        send_signal(pid, if late { libc::SIGKILL } else { end_by.signal() });
        tokio::time::sleep(POLL * 4).await;
    }
}

/// Whether a process names `folder` in its command line. Unlike the working directory, the command line is also
/// readable for processes of other users.
fn runs_on(pid: i32, folder: &Path) -> bool {
    let folder = folder.as_os_str().as_bytes();
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.windows(folder.len()).any(|window| window == folder))
}

/// Empties a log that is longer than [`LOG_LIMIT`].
fn shorten(log: &File) -> io::Result<()> {
    if log.metadata()?.len() > LOG_LIMIT { log.set_len(0) } else { Ok(()) }
}

fn tail(log: &File, path: &Path) -> String {
    let read = || {
        let mut file = log.try_clone()?;
        let from = file.metadata()?.len().saturating_sub(LOG_TAIL);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut bytes)?;
        io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(12)..];
    format!("Last lines of {}:\n  {}", path.display(), last.join("\n  "))
}

/// Starts a child from a thread that lives as long as the process. The kernel stops a child when the *thread*
/// that started it ends, and threads of runtimes and of tests come and go.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, SyncSender<io::Result<Child>>);
    static PARENT: OnceLock<Sender<Order>> = OnceLock::new();
    let parent = PARENT.get_or_init(|| {
        let (orders, next) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in next {
                // The receiver is gone only if the process is ending.
                drop(answer.send(command.spawn()));
            }
        });
        orders
    });
    let (answer, child) = sync_channel(1);
    parent.send((command, answer)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}

/// Tells the kernel to send `signal` to the child when its parent dies, whatever the reason.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // Only the child itself can make the request, between fork and exec.
fn end_with_us(command: &mut Command, signal: i32) {
    let parent = pid_of(std::process::id());
    let request = move || {
        // SAFETY: both calls are async-signal-safe and touch no memory of ours.
        let (requested, still_there) =
            unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, signal), libc::getppid()) };
        if requested != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the request was made, and the kernel then sends no signal.
        if still_there == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: the closure allocates nothing and takes no lock, as a forked child must not. The standard library
    // runs it after the change of user, which would have cleared the request.
    unsafe { command.pre_exec(request) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_us(_: &mut Command, _: i32) {}

fn pid_of(id: u32) -> i32 {
    i32::try_from(id).expect("process ids are positive 32-bit numbers")
}

#[allow(unsafe_code)] // The standard library can send only SIGKILL.
fn send_signal(pid: i32, signal: i32) {
    // SAFETY: a plain system call. A process that has gone meanwhile is not an error for any caller.
    unsafe { libc::kill(pid, signal) };
}
