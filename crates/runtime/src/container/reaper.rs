//! Process 1 of a build's container, and of `--init`: it waits, forwards signals, and ends as the program did.

use sys::clone::How;
use sys::signal::{self, SignalSet};

use super::error::StartError;

/// SIGCHLD, by whose number no constant of a safe crate goes.
const SIGCHLD: i32 = 17;
const SIGKILL: i32 = 9;

/// Stays as the first process, with no descriptor, no right but to signal, and nothing for anyone to look into.
///
/// It never executes anything, so `/proc/1/exe` is our binary for as long as it lives: the process is not dumpable, and
/// the kernel shows that link of such a process only to who has CAP_SYS_PTRACE where our binary was executed.
pub(super) fn stay(child: i32, among_others: bool) -> ! {
    let code = wait_for(child, among_others).unwrap_or(125);
    sys::clone::exit(code)
}

fn wait_for(child: i32, among_others: bool) -> Result<u8, StartError> {
    let all = SignalSet::full();
    all.block()?;
    sys::exec::close_inherited(0, &[])?;
    super::become_user::keep_only_kill()?;
    if among_others {
        // Without a pid namespace orphans come to us only if we ask for them.
        let own = Some(rustix::process::getpid());
        rustix::process::set_child_subreaper(own).map_err(|errno| StartError::setup("prctl", errno))?;
    }
    loop {
        let code = reap(child)?;
        if let Some(code) = code {
            if among_others {
                // A pid namespace ends with its first process; here we end what is left ourselves.
                let _ = signal::send(-child, SIGKILL);
            }
            return Ok(code);
        }
        let arrived = all.wait()?;
        if arrived != SIGCHLD {
            // It may have ended just now.
            let _ = signal::send(child, arrived);
        }
    }
}

/// Takes every process that has ended; the program's code, if it was among them.
fn reap(child: i32) -> Result<Option<u8>, StartError> {
    loop {
        match sys::clone::wait(-1, false) {
            Ok(Some(ended)) if ended.pid == child => {
                return Ok(Some(match ended.how {
                    How::Exited(code) => code,
                    How::Signalled(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
                }));
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}
