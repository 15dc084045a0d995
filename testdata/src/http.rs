//! An HTTP/1.1 server that says exactly what a test tells it to, lies and garbage included. A thread a connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A request, read whole.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Such as `GET`.
    pub method: String,
    /// The path and the query.
    pub target: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body; as much as came, where the connection ended early.
    pub body: Vec<u8>,
    /// Whether the body was whole.
    pub whole: bool,
}

impl Asked {
    /// A header's value, empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    /// The path without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A value of the query as it was written, `%` and all.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether this is the request.
    #[must_use]
    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }
}

/// What an answer's body does.
#[derive(Clone, Debug)]
pub enum Body {
    /// It is these bytes, all of them.
    Whole(Vec<u8>),
    /// It is announced as so many bytes; then these come, and the connection ends.
    Announced(u64, Vec<u8>),
    /// It has no announced length and never ends.
    Endless,
    /// It comes in pieces of so many bytes, with a pause before each.
    Dripping(Vec<u8>, usize, Duration),
    /// Nothing of an answer is written but these bytes; then the connection ends.
    Raw(Vec<u8>),
    /// No answer ever comes.
    Never,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

impl Answer {
    /// An answer with a whole body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer::with(status, Body::Whole(body.into()))
    }

    /// An answer with a body that behaves in some way.
    #[must_use]
    pub fn with(status: u16, body: Body) -> Answer {
        Answer { status, headers: Vec::new(), body }
    }

    /// Adds a header, as it is written.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl ToString) -> Answer {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    ended: Arc<AtomicBool>,
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

impl Host {
    /// Listens on a free port of the loopback device.
    ///
    /// # Errors
    /// No port can be had.
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> io::Result<Host> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (asked, ended) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicBool>::default());
        let (log, over, answer): (_, _, Arc<Script>) = (Arc::clone(&asked), Arc::clone(&ended), Arc::new(answer));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (log, over, answer) = (Arc::clone(&log), Arc::clone(&over), Arc::clone(&answer));
                thread::spawn(move || {
                    // A client that went away is the client's affair.
                    let _ = serve(&stream, &log, &over, &*answer);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(Host { address, asked, ended })
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What came so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests with this method and this in their target came.
    #[must_use]
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|asked| asked.is(method, part)).count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: &TcpStream, log: &Mutex<Vec<Asked>>, over: &AtomicBool, answer: &Script) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader, stream)? {
        let whole = asked.whole;
        log.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        let answer = answer(&asked);
        if over.load(Ordering::Relaxed) || !whole || !write(stream, &asked, &answer, over)? {
            break;
        }
    }
    Ok(())
}

/// The next request; nothing where the client has no more.
fn read(reader: &mut impl BufRead, stream: &TcpStream) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let mut asked = Asked {
        method: words.next().unwrap_or_default().to_owned(),
        target: words.next().unwrap_or_default().to_owned(),
        ..Asked::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        asked.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    if asked.header("expect") == "100-continue" {
        let mut stream = stream;
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    asked.whole = if asked.header("transfer-encoding") == "chunked" {
        read_chunks(reader, &mut asked.body).is_ok()
    } else {
        let length: u64 = asked.header("content-length").parse().unwrap_or(0);
        reader.take(length).read_to_end(&mut asked.body)? as u64 == length
    };
    Ok(Some(asked))
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        if size > 0 && reader.take(size).read_to_end(body)? as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        reader.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// Whether the connection lives on.
fn write(mut stream: &TcpStream, asked: &Asked, answer: &Answer, over: &AtomicBool) -> io::Result<bool> {
    let named = answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = match &answer.body {
        Body::Raw(bytes) => {
            stream.write_all(bytes)?;
            return Ok(false);
        }
        Body::Never => {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
            return Ok(false);
        }
        Body::Whole(bytes) | Body::Dripping(bytes, ..) => Some(bytes.len() as u64),
        Body::Announced(length, _) => Some(*length),
        Body::Endless => None,
    };
    let mut head = format!("HTTP/1.1 {} Said\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    match length {
        _ if named || matches!(answer.status, 204 | 304) => {}
        Some(length) => head += &format!("Content-Length: {length}\r\n"),
        None => head += "Connection: close\r\n",
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if asked.method == "HEAD" {
        return Ok(true);
    }
    match &answer.body {
        Body::Whole(bytes) => stream.write_all(bytes)?,
        Body::Dripping(bytes, size, pause) => {
            for piece in bytes.chunks(*size) {
                thread::sleep(*pause);
                stream.write_all(piece)?;
            }
        }
        Body::Announced(_, bytes) => {
            stream.write_all(bytes)?;
            return Ok(false);
        }
        Body::Endless => loop {
            stream.write_all(&[b'e'; 64 << 10])?;
        },
        Body::Raw(_) | Body::Never => {}
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_answers_said() {
        let host = Host::start(|asked| match asked.path() {
            "/endless" => Answer::with(200, Body::Endless),
            "/short" => Answer::with(200, Body::Announced(10, b"abc".to_vec())),
            path => Answer::new(200, format!("{} {path} {:?}", asked.method, asked.query("a"))).header("X-Y", 7),
        })
        .unwrap();
        let ask = |request: &str| {
            let mut stream = TcpStream::connect(host.socket()).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut said = vec![0; 4000];
            let mut length = 0;
            while let Ok(count @ 1..) = stream.read(&mut said[length..]) {
                length += count;
                if length == said.len() || said[..length].ends_with(b"Some(\"1\")") || said[..length].ends_with(b"None")
                {
                    break;
                }
            }
            String::from_utf8(said[..length].to_vec()).unwrap()
        };
        let chunked = "PUT /x?b=2&a=1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let said = ask(chunked);
        assert!(said.ends_with("X-Y: 7\r\nContent-Length: 16\r\n\r\nPUT /x Some(\"1\")"), "{said}");
        assert_eq!(host.asked()[0].body, b"abc");
        assert_eq!(host.count("PUT", "/x"), 1);
        assert!(ask("GET /short HTTP/1.1\r\n\r\n").ends_with("Content-Length: 10\r\n\r\nabc"));
        assert_eq!(ask("GET /endless HTTP/1.1\r\n\r\n").len(), 4000);
    }
}
