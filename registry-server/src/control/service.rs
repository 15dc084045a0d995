//! The owner's side of the control socket: a command a request, its answer in JSON lines.

use std::convert::Infallible;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::{Error, Result, SOCKET};

/// Arguments are a few words.
const MOST_ARGUMENTS: usize = 64 << 10;
/// Lines that may wait for a reader; a command waits when it reads slowly.
const WAITING_LINES: usize = 64;

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    /// On the way.
    Progress(Value),
    /// The end: it worked.
    Done(Value),
    /// The end: it did not.
    Error(String),
}

/// What a command gives: its answer, or words for people.
pub type Reply = std::result::Result<Value, String>;

/// Takes reports of a command at work. `false`: nobody listens any more, end when you can.
pub type Progress<'a> = dyn FnMut(Value) -> bool + 'a;

/// One command of the control socket. Blocking; it runs off the reactor.
pub struct Command<S: 'static> {
    /// Its name: the path of the request.
    pub name: &'static str,
    /// What it does with its arguments (`null` where none were given).
    pub run: fn(&Arc<S>, Value, &mut Progress<'_>) -> Reply,
}

/// A table of commands, served on a socket.
pub struct Service<S: 'static> {
    state: Arc<S>,
    commands: &'static [Command<S>],
    listener: UnixListener,
    path: PathBuf,
}

impl<S: Send + Sync + 'static> Service<S> {
    /// Listens in a data directory that this process owns: what lies there of an earlier owner is replaced.
    /// Needs a runtime around it.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn bind(root: &Path, state: Arc<S>, commands: &'static [Command<S>]) -> Result<Self> {
        let path = root.join(SOCKET);
        let failed = |call| {
            let path = path.clone();
            move |source| Error::Io { call, path, source }
        };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed("remove")(error)),
            _ => {}
        }
        let listener = with_short_path(&path, |path| UnixListener::bind(path)).map_err(failed("bind"))?;
        // The data directory keeps others out meanwhile.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(failed("chmod"))?;
        Ok(Self { state, commands, listener, path })
    }

    /// Answers until it is dropped or aborted.
    pub async fn run(self) -> Infallible {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if trusted(&stream) => {
                    tokio::spawn(connection(stream, Arc::clone(&self.state), self.commands));
                }
                Ok(_) => tracing::warn!("another user called on the control socket"),
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "accept on the control socket");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl<S> Drop for Service<S> {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Whether the kernel says that the caller is our user, or root.
fn trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn connection<S: Send + Sync + 'static>(stream: UnixStream, state: Arc<S>, commands: &'static [Command<S>]) {
    let service = hyper::service::service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(request, state, commands).await) }
    });
    // A caller that goes away is no news.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer<S: Send + Sync + 'static>(
    request: Request<Incoming>,
    state: Arc<S>,
    commands: &'static [Command<S>],
) -> Response<Body> {
    let name = request.uri().path().trim_start_matches('/').to_owned();
    let (lines, receiver) = mpsc::channel(WAITING_LINES);
    let status = match (arguments(request).await, commands.iter().find(|command| command.name == name)) {
        (Ok(arguments), Some(command)) => {
            tokio::task::spawn_blocking(move || work(command.run, &state, arguments, &lines));
            StatusCode::OK
        }
        (_, None) => end(&lines, StatusCode::NOT_FOUND, format!("this registry knows no command `{name}`")),
        (Err(error), _) => end(&lines, StatusCode::BAD_REQUEST, error),
    };
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|line| (line, receiver))
    });
    let body = BodyExt::boxed_unsync(StreamBody::new(stream.map(|line: Bytes| Ok(Frame::data(line)))));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/x-ndjson"));
    response
}

fn end(lines: &mpsc::Sender<Bytes>, status: StatusCode, message: String) -> StatusCode {
    // There is room for the one line.
    drop(lines.try_send(written(&Line::Error(message))));
    status
}

async fn arguments(request: Request<Incoming>) -> std::result::Result<Value, String> {
    let body = Limited::new(request.into_body(), MOST_ARGUMENTS).collect().await.map_err(|error| error.to_string())?;
    let bytes = body.to_bytes();
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

fn work<S>(
    run: fn(&Arc<S>, Value, &mut Progress<'_>) -> Reply,
    state: &Arc<S>,
    arguments: Value,
    lines: &mpsc::Sender<Bytes>,
) {
    let mut progress = |value| lines.blocking_send(written(&Line::Progress(value))).is_ok();
    let line = match run(state, arguments, &mut progress) {
        Ok(value) => Line::Done(value),
        Err(message) => Line::Error(message),
    };
    // Nobody may be there to hear it.
    drop(lines.blocking_send(written(&line)));
}

fn written(line: &Line) -> Bytes {
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    Bytes::from(bytes)
}

/// A socket's address holds 107 bytes of path: a longer one is reached through its folder's descriptor.
pub(super) fn with_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    const LONGEST: usize = 107;
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if path.as_os_str().len() > LONGEST => {
            let folder = std::fs::File::open(folder)?;
            act(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
        }
        _ => act(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use serde_json::json;

    use super::super::{Client, Owner, RootLock};
    use super::*;

    const COMMANDS: &[Command<u32>] = &[
        Command {
            name: "count",
            run: |state, arguments, progress| {
                let to = arguments["to"].as_u64().ok_or("no number")?;
                for number in 0..to {
                    if !progress(json!(number)) {
                        return Err("gone".to_owned());
                    }
                }
                Ok(json!({ "state": **state, "to": to }))
            },
        },
        Command { name: "fail", run: |_, _, _| Err("it does not work".to_owned()) },
    ];

    #[tokio::test(flavor = "multi_thread")]
    async fn commands_report_and_answer() {
        let dir = tempfile::tempdir().unwrap();
        // Deeper than a socket's address may say.
        let root = dir.path().join("d".repeat(120));
        let _lock = RootLock::take(&root).unwrap();
        std::fs::write(root.join(SOCKET), "left behind").unwrap();
        let service = Service::bind(&root, Arc::new(7_u32), COMMANDS).unwrap();
        assert_eq!(std::fs::metadata(root.join(SOCKET)).unwrap().mode() & 0o777, 0o600);
        let running = tokio::spawn(service.run());
        let folder = root.clone();
        tokio::task::spawn_blocking(move || {
            let Owner::Running(client) = Owner::take(&folder).unwrap() else { panic!("the lock is ours") };
            let mut seen = Vec::new();
            let answer: Value = client.call("count", &json!({ "to": 1000 }), |number: u64| seen.push(number)).unwrap();
            assert_eq!(answer, json!({ "state": 7, "to": 1000 }));
            assert_eq!(seen, (0..1000).collect::<Vec<_>>());
            let failed = |command, arguments: Value| client.ask::<Value>(command, &arguments).unwrap_err().to_string();
            assert_eq!(failed("fail", Value::Null), "it does not work");
            assert_eq!(failed("nothing", Value::Null), "this registry knows no command `nothing`");
            assert_eq!(failed("count", Value::Null), "no number");
            let large = json!({ "to": "x".repeat(MOST_ARGUMENTS) });
            assert!(Client::connect(&folder).unwrap().ask::<Value>("count", &large).is_err());
        })
        .await
        .unwrap();
        running.abort();
        drop(running.await);
        assert!(!root.join(SOCKET).exists());
    }
}
