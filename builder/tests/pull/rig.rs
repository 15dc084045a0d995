//! A store, a client, and what they said.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use builder::transfer::pull::{PullError, PullOptions, Pulled, pull};
use builder::transfer::{Event, Sink, Step};
use fixtures::{Asked, Image, Layer, Made};
use oci::{Digest, Reference};
use remote::{Client, Options, Retry};
use store::Store;

/// A store of its own, and a client without patience.
pub(crate) struct Rig {
    pub(crate) store: Arc<Store>,
    pub(crate) client: Client,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) dir: tempfile::TempDir,
}

/// Whether trees with owners can be made here; the others say so and end.
pub(crate) fn is_root() -> bool {
    if !rustix::process::geteuid().is_root() {
        fixtures::skip("only root unpacks without a sandbox");
        return false;
    }
    true
}

pub(crate) fn client() -> Client {
    let first_wait = Duration::from_millis(1);
    let retry = Retry { attempts: 3, first_wait, longest_wait: Duration::from_millis(10) };
    Client::new(Options { retry, idle_timeout: Duration::from_secs(2), ..Options::default() })
}

impl Rig {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path().join("store")).unwrap());
        Self { store, client: client(), events: Arc::default(), dir }
    }

    pub(crate) fn sink(&self) -> Sink {
        let events = self.events.clone();
        Arc::new(move |event| events.lock().unwrap().push(event))
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter_map(|event| if let Event::Item { step, .. } = event { Some(step.clone()) } else { None })
            .collect()
    }

    pub(crate) fn pull(&self, reference: &str) -> Result<Pulled, PullError> {
        self.pull_with(reference, &PullOptions::default())
    }

    pub(crate) fn pull_with(&self, reference: &str, options: &PullOptions) -> Result<Pulled, PullError> {
        let reference: Reference = reference.parse().unwrap();
        run(pull(&self.store, &self.client, &reference, options, None, &self.sink()))
    }

    /// That nothing of a failed pull can be seen: no name, no layer, no tree, no blob.
    pub(crate) fn assert_nothing(&self) {
        let index = self.store.index();
        assert_eq!(index.images().unwrap(), []);
        assert_eq!(index.layers().unwrap(), []);
        let layout = self.store.layout();
        for folder in [layout.snapshots(), layout.splits(), layout.blobs().join("sha256"), layout.downloads()] {
            let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    /// The tree of the layer with this DiffId.
    pub(crate) fn tree(&self, diff_id: &str) -> std::path::PathBuf {
        let diff_id = oci::DiffId::new(diff_id.parse::<Digest>().unwrap());
        let id = self.store.index().layer_by_diff_id(&diff_id).unwrap().unwrap();
        self.store.layout().tree(&id)
    }
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// Bytes that do not shrink.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..size.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(size).collect()
}

/// An image of two small layers.
pub(crate) fn small() -> Made {
    let base = Layer::new().dir("etc", 0o755).file("etc/base", 0o640, b"base").link("link", "etc/base");
    let top = Layer::new().dir("etc", 0o755).file("etc/top", 0o644, b"top").file("etc/.wh.base", 0o644, b"");
    Image::empty().layer(base).layer(top).made().unwrap().gzipped().unwrap()
}

/// An image with one layer of `size` bytes and more.
pub(crate) fn large(size: usize) -> Made {
    Image::empty().layer(Layer::new().file("noise", 0o644, &noise(size))).made().unwrap()
}

pub(crate) fn diff_ids(made: &Made) -> Vec<String> {
    let list = made.config["rootfs"]["diff_ids"].as_array().unwrap();
    list.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// How often a layer's blob was asked for.
pub(crate) fn blob_gets(asked: &[Asked], digest: &str) -> usize {
    asked.iter().filter(|asked| asked.is("GET", digest)).count()
}
