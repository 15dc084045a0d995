//! A verb's side of the control socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::service::Line;
use super::{Error, Result, SOCKET};

/// The longest line of an answer: more is no answer of ours.
const LONGEST_LINE: u64 = 16 << 20;

/// A server that owns a data directory.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Finds the server of a data directory.
    ///
    /// # Errors
    /// When nobody listens, or not to us.
    pub fn connect(root: &Path) -> Result<Self> {
        let client = Self { socket: root.join(SOCKET) };
        client.open()?;
        Ok(client)
    }

    fn open(&self) -> Result<UnixStream> {
        // A path below a deep folder is longer than a socket's address may be: the folder is opened, and named by descriptor.
        super::service::with_short_path(&self.socket, |path| UnixStream::connect(path)).map_err(self.failed("connect"))
    }

    fn failed(&self, call: &'static str) -> impl Fn(std::io::Error) -> Error {
        let path = self.socket.clone();
        move |source| Error::Io { call, path: path.clone(), source }
    }

    /// Has a command done: `progress` is called with what it reports meanwhile, the answer is what it ends with.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's words; [`Error::Protocol`] when it went away.
    pub fn call<P: DeserializeOwned, R: DeserializeOwned>(
        &self,
        command: &str,
        arguments: &impl Serialize,
        mut progress: impl FnMut(P),
    ) -> Result<R> {
        let protocol = |error: serde_json::Error| Error::Protocol(error.to_string());
        let body = serde_json::to_vec(arguments).map_err(protocol)?;
        let mut stream = self.open()?;
        // HTTP/1.0: the answer ends where the connection does, so that a line is a line and no chunk.
        let head = format!("POST /{command} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).map_err(self.failed("write"))?;
        let mut reader = BufReader::new(stream);
        let status = self.head(&mut reader)?;
        while let Some(line) = self.line(&mut reader)? {
            match serde_json::from_str(&line).map_err(protocol)? {
                Line::Progress(value) => progress(serde_json::from_value(value).map_err(protocol)?),
                Line::Done(value) => return serde_json::from_value(value).map_err(protocol),
                Line::Error(message) => return Err(Error::Refused(message)),
            }
        }
        Err(Error::Protocol(format!("it ended before it was done (status {status})")))
    }

    /// A command without progress.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn ask<R: DeserializeOwned>(&self, command: &str, arguments: &impl Serialize) -> Result<R> {
        self.call(command, arguments, |_: Value| {})
    }

    /// Reads the head of the answer, which only matters to people who debug.
    fn head(&self, reader: &mut BufReader<UnixStream>) -> Result<String> {
        let status = self.line(reader)?.ok_or_else(|| Error::Protocol("none".to_owned()))?;
        while self.line(reader)?.is_some_and(|line| !line.is_empty()) {}
        Ok(status.split(' ').nth(1).unwrap_or_default().to_owned())
    }

    fn line(&self, reader: &mut BufReader<UnixStream>) -> Result<Option<String>> {
        let mut line = String::new();
        match reader.by_ref().take(LONGEST_LINE).read_line(&mut line).map_err(self.failed("read"))? {
            0 => Ok(None),
            _ => Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned())),
        }
    }
}
