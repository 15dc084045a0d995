//! What pushes: bare blocking sockets, so that the client takes as little of the machine as it can.
//!
//! Each push is what real clients send: POST for a place, PUT of the bytes with their digest. Bytes are one
//! shared tail behind eight bytes of a push's own; digests are computed before the clock runs.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use oci::Digest;

/// A large blob.
pub(super) const LARGE: usize = 10 << 20;
/// A small one.
pub(super) const SMALL: usize = 4 << 10;
/// The repository that everything is pushed to.
pub(super) const REPOSITORY: &str = "bench/w8";

/// One connection to a server on loopback.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

/// An answer: its status, and the headers that matter here.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) link: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn expect(self, status: u16, what: &str) -> io::Result<Answer> {
        if self.status == status {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(&self.body);
        Err(io::Error::other(format!("{what}: answered {} {body}", self.status)))
    }
}

impl Connection {
    pub(super) fn open(port: u16) -> io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Sends the head of a request.
    pub(super) fn begin(&mut self, method: &str, path: &str, kind: &str, length: usize) -> io::Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        self.stream.get_mut().write_all(head.as_bytes())
    }

    /// Sends more of a body.
    pub(super) fn body(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// One request and its answer.
    pub(super) fn ask(&mut self, method: &str, path: &str, kind: &str, parts: &[&[u8]]) -> io::Result<Answer> {
        self.begin(method, path, kind, parts.iter().map(|part| part.len()).sum())?;
        for part in parts {
            self.body(part)?;
        }
        self.answer()
    }

    /// Reads an answer with a known length.
    pub(super) fn answer(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no HTTP: {line:?}")))?;
        let mut answer = Answer { status, location: String::new(), link: None, body: Vec::new() };
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap_or(0),
                "location" => answer.location = path_of(value).to_owned(),
                "link" => answer.link = value.split(['<', '>']).nth(1).map(|link| path_of(link).to_owned()),
                _ => {}
            }
        }
        answer.body.resize(length, 0);
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    /// Pushes a blob.
    pub(super) fn push(&mut self, digest: &Digest, parts: &[&[u8]]) -> io::Result<()> {
        let begun = self.ask("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), BYTES, &[])?.expect(202, "POST")?;
        let and = if begun.location.contains('?') { '&' } else { '?' };
        self.ask("PUT", &format!("{}{and}digest={digest}", begun.location), BYTES, parts)?.expect(201, "PUT")?;
        Ok(())
    }

    /// Pushes a manifest of one config and one layer by a tag, or whatever `query` says.
    pub(super) fn manifest(&mut self, reference: &str, bytes: &[u8]) -> io::Result<()> {
        let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
        self.ask("PUT", &path, MANIFEST, &[bytes])?.expect(201, "PUT of a manifest")?;
        Ok(())
    }
}

const BYTES: &str = "application/octet-stream";
/// The type of the manifests here.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Some servers answer with whole URLs.
fn path_of(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]))
}

/// What is to be pushed, ready: heads of eight bytes, the tail that they share, and digests.
#[derive(Debug)]
pub(super) struct Blobs {
    tail: Vec<u8>,
    ready: Vec<([u8; 8], Digest)>,
}

impl Blobs {
    /// `count` blobs of `size` bytes. `seed` makes them others than those of other rounds.
    pub(super) fn new(size: usize, count: usize, seed: u64) -> Blobs {
        // Bytes that no file system and no server can make smaller.
        let mut state = seed | 1;
        let tail: Vec<u8> = (0..size.saturating_sub(8))
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        let ready = (0..count as u64).map(|number| {
            let head = (seed << 32 | number).to_le_bytes();
            let mut hasher = oci::Hasher::sha256();
            hasher.update(&head);
            hasher.update(&tail);
            (head, hasher.finish())
        });
        Blobs { ready: ready.collect(), tail }
    }

    /// The digest and the bytes of one.
    pub(super) fn get(&self, at: usize) -> (&Digest, [&[u8]; 2]) {
        let (head, digest) = &self.ready[at];
        (digest, [head, &self.tail])
    }
}

/// Pushes by `clients` connections at once until all blobs are there or `limit` has passed; gives pushes per second.
pub(super) fn load(port: u16, blobs: Arc<Blobs>, clients: usize, limit: Duration) -> io::Result<f64> {
    let next = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Barrier::new(clients + 1));
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let (blobs, next, gate) = (Arc::clone(&blobs), Arc::clone(&next), Arc::clone(&gate));
            thread::spawn(move || {
                let connection = Connection::open(port);
                gate.wait();
                let mut connection = connection?;
                let started = Instant::now();
                let mut done = 0;
                while started.elapsed() < limit {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= blobs.ready.len() {
                        break;
                    }
                    let (digest, parts) = blobs.get(at);
                    connection.push(digest, &parts)?;
                    done += 1;
                }
                io::Result::Ok(done)
            })
        })
        .collect();
    gate.wait();
    let started = Instant::now();
    let mut done = 0;
    for thread in threads {
        done += thread.join().map_err(|_| io::Error::other("a client panicked"))??;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}
