//! The servers side by side, each with a data directory and a port of its own.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// This project's.
    Estiba,
    /// Debian's `docker-registry`: distribution 2.8.
    Distribution2,
    /// `registry` in the PATH: distribution 3.
    Distribution3,
    /// `olareg` in the PATH.
    Olareg,
    /// Files by sendfile, for what is only read: no registry at all.
    Nginx,
}

/// In the order of the table's columns.
pub(super) const SERVERS: [Server; 5] =
    [Server::Estiba, Server::Distribution2, Server::Distribution3, Server::Olareg, Server::Nginx];

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

impl Server {
    /// As the table names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Server::Estiba => "estiba",
            Server::Distribution2 => "distribution 2.8",
            Server::Distribution3 => "distribution 3",
            Server::Olareg => "olareg",
            Server::Nginx => "nginx",
        }
    }

    fn program(self, estiba: &Path) -> PathBuf {
        match self {
            Server::Estiba => estiba.to_owned(),
            Server::Distribution2 => "docker-registry".into(),
            Server::Distribution3 => "registry".into(),
            Server::Olareg => "olareg".into(),
            // Debian keeps it where ordinary users do not look.
            Server::Nginx if Path::new("/usr/sbin/nginx").exists() => "/usr/sbin/nginx".into(),
            Server::Nginx => "nginx".into(),
        }
    }

    /// Whether this machine has it.
    pub(super) fn there(self, estiba: &Path) -> bool {
        let flag = if self == Server::Nginx { "-v" } else { "--help" };
        let mut command = Command::new(self.program(estiba));
        command.arg(flag).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok()
    }

    /// The command that serves `root` at a port of loopback; what it reads first is written.
    fn command(self, estiba: &Path, root: &Path, port: u16) -> io::Result<Command> {
        fs::create_dir_all(root)?;
        let mut command = Command::new(self.program(estiba));
        let address = format!("127.0.0.1:{port}");
        match self {
            Server::Estiba => {
                command.args(["registry", "serve", "--addr", &address]).arg("--root").arg(root);
            }
            Server::Distribution2 | Server::Distribution3 => {
                let config = root.with_extension("yml");
                fs::write(&config, distribution(root, &address))?;
                command.arg("serve").arg(config).env("OTEL_TRACES_EXPORTER", "none");
            }
            Server::Olareg => {
                command.args(["serve", "--addr", "127.0.0.1", "--port", &port.to_string()]).arg("--dir").arg(root);
            }
            Server::Nginx => {
                let config = root.with_extension("conf");
                fs::write(&config, nginx(root, &address))?;
                command.arg("-c").arg(config);
            }
        }
        Ok(command)
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn start(self, estiba: &Path, root: &Path) -> io::Result<Running> {
        // The port is free once more before the server takes it: nobody else here asks for one.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = fs::File::create(root.with_extension("log"))?;
        let mut command = self.command(estiba, root, port)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = Instant::now();
        let mut running = Running { server: self, child: command.spawn()?, port, ready: Duration::ZERO };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > PATIENCE || running.child.try_wait()?.is_some() {
                let why = format!("{} does not start: see {}", self.name(), root.with_extension("log").display());
                return Err(io::Error::other(why));
            }
            thread::sleep(Duration::from_micros(500));
        }
        running.ready = started.elapsed();
        Ok(running)
    }
}

fn distribution(root: &Path, address: &str) -> String {
    format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: \"{address}\"}}\n",
        root.display()
    )
}

fn nginx(root: &Path, address: &str) -> String {
    format!(
        "daemon off; worker_processes auto; error_log stderr; pid {root}/pid;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ sendfile on; tcp_nopush on; access_log off; keepalive_requests 100000000;\n\
         client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;\n\
         uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;\n\
         server {{ listen {address}; root {root}; }} }}\n",
        root = root.display()
    )
}

/// A server that runs. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    /// Who it is.
    pub(super) server: Server,
    child: Child,
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    /// From its start until it listened.
    pub(super) ready: Duration,
}

impl Running {
    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Workers outlive a master that is killed, so it is asked.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > Duration::from_secs(5) {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A process and its children.
pub(super) fn family(id: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    std::iter::once(id).chain(children.split_whitespace().filter_map(|child| child.parse().ok())).collect()
}

/// RssAnon of a process, in KiB.
pub(super) fn anonymous(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?.split_whitespace().next()?.parse().ok()
}
