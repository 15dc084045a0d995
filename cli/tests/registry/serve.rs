//! `estiba registry serve`: a real server, its words, its signals and its sockets.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::runner::Env;

/// A registry that runs.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said until it was ready.
    pub(crate) said: String,
    /// `127.0.0.1:PORT`, where it listens there.
    pub(crate) address: String,
}

impl Server {
    /// Starts one on a free port, with its data in `registry` below the working folder.
    pub(crate) fn start(env: &Env, arguments: &[&str]) -> Self {
        let fixed = ["registry", "serve", "--addr", "127.0.0.1:0", "--root", "registry"];
        Self::spawn(&mut env.command(&[&fixed[..], arguments].concat()))
    }

    /// Waits until it is ready.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.ends_with("ready\n") {
            if stdout.read_line(&mut said).unwrap() == 0 {
                let mut error = String::new();
                child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
                panic!("it ended: {said}{error}");
            }
        }
        let address = said.lines().find_map(|line| line.strip_prefix("listening on http://")).unwrap_or_default();
        Self { address: address.to_owned(), child, stdout, said }
    }

    /// The status line and the body of the answer to a request; the connection is closed then.
    pub(crate) fn request(&self, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    /// How many requests came for `endpoint` (`blob`, `manifest.get`, … by its beginning), as it counts itself.
    pub(crate) fn counted(&self, method: &str, endpoint: &str) -> u64 {
        let (_, body) = self.request("GET /metrics");
        let (first, second) = (format!("requests_total{{endpoint=\"{endpoint}"), format!("method=\"{method}\""));
        let ours = body.lines().filter(|line| line.contains(&first) && line.contains(&second));
        ours.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits until it ends; gives its exit code and what it logged.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        let mut error = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        (self.child.wait().unwrap().code(), error)
    }

    /// Ends it by a signal.
    pub(crate) fn stop(self) -> (Option<i32>, String) {
        self.signal("-TERM");
        self.ended()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until `done`, for a while.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_says_where_and_for_whom() {
    let env = Env::new();
    let server = Server::start(&env, &[]);
    let expected = format!(
        "listening on http://{}\ndata in {}\neverybody may do everything (no [auth]; only this machine reaches it)\nready\n",
        server.address,
        env.work().join("registry").display()
    );
    assert_eq!(server.said, expected);
    assert_eq!(server.request("GET /v2/").0, "HTTP/1.1 200 OK");
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("INFO  ending: requests under way may finish"), "{log}");
    assert!(!env.work().join("registry/control.sock").exists());
}

#[test]
fn several_addresses_and_a_socket() {
    let env = Env::new();
    let path = env.work().join("registry.sock");
    let unix = format!("unix:{}", path.display());
    let server = Server::start(&env, &["--addr", &unix, "--addr", "[::1]:0", "--anonymous", "pull"]);
    assert!(server.said.contains(&format!("listening on {unix}\n")), "{}", server.said);
    assert!(server.said.contains("listening on http://[::1]:"), "{}", server.said);
    assert!(server.said.contains("without login: pull\n"), "{}", server.said);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
}

#[test]
fn what_stands_in_its_way_is_named_with_the_next_step() {
    let env = Env::new();
    let server = Server::start(&env, &[]);
    let taken = env.fails(1, &["registry", "serve", "--addr", &server.address, "--root", "other"]);
    let expected = format!(
        "error: cannot listen at {}: Address already in use (os error 98)\n hint: another program listens there: end it, or give another --addr (port 0 takes a free one)\n",
        server.address
    );
    assert_eq!(taken, expected);
    assert!(!env.work().join("other").exists());
    let owned = env.fails(1, &["registry", "serve", "--addr", "127.0.0.1:0", "--root", "registry"]);
    let expected = format!(
        "error: {} is in use by another process (pid {})\n hint: another server or verb owns it: end it first, or give --root another folder\n",
        env.work().join("registry").display(),
        server.child.id()
    );
    assert_eq!(owned, expected);
    let file = env.write("file", "");
    let error = env.fails(1, &["registry", "serve", "--addr", "127.0.0.1:0", "--root", file.to_str().unwrap()]);
    assert!(error.contains(file.to_str().unwrap()) && error.contains("hint: give --root a folder"), "{error}");
    let error = env.fails(1, &["registry", "serve", "--addr", "0.0.0.0:0", "--root", "open"]);
    assert!(error.contains("beyond this machine") && error.contains("--anonymous=pull"), "{error}");
    assert!(env.fails(125, &["registry", "serve", "--tls-cert", "x"]).contains("--tls-key"));
}

#[test]
fn a_signal_lets_requests_end_and_a_second_does_not() {
    let env = Env::new();
    let server = Server::start(&env, &[]);
    let upload = |server: &Server| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        write!(stream, "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
            .unwrap();
        stream
    };
    let _waiting = upload(&server);
    std::thread::sleep(Duration::from_millis(200));
    server.signal("-TERM");
    until("it listens no more", || TcpStream::connect(&server.address).is_err());
    server.signal("-INT");
    let (code, log) = server.ended();
    assert_eq!(code, Some(130), "{log}");
    // The root is free at once.
    let (code, log) = Server::start(&env, &[]).stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_hang_up_reads_again() {
    let env = Env::new();
    env.write("r.toml", "[log]\nlevel = \"info\"\n");
    let server = Server::start(&env, &["--config", "r.toml"]);
    server.signal("-HUP");
    std::thread::sleep(Duration::from_millis(300));
    env.write("r.toml", "[log]\nlevl = \"info\"\n");
    server.signal("-HUP");
    std::thread::sleep(Duration::from_millis(300));
    let (code, log) = server.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("INFO  read again\n"), "{log}");
    assert!(log.contains("ERROR not read again: what was read before still holds"), "{log}");
}

#[test]
fn the_service_manager_hands_over_sockets_and_hears_how_it_goes() {
    let env = Env::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let notify = env.work().join("notify");
    let heard = std::os::unix::net::UnixDatagram::bind(&notify).unwrap();
    heard.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A shell becomes the server, so that the number of its process is known before: as systemd does it.
    let mut command = env.command(&[]);
    let binary = command.get_program().to_owned();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ exec \"$0\" registry serve --root registry"])
        .arg(binary)
        .env_clear()
        .envs(command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))))
        .env("LISTEN_FDS", "1")
        .env("NOTIFY_SOCKET", &notify)
        .env("WATCHDOG_USEC", "400000")
        .current_dir(env.work())
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .process_group(0);
    command.arg("unused");
    let server = Server::spawn(&mut shell);
    assert_eq!(server.address, address.to_string());
    let next = || {
        let mut buffer = [0; 1000];
        let length = heard.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert_eq!(next(), "READY=1\n");
    assert_eq!(next(), "WATCHDOG=1\n");
    assert_eq!(server.request("GET /v2/").0, "HTTP/1.1 200 OK");
    server.signal("-TERM");
    until("it says that it ends", || next() == "STOPPING=1\n");
    assert_eq!(server.ended().0, Some(0));
}

#[test]
fn a_configuration_is_checked() {
    let env = Env::new();
    env.write("r.toml", "[server]\naddress = \"127.0.0.1:0\"\n");
    assert_eq!(env.ok(&["registry", "serve", "--config", "r.toml", "--check"]), "ok\n");
    assert!(!env.work().join("registry").exists());
    env.write("r.toml", "[server]\nadress = \"127.0.0.1:0\"\n[gc]\ngrace = \"x\"\n");
    let said = env.fails(1, &["registry", "serve", "--config", "r.toml", "--check", "--anonymous", "some"]);
    let expected = "\
error: --anonymous: unknown variant `some`; there is none, pull, push, all
error: r.toml:4:9: `x` is not a time such as \"30s\", \"24h\" or \"7d\"
 4 | grace = \"x\"
   |         ^^^
error: r.toml:2:1: unknown field `adress`; did you mean `address`?
 2 | adress = \"127.0.0.1:0\"
   | ^^^^^^
error: 3 things are wrong with the configuration
 hint: `estiba registry config --default` shows every field
";
    assert_eq!(said, expected);
    let said = env
        .command(&["registry", "serve", "--check"])
        .env("ESTIBA_REGISTRY_GC_GRACES", "1h")
        .env("ESTIBA_REGISTRY_SERVER_URL", "x")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("did you mean `ESTIBA_REGISTRY_GC_GRACE`?"), "{said}");
}

#[test]
fn the_log_has_a_line_a_request() {
    let env = Env::new();
    env.write("r.toml", "[log]\nformat = \"json\"\nrequests = true\n");
    let server = Server::start(&env, &["--config", "r.toml"]);
    server.request("GET /v2/a%0a%22,%22status%22:200/tags/list");
    let (_, log) = server.stop();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let request = lines.iter().find(|line| line["target"] == "access").unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&request["method"], &request["status"]), (&"GET".into(), &400.into()));
    assert_eq!(request["path"], "/v2/a%0a%22,%22status%22:200/tags/list");
    assert_eq!(request["address"], "127.0.0.1");
    let server = Server::start(&env, &["--config", "r.toml", "--log-format", "text"]);
    server.request("GET /v2/");
    let (_, log) = server.stop();
    assert!(log.contains("INFO  access: answered request="), "{log}");
    assert!(log.contains(" address=127.0.0.1 ") && log.contains(" method=GET path=/v2/ status=200 "), "{log}");
}

/// An endpoint for events: gives what is posted to it, one request after the other.
fn next_event(listener: &TcpListener) -> serde_json::Value {
    let (mut stream, _) = listener.accept().unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && let Ok(event) = serde_json::from_str(body)
        {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            return event;
        }
    }
}

#[test]
fn events_survive_a_killed_server_and_a_receiver_that_is_down() {
    let env = Env::new();
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    env.write("r.toml", format!("[[webhook.endpoint]]\nurl = \"http://{down}/\"\nevents = [\"blob.pushed\"]\n"));
    let server = Server::start(&env, &["--config", "r.toml"]);
    let digest = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = format!("POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: 1\r\n\r\na").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    server.signal("-KILL");
    server.ended();
    let receiver = TcpListener::bind(down).unwrap();
    let again = Server::start(&env, &["--config", "r.toml"]);
    let event = next_event(&receiver);
    assert_eq!(event["type"], "dev.estiba.registry.blob.pushed");
    assert_eq!(event["subject"], format!("a@{digest}"));
    assert_eq!(again.stop().0, Some(0));
}

#[test]
fn the_units_of_systemd_are_sound() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../registry-server/systemd");
    let env = Env::new();
    let read = |name: &str| fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let passwords = env.write("htpasswd", "");
    let passwords = passwords.to_str().unwrap();
    let example = read("registry.toml");
    env.write("registry.toml", &example);
    let missing = env.fails(1, &["registry", "serve", "--check", "--config", "registry.toml"]);
    assert!(missing.contains("/etc/estiba-registry/htpasswd"), "{missing}");
    env.write("registry.toml", example.replace("/etc/estiba-registry/htpasswd", passwords));
    assert_eq!(env.ok(&["registry", "serve", "--check", "--config", "registry.toml"]), "ok\n");
    let service = read("estiba-registry.service").replace("/usr/bin/estiba", env!("CARGO_BIN_EXE_estiba"));
    let service = env.write("estiba-registry.service", service);
    let socket = env.write("estiba-registry.socket", read("estiba-registry.socket"));
    let Ok(said) = Command::new("systemd-analyze").args(["verify", "--man=no"]).args([service, socket]).output() else {
        return eprintln!("systemd-analyze is not here: the units were not verified");
    };
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
}
