//! What a step's process writes: to its log as it comes, to the events line by line, and the end of it kept for an error.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};

use super::mask::Mask;
use super::{ExecError, StepLog};
use crate::build::{Build, id};
use crate::solver::state::V;
use crate::{Event, Stream, VertexId};

/// Lines that an error carries, where the request does not say.
const TAIL: usize = 20;
/// A line longer than this is told in pieces.
const MAX_LINE: usize = 16 << 10;

struct Source {
    stream: Stream,
    file: Option<File>,
    rest: Vec<u8>,
}

/// Follows both outputs to their ends. What `mask` finds is neither told nor logged.
pub(super) fn follow(
    build: &Build<'_>,
    v: V,
    out: OwnedFd,
    err: OwnedFd,
    mask: Option<&Mask>,
) -> Result<StepLog, ExecError> {
    let path = build.logs.join(format!("{}.log", v + 1));
    let io = |call| {
        let path = path.clone();
        move |source| ExecError::Io { call, path, source }
    };
    std::fs::create_dir_all(&build.logs).map_err(io("mkdir"))?;
    let mut log = File::create(&path).map_err(io("create"))?;
    let limit = build.request.options.telling.log_tail.unwrap_or(TAIL);
    let mut tail = VecDeque::new();
    let mut sources = [(Stream::Stdout, out), (Stream::Stderr, err)].map(|(stream, fd)| Source {
        stream,
        file: Some(fd.into()),
        rest: Vec::new(),
    });
    let mut buffer = vec![0; 64 << 10];
    let mut tell = |stream, line: &[u8]| {
        let text = String::from_utf8_lossy(line).into_owned();
        tail.extend(text.lines().map(str::to_owned));
        while tail.len() > limit {
            tail.pop_front();
        }
        build.emit(Event::Log { vertex: vertex(v), stream, text });
    };
    while sources.iter().any(|source| source.file.is_some()) {
        wait(&sources).map_err(io("poll"))?;
        for source in &mut sources {
            let Some(file) = &mut source.file else { continue };
            if !readable(file) {
                continue;
            }
            let read = file.read(&mut buffer).map_err(io("read output for"))?;
            if read == 0 {
                source.file = None;
            }
            source.rest.extend_from_slice(&buffer[..read]);
            let ended = source.file.is_none();
            if mask.is_none() {
                log.write_all(&buffer[..read]).map_err(io("write"))?;
            }
            for line in lines(&mut source.rest, ended, mask) {
                if mask.is_some() {
                    log.write_all(&line).map_err(io("write"))?;
                }
                tell(source.stream, &line);
            }
        }
    }
    Ok(StepLog { path, tail: tail.into() })
}

fn vertex(v: V) -> VertexId {
    id(v)
}

fn wait(sources: &[Source]) -> std::io::Result<()> {
    let mut open: Vec<PollFd<'_>> =
        sources.iter().filter_map(|source| source.file.as_ref()).map(|file| PollFd::new(file, PollFlags::IN)).collect();
    match poll(&mut open, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn readable(file: &File) -> bool {
    let mut one = [PollFd::new(file, PollFlags::IN)];
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut one, Some(&zero)).is_ok_and(|ready| ready > 0)
}

/// Takes the whole lines out of `rest`; at the end, or when it grows too long, what is left too. With a mask, a line that is
/// not ended keeps what may be the beginning of a secret.
fn lines(rest: &mut Vec<u8>, ended: bool, mask: Option<&Mask>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let whole = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    if whole > 0 {
        let left = rest.split_off(whole);
        let taken = std::mem::replace(rest, left);
        out.push(match mask {
            None => taken,
            Some(mask) => mask.apply(&taken, taken.len()).0,
        });
    }
    if !rest.is_empty() && (ended || rest.len() > MAX_LINE) {
        match mask {
            None => out.push(std::mem::take(rest)),
            Some(mask) => {
                let kept = if ended { 0 } else { mask.reach() };
                let (shown, upto) = mask.apply(rest, rest.len() - kept);
                rest.drain(..upto);
                out.push(shown);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_the_rest_at_the_end() {
        let mut rest = b"a\nb\nc".to_vec();
        assert_eq!(lines(&mut rest, false, None), [b"a\nb\n".to_vec()]);
        assert_eq!(lines(&mut rest, false, None), Vec::<Vec<u8>>::new());
        assert_eq!(lines(&mut rest, true, None), [b"c".to_vec()]);
    }
}
