//! `estiba registry serve`.

use std::path::{Path, PathBuf};

use registry_server::Registry;
use registry_server::config::{Address, Addresses, Config, default_root};
use registry_server::server::{self, Listener};
use registry_server::tls::Tls;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry serve                               At 127.0.0.1:5000, for this machine
  estiba registry serve --addr :5000 --root /srv/reg  For others, too

The data directory is --root, else $ESTIBA_REGISTRY_ROOT, else $XDG_DATA_HOME/estiba-registry; root: /var/lib/estiba-registry";

/// Arguments of `estiba registry serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where to listen: HOST:PORT or unix:/PATH; may be given again
    #[arg(long, value_name = "ADDRESS")]
    addr: Vec<Address>,
    /// Accept manifests that reference what is absent
    #[arg(long)]
    allow_sparse: bool,
}

/// Runs the verb until a signal ends it.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let mut config = Config::default();
    if !args.addr.is_empty() {
        config.server.address = Addresses(args.addr);
    }
    config.storage.sparse |= args.allow_sparse;
    let user = rustix::process::geteuid().as_raw();
    let root = context.given_root().map(Path::to_owned).or_else(|| default_root(|name| std::env::var_os(name), user));
    let Some(root) = root else {
        return Err(Error::failed("there is no place for the registry's data").hint("give --root DIR"));
    };
    let workers = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from).max(2),
        workers => workers,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(128)
        .enable_all()
        .build()?;
    runtime.block_on(serve(config, root))?;
    Ok(0)
}

async fn serve(config: Config, root: PathBuf) -> Result {
    let registry = Registry::open(config, &root)?;
    let mut listeners = Vec::new();
    for address in &registry.config.server.address.0 {
        let listener = Listener::bind(address)?;
        ui::err(&format!("listening on {}\n", listener.address()));
        listeners.push(listener);
    }
    let tls = registry.config.server.tls.enabled().then(|| Tls::open(&registry.config.server.tls)).transpose()?;
    let stop = CancellationToken::new();
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        asked.cancel();
    });
    server::serve(registry, listeners, tls.map(Into::into), stop).await;
    Ok(())
}
