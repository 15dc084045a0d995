//! One question: a program inside, what it says, and its end; or a time that is over.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use runtime::container::Stdio;
use runtime::container::join::{Guest, Joined, Joining};
use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Grounds;
use crate::State;
use crate::config::Health as Asked;
use crate::exec::{self, Exec};
use crate::state::Probe;
use crate::supervisor::serve::{Waits, Who};
use crate::time::Moment;

/// How much of what it says is kept; docker's.
const MAX_OUTPUT: usize = 4096;

#[derive(Debug)]
pub(super) struct Question {
    stage: Stage,
    output: OwnedFd,
    said: Vec<u8>,
    asked: Moment,
    timeout: Duration,
    deadline: Instant,
    /// The keeper of a process that was killed and may take its time.
    given_up: Option<i32>,
}

#[derive(Debug)]
enum Stage {
    Joining(Joining),
    Joined(Joined),
    Over,
}

/// What has come of it.
#[derive(Debug)]
pub(super) enum Progress {
    Waiting,
    Answered(Probe),
}

impl Question {
    /// Starts the program. An error is an answer, too: why there is none.
    pub(super) fn ask(asked: &Asked, state: &State, grounds: &Grounds<'_>) -> Result<Self, String> {
        let said = |error: &dyn std::error::Error| error.to_string();
        let target = exec::target(grounds.config, state, grounds.machine).map_err(|error| said(&error))?;
        let exec = Exec { args: asked.args(), ..Exec::default() };
        let spec = exec.spec(grounds.config, grounds.machine, grounds.owners.clone()).map_err(|error| said(&error))?;
        let (output, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| errno.to_string())?;
        let flags = fcntl_getfl(&output).map_err(|errno| errno.to_string())?;
        fcntl_setfl(&output, flags | OFlags::NONBLOCK).map_err(|errno| errno.to_string())?;
        let stdio = Stdio {
            stdin: None,
            stdout: Some(theirs.try_clone().map_err(|error| error.to_string())?),
            stderr: Some(theirs),
            ..Stdio::default()
        };
        let guest = Guest { spec: &spec, groups: &state.groups };
        let joining = Joining::begin(&target, &guest, stdio).map_err(|error| said(&error))?;
        let timeout = Duration::from_nanos(asked.timeout);
        Ok(Self {
            stage: Stage::Joining(joining),
            output,
            said: Vec::new(),
            asked: Moment::now(),
            timeout,
            deadline: Instant::now() + timeout,
            given_up: None,
        })
    }

    pub(super) fn waits<'w>(&'w self, waits: &mut Waits<'w>) {
        match &self.stage {
            Stage::Joining(joining) => waits.borrowed(Who::Health(0), joining.reports(), PollFlags::IN),
            Stage::Joined(joined) => {
                waits.borrowed(Who::Health(0), joined.fate(), PollFlags::IN);
                // What nobody keeps is read all the same: it must not wait for us.
                if !self.is_silent() {
                    waits.fd(Who::Health(1), &self.output, PollFlags::IN);
                }
            }
            Stage::Over => {}
        }
        waits.until(Some(self.deadline));
    }

    /// Whether nobody can say anything any more: closed pipes are always ready.
    fn is_silent(&self) -> bool {
        let mut fds = [rustix::event::PollFd::new(&self.output, PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }));
        let flags = fds[0].revents();
        flags.contains(PollFlags::HUP) && !flags.contains(PollFlags::IN)
    }

    /// The number of a keeper that is still to be waited for, once.
    pub(super) fn given_up(&mut self) -> Option<i32> {
        self.given_up.take()
    }

    /// Takes what is there.
    pub(super) fn advance(&mut self, now: Instant) -> Progress {
        self.listen();
        if now >= self.deadline {
            return self.too_late();
        }
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Joining(mut joining) => match joining.advance(false) {
                    Ok(true) => match joining.finish() {
                        Ok(joined) => self.stage = Stage::Joined(joined),
                        Err(error) => return self.answer(i32::from(error.exit_code()), Some(error.to_string())),
                    },
                    Ok(false) if is_ready(joining.reports()) => self.stage = Stage::Joining(joining),
                    Ok(false) => {
                        self.stage = Stage::Joining(joining);
                        return Progress::Waiting;
                    }
                    Err(error) => return self.answer(i32::from(error.exit_code()), Some(error.to_string())),
                },
                Stage::Joined(joined) if is_ready(joined.fate()) => {
                    let code = i32::from(joined.wait().code());
                    self.listen();
                    return self.answer(code, None);
                }
                Stage::Joined(joined) => {
                    self.stage = Stage::Joined(joined);
                    return Progress::Waiting;
                }
                Stage::Over => return self.answer(-1, None),
            }
        }
    }

    fn too_late(&mut self) -> Progress {
        self.give_up();
        let words = format!("Health check exceeded timeout ({} s)", self.timeout.as_secs_f64());
        self.answer(-1, Some(words))
    }

    /// Ends it, whatever it does.
    pub(super) fn give_up(&mut self) {
        // Of one that has not started, dropping it is its end; its program may wait for a disk, and is not waited for here.
        if let Stage::Joined(joined) = std::mem::replace(&mut self.stage, Stage::Over) {
            let _ = joined.kill_all();
            self.given_up = Some(joined.leave());
        }
    }

    fn answer(&mut self, exit_code: i32, error: Option<String>) -> Progress {
        let said = String::from_utf8_lossy(&self.said).into_owned();
        let output = match error {
            Some(error) if said.is_empty() => error,
            Some(error) => format!("{error}: {said}"),
            None => said,
        };
        Progress::Answered(Probe { start: self.asked, end: Moment::now(), exit_code, output })
    }

    /// Keeps the beginning of what it says.
    fn listen(&mut self) {
        let mut buffer = [0; MAX_OUTPUT];
        // So much at a time: who never stops must not keep us from the rest.
        for _ in 0..16 {
            match rustix::io::read(&self.output, &mut buffer) {
                Ok(length @ 1..) => {
                    let room = MAX_OUTPUT - self.said.len();
                    self.said.extend_from_slice(&buffer[..length.min(room)]);
                }
                _ => return,
            }
        }
    }
}

fn is_ready(fd: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let _ = rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }));
    !fds[0].revents().is_empty()
}
