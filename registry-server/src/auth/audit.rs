//! The audit log: who did what, from where, and how it ended; a JSON object a line, appended to a file.
//!
//! A thread of its own writes, and callers never wait for it: what does not fit into its queue is counted, and the count becomes
//! a line of its own. The file is opened again when its name leads elsewhere (after a rotation) and on
//! [`Audit::reopen`]. Nothing in a line comes from a header or a body as it stood there; JSON escapes the rest, so a line stays a line.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use http::{Method, StatusCode};
use oci::{Digest, RepositoryName, Tag};
use serde::Serialize;

use crate::time::Instant;

/// Lines that may wait to be written: about 4 MiB of them, some seconds of a stalled disk.
const QUEUE: usize = 16_384;

/// How often an idle log looks whether its file was rotated away.
const ROTATION_CHECK: Duration = Duration::from_secs(1);

/// What can go wrong with the audit log.
#[derive(Debug, thiserror::Error)]
#[error("open the audit log {path}: {source}")]
pub struct Error {
    path: PathBuf,
    source: std::io::Error,
}

/// One line of the log.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// What happened: the route's short name (`manifest.put`, `blob.mount`, `token`), never text of a client.
    pub what: &'static str,
    /// Who ([`super::Principal::actor`]); `None` where the credentials were refused.
    pub who: Option<&'a str>,
    /// From where; `None` on a Unix socket.
    pub from: Option<IpAddr>,
    /// In which repository.
    pub repository: Option<&'a RepositoryName>,
    /// On which bytes.
    pub digest: Option<&'a Digest>,
    /// On which tag.
    pub tag: Option<&'a Tag>,
    /// How it ended.
    pub status: StatusCode,
    /// More, from a fixed list of words of ours (`expired`, `policy`, `immutable`).
    pub why: Option<&'static str>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: &'a str,
    who: Option<&'a str>,
    from: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    status: u16,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

/// The log. Without a file every method does nothing.
#[derive(Debug)]
pub struct Audit {
    lines: Option<SyncSender<Vec<u8>>>,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    reopen: AtomicBool,
    lost: AtomicU64,
}

impl Audit {
    /// A log that keeps nothing.
    pub fn off() -> Self {
        Self { lines: None, shared: Arc::default(), writer: None }
    }

    /// Appends to a file, which is made with mode 0640 where it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fail = |source| Error { path: path.to_owned(), source };
        let file = append_to(path).map_err(fail)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let writer = Writer { path: path.to_owned(), file: Some(file), shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let writer = thread.spawn(move || writer.run(&receiver)).map_err(fail)?;
        Ok(Self { lines: Some(sender), shared, writer: Some(writer) })
    }

    /// Whether a request belongs into the log: whatever writes, and whatever is refused for want of rights.
    pub fn wants(method: &Method, status: StatusCode) -> bool {
        !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
            || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
    }

    /// Adds a line. Never waits.
    pub fn record(&self, event: &Event<'_>) {
        let Some(lines) = &self.lines else { return };
        if lines.try_send(event.line(Instant::now())).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew before the next line: after SIGHUP.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has been reported by its thread.
            let _ = writer.join();
        }
    }
}

impl Event<'_> {
    fn line(&self, at: Instant) -> Vec<u8> {
        let outcome = match self.status.as_u16() {
            0..=399 => "done",
            401 | 403 | 429 => "refused",
            _ => "failed",
        };
        let line = Line {
            time: jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string(),
            event: self.what,
            who: self.who,
            from: self.from,
            repository: self.repository.map(RepositoryName::as_str),
            digest: self.digest.map(ToString::to_string),
            tag: self.tag.map(Tag::as_str),
            status: self.status.as_u16(),
            outcome,
            why: self.why,
        };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// The thread that owns the file.
struct Writer {
    path: PathBuf,
    file: Option<File>,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self, lines: &Receiver<Vec<u8>>) {
        loop {
            match lines.recv_timeout(ROTATION_CHECK) {
                Ok(mut batch) => {
                    for more in lines.try_iter().take(QUEUE) {
                        batch.extend_from_slice(&more);
                    }
                    self.write(&batch);
                }
                Err(RecvTimeoutError::Timeout) => self.follow(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn write(&mut self, batch: &[u8]) {
        self.follow();
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        let note = format!("{{\"time\":\"{}\",\"event\":\"audit.lost\",\"count\":{lost}}}\n", jiff::Timestamp::now());
        let note = if lost > 0 { note.as_bytes() } else { b"" };
        let written = match &mut self.file {
            Some(file) => file.write_all(note).and_then(|()| file.write_all(batch)),
            None => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        };
        if let Err(error) = written {
            let count = batch.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.shared.lost.fetch_add(lost + count, Ordering::Relaxed);
            self.file = None;
            tracing::error!(path = %self.path.display(), %error, lines = count, "the audit log cannot be written");
        }
    }

    /// Opens the file again where its name leads to another one, or to none.
    fn follow(&mut self) {
        let asked = self.shared.reopen.swap(false, Ordering::Relaxed);
        let same = |file: &File| {
            let (Ok(held), Ok(named)) = (file.metadata(), std::fs::metadata(&self.path)) else { return false };
            (held.dev(), held.ino()) == (named.dev(), named.ino())
        };
        if !asked && self.file.as_ref().is_some_and(same) {
            return;
        }
        match append_to(&self.path) {
            Ok(file) => self.file = Some(file),
            // The old one still takes lines.
            Err(error) => tracing::error!(path = %self.path.display(), %error, "the audit log cannot be opened again"),
        }
    }
}

fn append_to(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(who: &str) -> Event<'_> {
        Event {
            what: "manifest.put",
            who: Some(who),
            from: Some(IpAddr::from([192, 0, 2, 1])),
            repository: None,
            digest: None,
            tag: None,
            status: StatusCode::CREATED,
            why: None,
        }
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn lines_hold_what_happened_and_nothing_breaks_out_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::open(&path).unwrap();
        let repository = "team/app".parse().unwrap();
        let tag = "v1".parse().unwrap();
        audit.record(&Event {
            repository: Some(&repository),
            tag: Some(&tag),
            ..event("user:a\n{\"event\":\"x\"}\u{1b}[2J")
        });
        audit.record(&Event { status: StatusCode::FORBIDDEN, why: Some("policy"), ..event("user:b") });
        drop(audit);
        let lines = lines(&path);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["repository"], "team/app");
        assert_eq!(lines[0]["tag"], "v1");
        assert_eq!(lines[0]["outcome"], "done");
        assert_eq!(lines[0]["from"], "192.0.2.1");
        assert_eq!(lines[1]["outcome"], "refused");
        assert_eq!(lines[1]["why"], "policy");
    }

    #[test]
    fn a_rotated_file_is_left_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
        let audit = Audit::open(&path).unwrap();
        audit.record(&event("user:a"));
        while std::fs::read(&path).unwrap().is_empty() {
            std::thread::yield_now();
        }
        std::fs::rename(&path, &old).unwrap();
        audit.record(&event("user:b"));
        drop(audit);
        assert_eq!(lines(&old)[0]["who"], "user:a");
        assert_eq!(lines(&path)[0]["who"], "user:b");
    }

    #[test]
    fn a_full_queue_loses_lines_and_says_how_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::open(&path).unwrap();
        audit.shared.lost.store(3, Ordering::Relaxed);
        audit.record(&event("user:a"));
        drop(audit);
        assert_eq!(lines(&path)[0]["count"], 3);
    }
}
