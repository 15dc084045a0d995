//! What a failed step left: its file system as it stood, as a layer of its own, kept until the next failure of the same
//! project or a prune. What mounts held (caches, secrets, binds) is no part of it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use graph::{Exec, Location, Network};
use oci::Digest;
use runtime::ladder::Probe;
use runtime::snapshot::{self, ActiveSnapshot};
use serde::{Deserialize, Serialize};
use store::{LayerId, LayerRow, Lease, Record, Store, TreeForm};

use crate::Error;
use crate::build::Build;
use crate::cache::key::Chain;
use crate::cache::record::Records;
use crate::layers::{self, Layers};
use crate::op::exec::ExecError;
use crate::solver::state::V;

/// A step that failed, and the surroundings it ran in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The step as people read it.
    pub name: String,
    /// Where the Dockerfile says it.
    pub location: Option<Location>,
    /// The code it ended with.
    pub exit_code: i32,
    /// Its file system: layers, base first, its own changes last.
    pub layers: Vec<LayerId>,
    /// What ran.
    pub args: Vec<String>,
    /// Its environment, without the values of secrets.
    pub env: Vec<(String, String)>,
    /// Its working directory.
    pub cwd: String,
    /// Its user.
    pub user: String,
    /// Its host name.
    pub hostname: Option<String>,
    /// Its network.
    pub network: Network,
}

/// The file beside the logs that tells of it.
const FILE: &str = "failed.json";

/// Keeps what a step that ended with `code` left.
pub(crate) fn keep(
    build: &Build<'_>,
    v: V,
    exec: &Exec,
    code: i32,
    active: ActiveSnapshot,
    id: LayerId,
    chain: &Chain,
) -> Result<(), ExecError> {
    drop(active.commit()?);
    let tree = TreeForm { boot: Some(build.records.boot().to_owned()) };
    let row = LayerRow { id: id.clone(), tree: Some(tree), blob: None, size: 0, created: build.now };
    build.store.index().put_layer(&row).map_err(store::Error::from)?;
    let meta = build.vertex(v).meta();
    let failed = Failed {
        name: meta.name.clone(),
        location: meta.location.clone(),
        exit_code: code,
        layers: chain.with(id).0,
        args: exec.args.clone(),
        env: exec.env.clone(),
        cwd: exec.cwd.clone(),
        user: exec.user.clone(),
        hostname: exec.hostname.clone(),
        network: exec.network,
    };
    // A record keeps its layers, and goes as records do; the project's next failure takes its place.
    let (preimage, key) = key(build);
    let before = build.store.index().record(&key).map_err(store::Error::from)?;
    let record = Record { layers: failed.layers.clone(), created: build.now, preimage, vertex_name: String::new() };
    build.store.index().put_records(&[(key, record)]).map_err(store::Error::from)?;
    if let Some(old) = before.and_then(|record| record.layers.last().cloned()) {
        drop_tree(build.store, &old)?;
    }
    let path = build.logs.join(FILE);
    let io = |call| {
        let path = path.clone();
        move |source| ExecError::Io { call, path, source }
    };
    let text = serde_json::to_vec(&failed).map_err(|error| io("write")(error.into()))?;
    // Build arguments may be in its environment: it is for the user alone.
    let options = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    options.and_then(|mut file| file.write_all(&text)).map_err(io("write"))
}

/// One failure is kept for each folder that is built.
fn key(build: &Build<'_>) -> (String, Digest) {
    let main = build.request.contexts.iter().find(|context| context.name == "context");
    let project = main.map(|context| context.dir.display().to_string()).unwrap_or_default();
    let preimage = format!("estiba failed step v1\nproject\t{project}\n");
    let key = Digest::sha256(preimage.as_bytes());
    (preimage, key)
}

/// Removes the tree of a failure that another one replaced, unless somebody looks at it: then a prune will.
fn drop_tree(store: &Store, id: &LayerId) -> Result<(), ExecError> {
    let (lock, pins) = store.collect()?;
    if !Chain::is_empty_layer(id) && !pins.names.contains(id.as_str()) {
        store.index().remove_layers(std::slice::from_ref(id)).map_err(store::Error::from)?;
        layers::remove(&store.layout().snapshot(id.as_str()))?;
    }
    drop(lock);
    Ok(())
}

impl Failed {
    /// What a build's failed step left; `None` where none failed.
    ///
    /// # Errors
    /// When the folder of logs cannot be read.
    pub fn of(store: &Store, build: &str) -> Result<Option<Failed>, Error> {
        let path = store.layout().logs().join(build).join(FILE);
        match fs::read(&path) {
            Ok(bytes) => {
                let read = serde_json::from_slice(&bytes);
                Ok(Some(read.map_err(|error| Error::other("read what the failed step left", error))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::other("read what the failed step left", error)),
        }
    }

    /// A writable tree over what it left, named `id`; what is written there goes with it. `lease` keeps what it stands on.
    ///
    /// # Errors
    /// When another failure took its place, or it was pruned.
    pub fn tree(&self, store: &Store, probe: &Probe, lease: &Lease, id: &str) -> Result<ActiveSnapshot, Error> {
        let other = |what: &'static str| move |error| Error::other(what, error);
        lease.pin(&[id]).map_err(other("pin the tree"))?;
        lease.pin(&self.layers).map_err(other("pin the tree"))?;
        let records = Records::new(store).map_err(other("open the cache"))?;
        for layer in self.layers.iter().filter(|layer| !Chain::is_empty_layer(layer)) {
            if records.layer(layer).map_err(other("look up a layer"))?.is_none() {
                let gone = "a later failure took its place, or it was pruned, or the machine was started again";
                return Err(Error::other("the failed step's file system is gone", std::io::Error::other(gone)));
            }
        }
        let layers = Layers::new(store, &records, Some(&probe.rung));
        let lowers =
            layers.trees(&Chain(self.layers.clone())).map_err(|error| Error::other("lay out the tree", error))?;
        let snapshotter = snapshot::for_overlay(&probe.overlay, &store.layout().snapshots());
        snapshotter.prepare(id, &lowers).map_err(|error| Error::other("lay out the tree", error))
    }
}

/// Whether a build left one.
pub fn is_kept(logs: &Path) -> bool {
    logs.join(FILE).exists()
}
