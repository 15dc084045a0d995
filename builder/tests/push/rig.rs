//! A store with images, a client, and registries.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use builder::import;
use builder::transfer::pull::{PullOptions, Pulled, pull};
use builder::transfer::push::{PushError, PushOptions, Pushed, push};
use builder::transfer::{Event, Sink, Step};
use fixtures::{Image, Layer};
use oci::{Digest, ImageConfig, Manifest, Platform, Raw};
use registry_server::Registry;
use registry_server::config::{Address, Addresses, Config};
use registry_server::server::{self, Listener};
use remote::{Accept, Client, Options, Repository, Retry};
use store::Store;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A registry of the house at a free port.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _root: TempDir,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start() -> Self {
        let mut config = Config::default();
        config.server.address = Addresses(vec![Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))]);
        let root = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::channel();
        let (path, token) = (root.path().to_owned(), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let registry = Registry::open(config.clone(), &path).unwrap();
                let listener = Listener::bind(&config.server.address.0[0]).unwrap();
                let Address::Tcp(address) = *listener.address() else { panic!("tests listen at TCP addresses") };
                tell.send(address).unwrap();
                let _ = server::serve(Arc::clone(&registry), vec![listener], None, token).await;
            });
            runtime.shutdown_background();
        });
        Self { address: told.recv().unwrap(), _root: root, stop, thread: Some(thread) }
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.thread.take());
    }
}

/// A store of its own, and a client without patience.
pub(crate) struct Rig {
    pub(crate) store: Arc<Store>,
    pub(crate) client: Client,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) dir: TempDir,
}

pub(crate) fn client() -> Client {
    let first_wait = Duration::from_millis(1);
    let retry = Retry { attempts: 4, first_wait, longest_wait: Duration::from_millis(50) };
    Client::new(Options { retry, idle_timeout: Duration::from_secs(3), ..Options::default() })
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
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

    /// What became of items since the last look.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        events
            .into_iter()
            .filter_map(|event| if let Event::Item { step, .. } = event { Some(step) } else { None })
            .collect()
    }

    /// An image of plain layers, as a build leaves it.
    pub(crate) fn image(&self, layers: &[&[u8]]) -> Digest {
        let layers =
            layers.iter().enumerate().map(|(number, bytes)| Layer::new().file(&format!("file{number}"), 0o644, bytes));
        let image = layers.fold(Image::empty(), Image::layer);
        let dir = self.dir.path().join(format!("layout-{}", store::LayerId::mint()));
        image.write_layout(&dir, "v1").unwrap();
        import::layout(&self.store, &dir, Some("v1"), &Platform::host()).unwrap()
    }

    pub(crate) fn push(&self, image: &Digest, to: &str) -> Result<Pushed, PushError> {
        self.push_with(image, to, &PushOptions::default())
    }

    pub(crate) fn push_with(&self, image: &Digest, to: &str, options: &PushOptions) -> Result<Pushed, PushError> {
        run(push(&self.store, &self.client, image, &to.parse().unwrap(), options, None, &self.sink()))
    }

    pub(crate) fn pull(&self, from: &str, options: &PullOptions) -> Pulled {
        run(pull(&self.store, &self.client, &from.parse().unwrap(), options, None, &self.sink())).unwrap()
    }

    pub(crate) fn config(&self, image: &Digest) -> ImageConfig {
        use store::Blobs as _;
        let read = |digest: &Digest| self.store.blobs().read_bytes(digest, 1 << 20).unwrap();
        let manifest: Raw<Manifest> = Raw::parse(read(image)).unwrap();
        Raw::parse(read(&manifest.value().config.digest)).unwrap().into_value()
    }
}

/// A repository, called directly.
pub(crate) fn repository(name: &str) -> Repository {
    let reference: oci::Reference = name.parse().unwrap();
    client().registry(reference.registry()).unwrap().repository(reference.repository())
}

/// The manifest that a tag names.
pub(crate) fn manifest(name: &str) -> (Manifest, Digest) {
    let reference: oci::Reference = name.parse().unwrap();
    let tag = reference.tag().cloned().unwrap_or("latest".parse().unwrap());
    let fetched = run(repository(name).manifest_by_tag(&tag, &Accept::default())).unwrap();
    (Raw::<Manifest>::parse(fetched.bytes.to_vec()).unwrap().into_value(), fetched.digest)
}

/// A blob of a registry, whole and compared with its digest.
pub(crate) fn blob(name: &str, digest: &Digest) -> Vec<u8> {
    run(async {
        let mut blob = repository(name).blob(digest, None).await.unwrap().verified(None);
        let mut bytes = Vec::new();
        while let Some(piece) = blob.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    })
}

/// That the image at a tag is whole: every layer is there, and unpacks to its DiffId.
pub(crate) fn assert_whole(name: &str, config: &ImageConfig) {
    use std::io::Read as _;
    let (manifest, _) = manifest(name);
    assert_eq!(manifest.layers.len(), config.rootfs.diff_ids.len());
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let bytes = blob(name, &layer.digest);
        assert_eq!(bytes.len() as u64, layer.size);
        let (_, mut plain) = layer::Compression::detecting(Box::new(std::io::Cursor::new(bytes))).unwrap();
        let mut tar = Vec::new();
        plain.read_to_end(&mut tar).unwrap();
        assert_eq!(Digest::sha256(&tar), *diff_id.digest(), "{}", layer.media_type);
    }
    blob(name, &manifest.config.digest);
}

/// Bytes that shrink well.
pub(crate) fn text(size: usize) -> Vec<u8> {
    (0..u32::MAX).flat_map(|number| format!("line {number} of a text\n").into_bytes()).take(size).collect()
}

/// Bytes that do not shrink.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..size.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(size).collect()
}
