//! Every path of the store on disk.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use oci::Digest;

use crate::LayerId;

/// The format that this program reads and writes. A store with a greater number is refused.
pub const VERSION: u32 = 1;

/// The store's paths:
///
/// ```text
/// <root>/version                 "1"
///        index.sqlite            the index (WAL; many processes)
///        blobs/<alg>/<hex>       synced, immutable
///        ingest/<random>         partial writes, each locked by its writer
///        tocs/<layer id>         the header record of a layer, opaque here
///        splits/<layer id>       what a pulled layer's tar holds besides its files' content, opaque here
///        compressed/<alg>/<hex>  compressed forms of layers: cache, not synced, compared again when they are read
///        downloads/<alg>-<hex>   what came of a layer whose download has not ended, locked while it goes on
///        snapshots/<id>/         owned by the runtime
///        stat/<context id>       stat cache files, owned by the builder
///        mounts/<hash of id>/    cache mounts
///        logs/<build id>/        one file a step
///        contexts/<key>/         what was fetched for builds: files of the web, checkouts, unpacked contexts
///        git/<hash of url>/      what repositories were fetched from
///        leases/<pid-random>     locked by a live process; lists what it uses
///        pins/<name>             what lasts pins by name, as a lease does: a container's layers
///        locks/<key>             held by the one process that runs a cache key
///        used/<key>              when a build that found everything last did, and its keys
///        room/                   what is taken of the limit, while there is one
///        config.toml             what holds for every process: the limit
///        collect.lock            held by a garbage collector, shared by whoever pins
///        rung                    the remembered privilege probe
/// ```
///
/// Stores that an earlier version laid have no `splits`, `compressed`, `downloads`, `contexts`, `pins` and `git`: whoever writes there makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout under `root`. Touches nothing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The store's own directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file that holds the format's version.
    pub fn version(&self) -> PathBuf {
        self.root.join("version")
    }

    /// The SQLite index.
    pub fn index(&self) -> PathBuf {
        self.root.join("index.sqlite")
    }

    /// The folder of all blobs.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// One blob's file.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        blob_path(&self.blobs(), digest)
    }

    /// The folder of partial writes.
    pub fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }

    /// The folder of header records.
    pub fn tocs(&self) -> PathBuf {
        self.root.join("tocs")
    }

    /// One layer's header record.
    pub fn toc(&self, id: &LayerId) -> PathBuf {
        self.tocs().join(id.as_str())
    }

    /// The folder of tar splits.
    pub fn splits(&self) -> PathBuf {
        self.root.join("splits")
    }

    /// One layer's tar split.
    pub fn split(&self, id: &LayerId) -> PathBuf {
        self.splits().join(id.as_str())
    }

    /// The folder of compressed forms.
    pub fn compressed(&self) -> PathBuf {
        self.root.join("compressed")
    }

    /// One compressed form.
    pub fn compressed_blob(&self, digest: &Digest) -> PathBuf {
        blob_path(&self.compressed(), digest)
    }

    /// The folder of downloads.
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    /// One download.
    pub fn download(&self, digest: &Digest) -> PathBuf {
        self.downloads().join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    /// The folder of snapshots.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// One snapshot's folder: a layer's tree is `fs` inside it.
    pub fn snapshot(&self, id: &str) -> PathBuf {
        self.snapshots().join(id)
    }

    /// The tree of a layer that has the tree form.
    pub fn tree(&self, id: &LayerId) -> PathBuf {
        self.snapshot(id.as_str()).join("fs")
    }

    /// The folder of stat cache files.
    pub fn stat(&self) -> PathBuf {
        self.root.join("stat")
    }

    /// The stat cache file of one build context.
    pub fn stat_cache(&self, context_id: &str) -> PathBuf {
        self.stat().join(context_id)
    }

    /// The folder of cache mounts.
    pub fn mounts(&self) -> PathBuf {
        self.root.join("mounts")
    }

    /// The folder of one cache mount. Its id is what users type, so it is hashed into a safe name.
    pub fn cache_mount(&self, id: &str) -> PathBuf {
        self.mounts().join(Digest::sha256(id.as_bytes()).hex())
    }

    /// The folder of what was fetched for builds.
    pub fn contexts(&self) -> PathBuf {
        self.root.join("contexts")
    }

    /// One thing that was fetched.
    pub fn context(&self, key: &str) -> PathBuf {
        self.contexts().join(key)
    }

    /// The folder of repositories.
    pub fn git(&self) -> PathBuf {
        self.root.join("git")
    }

    /// The folder of build logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The folder of lasting pins.
    pub fn pins(&self) -> PathBuf {
        self.root.join("pins")
    }

    /// The folder of leases.
    pub fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    /// The folder of key locks.
    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// The lock between a garbage collector and those who pin.
    pub fn collect_lock(&self) -> PathBuf {
        self.root.join("collect.lock")
    }

    /// The folder of when results were last used.
    pub fn used(&self) -> PathBuf {
        self.root.join("used")
    }

    /// The folder of what is taken of the limit.
    pub fn room(&self) -> PathBuf {
        self.root.join("room")
    }

    /// What holds for every process that works on the store.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// The remembered privilege probe.
    pub fn rung(&self) -> PathBuf {
        self.root.join("rung")
    }

    /// Every folder that a new store gets.
    pub(crate) fn folders(&self) -> [PathBuf; 14] {
        [
            self.blobs().join("sha256"),
            self.ingest(),
            self.tocs(),
            self.snapshots(),
            self.stat(),
            self.mounts(),
            self.logs(),
            self.leases(),
            self.locks(),
            self.blobs().join("sha512"),
            self.splits(),
            self.compressed().join("sha256"),
            self.compressed().join("sha512"),
            self.downloads(),
        ]
    }
}

/// Where `digest` lives under a folder of blobs.
pub(crate) fn blob_path(blobs: &Path, digest: &Digest) -> PathBuf {
    let mut path = blobs.join(digest.algorithm().name());
    path.push(digest.hex());
    path
}

/// Where the store is when the user names no place: `$ESTIBA_ROOT`, else `/var/lib/estiba` for
/// root, else `$XDG_DATA_HOME/estiba`, else `~/.local/share/estiba`. The environment is handed in, since only the
/// command line reads it. `None`: an ordinary user without a home.
pub fn default_root(variable: impl Fn(&str) -> Option<OsString>, effective_uid: u32) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(root) = set("ESTIBA_ROOT") {
        return Some(root);
    }
    if effective_uid == 0 {
        return Some(PathBuf::from("/var/lib/estiba"));
    }
    // The XDG specification says that a relative path is to be ignored.
    set("XDG_DATA_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("estiba"))
}
