//! The system's journal, by its own protocol: a datagram a line, `NAME=value` a line of it, and a length before what holds line breaks.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use crate::Config;

use super::settings::Settings;
use super::{LogError, Source};

/// Where it listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// How long a journal that does not read may hold a line up; then the line is lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// syslog's words for the two streams.
const INFORMATION: u8 = 6;
const ERROR: u8 = 3;

/// A connection to the journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    /// The fields of every message.
    fields: Vec<u8>,
}

impl Journal {
    /// Reaches it.
    ///
    /// # Errors
    /// A machine without one.
    pub fn open(config: &Config, settings: &Settings) -> Result<Self, LogError> {
        Self::at(Path::new(SOCKET), config, settings)
    }

    fn at(path: &Path, config: &Config, settings: &Settings) -> Result<Self, LogError> {
        let failed = |what| LogError::io(what, path);
        let socket = UnixDatagram::unbound().map_err(failed("make a socket for"))?;
        socket.connect(path).map_err(failed("reach the journal at"))?;
        socket.set_write_timeout(Some(PATIENCE)).map_err(failed("set the timeout of"))?;
        let tag = settings.tag.as_deref().unwrap_or(config.id.short());
        let mut fields = Vec::new();
        for (name, value) in [
            ("SYSLOG_IDENTIFIER", tag),
            ("CONTAINER_ID", config.id.short()),
            ("CONTAINER_ID_FULL", config.id.as_str()),
            ("CONTAINER_NAME", &config.name),
            ("CONTAINER_TAG", tag),
            ("IMAGE_NAME", &config.image.name),
        ] {
            field(&mut fields, name, value.as_bytes());
        }
        Ok(Self { socket, fields })
    }

    /// Sends one line, or a piece of one.
    ///
    /// # Errors
    /// A journal that went away, or does not read.
    pub fn send(&self, source: Source, line: &[u8]) -> Result<(), LogError> {
        let (line, partial) = match line.strip_suffix(b"\n") {
            Some(line) => (line, false),
            None => (line, true),
        };
        let priority = if source == Source::Stderr { ERROR } else { INFORMATION };
        let mut message = self.fields.clone();
        field(&mut message, "PRIORITY", priority.to_string().as_bytes());
        if partial {
            field(&mut message, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        field(&mut message, "MESSAGE", line);
        self.socket.send(&message).map(drop).map_err(LogError::io("write to", Path::new(SOCKET)))
    }
}

/// A value without a line break stands behind `=`; any other has its length before it.
fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_value_makes_no_field() {
        let mut out = Vec::new();
        field(&mut out, "A", b"x");
        field(&mut out, "MESSAGE", b"a\nPRIORITY=0");
        assert_eq!(out, b"A=x\nMESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n");
    }

    #[test]
    fn a_line_is_a_datagram() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let config = crate::log::tests::config(None, &[]);
        let settings = Settings::of(&config.logging).unwrap();
        Journal::at(&path, &config, &settings).unwrap().send(Source::Stderr, b"hello\n").unwrap();
        let mut bytes = [0; 4096];
        let length = journal.recv(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes[..length]);
        assert!(text.contains("CONTAINER_NAME=web\n") && text.ends_with("PRIORITY=3\nMESSAGE=hello\n"), "{text}");
    }
}
