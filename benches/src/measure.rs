//! Time and peak memory of one command.
//!
//! The command is started by a helper process of its own (this binary again): the kernel reports the peak
//! memory of *all* children that a process has waited for, so a process that measures twice would report
//! the larger one twice. The clock runs in the helper too, around start and end of the command alone.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One run of a command.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Peak resident memory of the largest process among the command and what it waited for, in MiB.
    pub peak: f64,
}

const MARKER: &str = "--measure";

/// What has not ended by then hangs, and is killed: no workload's command takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(600);

impl Sample {
    /// Runs `command` with its output appended to `log`. A command that fails is an error: a figure of a
    /// failure would look like a fast success.
    ///
    /// # Errors
    /// The command cannot be started, or fails.
    pub(crate) fn of(command: &Command, log: &Path) -> io::Result<Sample> {
        let mut helper = Command::new(std::env::current_exe()?);
        helper.arg(MARKER).arg(log).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => helper.env(name, value),
                None => helper.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            helper.current_dir(dir);
        }
        let output = helper.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(io::Error::other(format!("{command:?} failed: see {}", log.display())));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let mut words = said.split_whitespace().map(|word| word.parse::<f64>().ok());
        match (words.next().flatten(), words.next().flatten()) {
            (Some(seconds), Some(peak)) => Ok(Sample { seconds, peak }),
            _ => Err(io::Error::other(format!("the helper said {said:?}"))),
        }
    }
}

/// The helper's side: runs what the command line names and prints seconds and MiB. `None` where this
/// process is no helper.
#[must_use]
pub fn helper() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != MARKER {
        return None;
    }
    let run = || -> io::Result<bool> {
        let log = arguments.next().ok_or(io::ErrorKind::InvalidInput)?;
        let program = arguments.next().ok_or(io::ErrorKind::InvalidInput)?;
        let log = File::options().append(true).create(true).open(log)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let (pid, (done, ended)) = (child.id().cast_signed(), mpsc::channel::<()>());
        thread::spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        });
        let status = child.wait()?;
        let seconds = started.elapsed().as_secs_f64();
        drop(done);
        let kib = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
        writeln!(io::stdout(), "{seconds} {}", kib as f64 / 1024.0)?;
        Ok(status.success())
    };
    Some(match run() {
        Ok(true) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The middle value; the lower of two middle ones, so that it is one that was measured.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Empties the page cache, which takes root; says whether it could.
#[must_use]
pub fn drop_page_cache() -> bool {
    let synced = Command::new("sync").status().is_ok_and(|status| status.success());
    synced && fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_was_measured() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.0);
        assert!(median([]).is_nan());
    }
}
