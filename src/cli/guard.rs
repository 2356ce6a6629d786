//! `collect --mode fork` in two processes, each of which cleans up behind the other.
//!
//! For a moment a thread of the process that is dumped has registers of ours, and until the dump is written that process has a copy for a
//! child: the kernel puts neither right where we are killed. So the dump is taken by a process of its own, in a process group of its own,
//! that nobody knows and a terminal does not reach. It cancels the dump when the one that was started, and may be killed, is gone; where it
//! is killed itself, the other one has the copy reaped.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

use crate::capture::collect;
use crate::error::Error;
use crate::job::Job;

/// How often it is looked whether the dump is to be cancelled, or is done.
const LOOK: Duration = Duration::from_millis(10);

/// Runs the same command line in a process that is guarded by this one.
pub(super) fn run(job: &Job) -> Result<ExitCode, Error> {
    let started = || {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.args(std::env::args_os().skip(1)).arg("--guarded").stdin(Stdio::from(OwnedFd::from(theirs)));
        // A terminal may stop what writes to it from another group than its own, and with it the process that is dumped.
        let stops =
            tcgetattr(std::io::stderr()).is_ok_and(|terminal| terminal.local_modes.contains(LocalModes::TOSTOP));
        if !stops {
            command.process_group(0);
        }
        Ok((ours, command.spawn()?))
    };
    let (told, mut guarded) = started().map_err(|source| Error::Io { path: "/proc/self/exe".into(), source })?;
    let status = wait(&mut guarded, job).map_err(|source| Error::Io { path: "/proc/self/exe".into(), source })?;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        (None, signal) => {
            collect::end_copy(told);
            let by = signal.map_or_else(String::new, |signal| format!(" by signal {signal}"));
            Err(Error::Failed(format!("the process that took the dump was ended{by}; nothing was kept")))
        }
    }
}

/// Waits for its end; it is asked to end where the job is cancelled.
fn wait(guarded: &mut Child, job: &Job) -> std::io::Result<ExitStatus> {
    let mut asked = false;
    loop {
        if let Some(status) = guarded.try_wait()? {
            return Ok(status);
        }
        if job.is_cancelled() && !asked {
            asked = true;
            if let Some(pid) = i32::try_from(guarded.id()).ok().and_then(Pid::from_raw) {
                // One that has ended meanwhile needs no asking.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        thread::sleep(LOOK);
    }
}

/// The socket to the process that guards this one; when that is gone, the job is cancelled.
pub(super) fn guarded(job: &Job) -> Result<Arc<UnixStream>, Error> {
    let io = |source| Error::Io { path: "standard input".into(), source };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from).map_err(io)?;
    let mut hears = socket.try_clone().map_err(io)?;
    let job = job.clone();
    thread::spawn(move || {
        // Nothing is ever said there.
        let _ = hears.read(&mut [0]);
        job.cancel();
    });
    Ok(Arc::new(socket))
}
