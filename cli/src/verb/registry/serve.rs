//! `estiba registry serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use registry_server::auth::{Gate, Surroundings};
use registry_server::config::{Address, Addresses, Config, Override};
use registry_server::control::{COMMANDS, Reload, Running, Service};
use registry_server::observe::log;
use registry_server::observe::side::Side;
use registry_server::server::{self, Listener};
use registry_server::tls::Tls;
use registry_server::{OpenError, Registry};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::{Place, not_ours, setting};
use crate::context::Context;
use crate::error::{Error, Result, While};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry serve
  estiba registry serve --addr 127.0.0.1:5000 --addr unix:/run/registry.sock --root /srv/registry
  estiba registry serve --addr :443 --tls-cert r.crt --tls-key r.key --anonymous pull
  estiba registry serve --config registry.toml --check

Signals: TERM and INT let requests under way end (a second one does not wait); HUP reads again what may change.";

/// Threads for what blocks: disk and database. Each sleeps most of the time.
const BLOCKING_THREADS: usize = 128;

/// Arguments of `estiba registry serve`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// Where to listen; repeatable: 127.0.0.1:5000 (the default), [::1]:5000, :5000, unix:/path
    #[arg(long, value_name = "ADDRESS")]
    addr: Vec<String>,
    /// Take manifests that reference what is absent
    #[arg(long)]
    allow_sparse: bool,
    /// What everybody may do without logging in: none, pull, push, all
    #[arg(long, value_name = "WHAT")]
    anonymous: Option<String>,
    /// The certificate and its chain, PEM: turns TLS on
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The form of the log: text or json
    #[arg(long, value_name = "FORM")]
    log_format: Option<String>,
    /// How much is logged: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Only say whether the configuration is right
    #[arg(long)]
    check: bool,
}

impl Args {
    fn overrides(&self) -> Vec<Override> {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let mut all = Vec::new();
        if !self.addr.is_empty() {
            all.push(setting("--addr", "server.address", self.addr.clone()));
        }
        if self.allow_sparse {
            all.push(setting("--allow-sparse", "storage.sparse", true));
        }
        let texts = [
            ("--anonymous", "auth.anonymous", self.anonymous.clone()),
            ("--tls-cert", "server.tls.certificate", self.tls_cert.as_ref().map(text)),
            ("--tls-key", "server.tls.key", self.tls_key.as_ref().map(text)),
            ("--log-format", "log.format", self.log_format.clone()),
            ("--log-level", "log.level", self.log_level.clone()),
        ];
        all.extend(texts.into_iter().filter_map(|(option, field, value)| Some(setting(option, field, value?))));
        all
    }

    fn load(&self) -> Result<Config> {
        self.place.load(self.overrides())
    }
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let config = args.load()?;
    if args.check {
        check(&config)?;
        ui::out("ok\n")?;
        return Ok(0);
    }
    let root = Place::root(&config)?;
    let sink = Box::new(|line: &str| ui::err(line));
    let log = log::install(&config.log, sink).map_err(Error::failed)?;
    let workers = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from).max(2),
        workers => workers,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .during("start the server's threads")?;
    let code = runtime.block_on(serve(args, config, root, log));
    // What still blocks, after a second signal, is not waited for.
    runtime.shutdown_background();
    code
}

/// Opens what the configuration names, and makes nothing.
fn check(config: &Config) -> Result {
    if config.server.tls.enabled() {
        Tls::open(&config.server.tls)?;
    }
    let mut auth = config.auth.clone();
    // It would make its key.
    auth.token.enabled = false;
    let local = config.server.address.0.iter().all(Address::is_local);
    let surroundings = Surroundings { url: config.server.url.clone(), local, ..Surroundings::default() };
    Gate::open(&auth, &surroundings).map(drop).map_err(|error| not_opened(OpenError::Gate(error)))
}

async fn serve(args: Args, mut config: Config, root: PathBuf, log: log::Handle) -> Result<u8> {
    // From here on a signal ends it in order.
    let signals = Signals::new()?;
    let listeners = listeners(&config)?;
    // Who may come in depends on where the doors really are.
    config.server.address = Addresses(listeners.iter().map(|listener| listener.address().clone()).collect());
    let tls = if config.server.tls.enabled() { Some(Arc::new(Tls::open(&config.server.tls)?)) } else { None };
    let addresses = shown(&listeners, tls.is_some());
    let registry = Registry::open(config, &root).map_err(not_opened)?;
    let stop = registry.stop.clone();
    let reload = reload(args, Arc::clone(&registry), tls.clone(), log);
    let running = Arc::new(Running {
        registry: Arc::clone(&registry),
        addresses: addresses.clone(),
        root: root.clone(),
        started: registry_server::time::Instant::now(),
        reload,
    });
    let service = Service::bind(&root, Arc::clone(&running), COMMANDS).map_err(not_ours)?;
    let control = tokio::spawn(service.run());
    let side = match registry.config.metrics.address {
        Some(address) => Some(
            Side::bind(address)
                .await
                .map_err(|source| not_bound(server::ListenError { address: address.to_string(), source }))?,
        ),
        None => None,
    };
    let watched = side.as_ref().map(Side::address).transpose()?;
    let side = side.map(|side| tokio::spawn(side.run(Arc::clone(&registry))));
    let jobs = registry_server::jobs::start(&registry);
    announce(&registry, &addresses, watched, &root);
    let served = tokio::spawn(server::serve(Arc::clone(&registry), listeners, tls, stop.clone()));
    notify(&[sd_notify::NotifyState::Ready]);
    let watchdog = tokio::spawn(watchdog());
    let code = signals.obey(&running, served).await;
    jobs.finish().await;
    watchdog.abort();
    if let Some(side) = side {
        side.abort();
    }
    control.abort();
    // The socket goes with its task.
    drop(control.await);
    code
}

/// The sockets of the service manager where there are any, else those of the configuration.
fn listeners(config: &Config) -> Result<Vec<Listener>> {
    let inherited = sd_notify::listen_fds().during("sockets of the service manager")?;
    let mut listeners = Vec::new();
    for number in inherited {
        listeners.push(Listener::inherited(sys::inherit::duplicate(number)?)?);
    }
    if !listeners.is_empty() {
        return Ok(listeners);
    }
    config.server.address.0.iter().map(|address| Listener::bind(address).map_err(not_bound)).collect()
}

fn not_bound(error: server::ListenError) -> Error {
    let hint = match error.source.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program listens there: end it, or give another --addr (port 0 takes a free one)"
        }
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 and folders of others need rights: give another --addr, or use systemd's socket"
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: 0.0.0.0 and [::] are all that it has"
        }
        _ => return Error::from(error),
    };
    Error::from(error).hint(hint)
}

pub(super) fn not_opened(error: OpenError) -> Error {
    match error {
        OpenError::Root(error) => not_ours(error),
        OpenError::Gate(registry_server::auth::Error::Unguarded) => Error::from(error).hint(
            "say who may use it: `[auth] htpasswd` or `policy` in the configuration, or --anonymous=pull \
             (everybody may read) or --anonymous=all",
        ),
        error => Error::from(error),
    }
}

fn shown(listeners: &[Listener], tls: bool) -> Vec<String> {
    let scheme = if tls { "https" } else { "http" };
    let address = |listener: &Listener| match listener.address() {
        Address::Tcp(address) => format!("{scheme}://{address}"),
        unix @ Address::Unix(_) => unix.to_string(),
    };
    listeners.iter().map(address).collect()
}

/// Says where it is, what it serves, and to whom. Nobody may be reading: that is no failure.
fn announce(registry: &Registry, addresses: &[String], watched: Option<SocketAddr>, root: &std::path::Path) {
    let auth = &registry.config.auth;
    let who = match auth.anonymous {
        None if !auth.is_configured() => {
            "everybody may do everything (no [auth]; only this machine reaches it)".to_owned()
        }
        Some(anonymous) => format!("without login: {}", format!("{anonymous:?}").to_lowercase()),
        None => "without login: none".to_owned(),
    };
    let mut lines: String = addresses.iter().map(|address| format!("listening on {address}\n")).collect();
    if let Some(address) = watched {
        lines.push_str(&format!("metrics on http://{address}/metrics\n"));
    }
    drop(ui::out(&format!("{lines}data in {}\n{who}\nready\n", root.display())));
}

/// Reads again, by the same command line: the level of the log, and the files that the configuration names.
fn reload(args: Args, registry: Arc<Registry>, tls: Option<Arc<Tls>>, log: log::Handle) -> Reload {
    Box::new(move || {
        let config = args.load().map_err(|error| error.message().to_owned())?;
        log.reload(&config.log)?;
        if let Some(tls) = &tls {
            tls.reload();
        }
        registry.reload()
    })
}

/// The signals that a server obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let take = |kind| signal(kind).during("take signals");
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }

    /// Until the server has ended. A second signal to stop does not wait for it.
    async fn obey(mut self, running: &Arc<Running>, mut served: JoinHandle<()>) -> Result<u8> {
        let stop = &running.registry.stop;
        let mut ending = false;
        loop {
            let number = tokio::select! {
                // In this order: a server that has nothing to finish ends at once, and its end is told all the same.
                biased;
                // By a signal, or by the control socket.
                () = stop.cancelled(), if !ending => {
                    ending = true;
                    notify(&[sd_notify::NotifyState::Stopping]);
                    tracing::info!("ending: requests under way may finish; a second signal does not wait");
                    continue;
                }
                ended = &mut served => {
                    return ended.map(|()| 0).map_err(|error| Error::failed(format!("the server ended: {error}")));
                }
                _ = self.terminate.recv() => number(SignalKind::terminate()),
                _ = self.interrupt.recv() => number(SignalKind::interrupt()),
                _ = self.hang_up.recv() => {
                    read_again(running).await;
                    continue;
                }
            };
            if stop.is_cancelled() {
                return Ok(128 + number);
            }
            stop.cancel();
        }
    }
}

fn number(kind: SignalKind) -> u8 {
    u8::try_from(kind.as_raw_value()).unwrap_or_default()
}

async fn read_again(running: &Arc<Running>) {
    let again = Arc::clone(running);
    let reloading = sd_notify::NotifyState::monotonic_usec_now();
    notify(&[Some(sd_notify::NotifyState::Reloading), reloading.ok()].into_iter().flatten().collect::<Vec<_>>());
    let done = tokio::task::spawn_blocking(move || (again.reload)()).await;
    match done {
        Ok(Ok(())) => tracing::info!("read again"),
        Ok(Err(error)) => tracing::error!(error, "not read again: what was read before still holds"),
        Err(error) => tracing::error!(%error, "reading again failed"),
    }
    notify(&[sd_notify::NotifyState::Ready]);
}

/// Tells the service manager, where there is one.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager was not told");
    }
}

/// Tells the service manager that threads still take work, in half the time after which it would end us.
async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval(limit / 2);
    loop {
        ticks.tick().await;
        if tokio::task::spawn_blocking(|| ()).await.is_ok() {
            notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}
