//! A store for each case, a busybox base in it, and builds that tell what happened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use builder::{Built, Cached, Cancel, Error, Event, Image, LocalContext, Options, Output, Request, Sandbox, Telling};
use graph::pattern::IgnoreRules;
use graph::{Copy, Edge, Exec, FileAction, FileOp, Graph, Meta, Op, Source, Unpack};
use oci::{ContainerConfig, Descriptor, Digest, History, ImageConfig, Manifest, Platform, Raw, media_type};
use runtime::ladder;
use runtime::spawner::Spawner;
use runtime::tree::IdPolicy;
use runtime::tree::view::{LayerSource, TreeView};
use store::{Blobs, Store};

/// What all cases share.
pub(crate) struct World {
    busybox: PathBuf,
    sandbox: Sandbox,
}

impl World {
    /// `None` where there is no busybox, or nothing may be run.
    pub(crate) fn new() -> Option<Self> {
        let busybox = fixtures::busybox()?;
        let dir = tempfile::tempdir().unwrap();
        let probe = ladder::probe(dir.path());
        ladder::enter(&probe.rung).unwrap();
        let spawner = Spawner::fork().unwrap();
        Some(Self { busybox, sandbox: Sandbox { probe, spawner, emulation: runtime::emulation::Emulation::default() } })
    }

    pub(crate) fn busybox(&self) -> &Path {
        &self.busybox
    }

    /// A place of its own for one case.
    pub(crate) fn bench(&self) -> Bench<'_> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        fs::create_dir(dir.path().join("context")).unwrap();
        let mut bench = Bench { world: self, dir, store, base: None, client: None };
        let tar = fixtures::Layer::busybox(&self.busybox).finish();
        bench.base = Some(bench.image(&[tar]));
        bench
    }
}

/// One case's store and context.
pub(crate) struct Bench<'w> {
    world: &'w World,
    dir: tempfile::TempDir,
    pub(crate) store: Store,
    base: Option<(Digest, ImageConfig)>,
    /// Fetches what a base lacks.
    pub(crate) client: Option<remote::Client>,
}

/// What a build did.
pub(crate) struct Told {
    pub(crate) result: Result<Built, Error>,
    pub(crate) events: Vec<Event>,
}

impl Told {
    /// Names of steps that ran.
    pub(crate) fn ran(&self) -> Vec<String> {
        let names = self.names();
        let started = self.events.iter().filter_map(|event| match event {
            Event::Started { vertex, .. } => Some(names[vertex.0 as usize].clone()),
            _ => None,
        });
        started.collect()
    }

    /// Why steps missed.
    pub(crate) fn whys(&self) -> Vec<String> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Missed { why, .. } => Some(why.clone()),
                _ => None,
            })
            .collect()
    }

    /// All that was written.
    pub(crate) fn output(&self) -> String {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Log { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    fn names(&self) -> Vec<String> {
        self.events
            .iter()
            .find_map(|event| match event {
                Event::Plan { vertices, .. } => Some(vertices.iter().map(|vertex| vertex.name.clone()).collect()),
                _ => None,
            })
            .unwrap_or_default()
    }

    pub(crate) fn built(&self) -> &Built {
        match &self.result {
            Ok(built) => built,
            Err(error) => panic!("{}: {}", chain(error), self.output()),
        }
    }

    pub(crate) fn error(&self) -> String {
        chain(self.result.as_ref().err().unwrap())
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

impl Bench<'_> {
    /// Puts an image of these layer tars into the store.
    pub(crate) fn image(&self, tars: &[Vec<u8>]) -> (Digest, ImageConfig) {
        let blobs = self.store.blobs();
        let layers: Vec<Descriptor> = tars
            .iter()
            .map(|tar| Descriptor::new(media_type::OCI_LAYER, blobs.put_bytes(tar).unwrap(), tar.len() as u64))
            .collect();
        let mut config = ImageConfig::empty(&Platform::host());
        config.rootfs.diff_ids = layers.iter().map(|layer| oci::DiffId::new(layer.digest)).collect();
        config.history = layers.iter().map(|_| History { created_by: "base".into(), ..History::default() }).collect();
        config.config = ContainerConfig { env: vec!["PATH=/bin".into()], ..ContainerConfig::default() };
        let raw = Raw::encode(config.clone()).unwrap();
        let digest = blobs.put_bytes(raw.bytes()).unwrap();
        let children: Vec<Digest> = layers.iter().map(|layer| layer.digest).chain([digest]).collect();
        let manifest = Manifest::new(Descriptor::new(media_type::OCI_CONFIG, digest, raw.bytes().len() as u64), layers);
        let manifest = blobs.put_bytes(Raw::encode(manifest).unwrap().bytes()).unwrap();
        self.store.index().put_edges(&manifest, &children).unwrap();
        self.store.index().put_image("docker.io/library/base:latest", &manifest, 0).unwrap();
        (manifest, config)
    }

    /// Lets plans stand on another image.
    pub(crate) fn stand_on(&mut self, manifest: Digest, config: ImageConfig) {
        self.base = Some((manifest, config));
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.world.sandbox
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.dir.path().join("context")
    }

    /// Writes a file of the context.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn plan(&self) -> Plan {
        let (manifest, config) = self.base.clone().unwrap();
        let mut graph = Graph::new();
        let image = Source::Image { reference: "busybox".into(), manifest, platform: Platform::host() };
        let base = graph.add(Op::Source(image), vec![], named("FROM busybox"));
        let context = graph.add(Op::Source(Source::Local { name: "context".into() }), vec![], named("context"));
        let scratch = graph.add(Op::Source(Source::Scratch), vec![], named("FROM scratch"));
        Plan { graph, base, context, scratch, config, steps: 0 }
    }

    pub(crate) fn request(&self, plan: &Plan, root: Edge) -> Request {
        Request {
            graph: plan.graph.clone(),
            images: vec![Image {
                platform: Platform::host(),
                root,
                config: plan.config.clone(),
                base: Some(plan.base),
            }],
            contexts: vec![LocalContext { name: "context".into(), dir: self.context(), rules: IgnoreRules::none() }],
            options: Options { telling: Telling { explain: true, ..Telling::default() }, ..Options::default() },
            tags: vec!["docker.io/library/app:latest".into()],
            outputs: vec![Output::Image],
        }
    }

    pub(crate) fn build(&self, plan: &Plan, root: Edge) -> Told {
        self.run(self.request(plan, root))
    }

    pub(crate) fn run(&self, request: Request) -> Told {
        self.run_with(request, &Cancel::new())
    }

    pub(crate) fn run_with(&self, request: Request, cancel: &Cancel) -> Told {
        let (sender, receiver) = mpsc::channel();
        // A request crosses a memfd in real life.
        let request: Request = serde_json::from_slice(&serde_json::to_vec(&request).unwrap()).unwrap();
        let result =
            builder::run_in(&request, &self.store, Some(&self.world.sandbox), self.client.as_ref(), sender, cancel);
        Told { result, events: receiver.into_iter().collect() }
    }

    pub(crate) fn cached(&self, plan: &Plan, root: Edge) -> Cached {
        builder::cached(&self.request(plan, root), &self.store).unwrap()
    }

    /// The tree of a built image.
    pub(crate) fn view(&self, built: &Built) -> TreeView {
        let manifest = built.manifest().unwrap().digest;
        let manifest: Raw<Manifest> = Raw::parse(self.store.blobs().read_bytes(&manifest, 1 << 20).unwrap()).unwrap();
        let config = self.config(built);
        assert_eq!(manifest.value().layers.len(), config.rootfs.diff_ids.len());
        let sources = config.rootfs.diff_ids.iter().map(|diff_id| self.layer(diff_id)).collect();
        TreeView::new(sources).unwrap()
    }

    fn layer(&self, diff_id: &oci::DiffId) -> LayerSource {
        let id = self.store.index().layer_by_diff_id(diff_id).unwrap().unwrap();
        let row = self.store.index().layer(&id).unwrap().unwrap();
        if row.tree.is_some() {
            let path = self.store.layout().tree(&id);
            let single = matches!(self.world.sandbox.probe.rung, ladder::Rung::SingleId);
            let ids = if single { IdPolicy::Recorded(path.clone()) } else { IdPolicy::Keep };
            return LayerSource::Tree { root: sys::Root::open(path).unwrap(), toc: None, ids };
        }
        let tar = fs::File::open(self.store.layout().blob(&row.blob.unwrap().digest)).unwrap();
        let toc = layer::Toc::scan(tar.try_clone().unwrap()).unwrap();
        LayerSource::Blob { toc: toc.into(), tar }
    }

    pub(crate) fn config(&self, built: &Built) -> ImageConfig {
        let digest = built.id().unwrap();
        Raw::parse(self.store.blobs().read_bytes(&digest, 1 << 20).unwrap()).unwrap().into_value()
    }

    /// The content of a file of a built image.
    pub(crate) fn read(&self, built: &Built, path: &str) -> String {
        read(&self.view(built), path)
    }
}

pub(crate) fn read(view: &TreeView, path: &str) -> String {
    use std::io::Read as _;
    let node = view.lookup(path.as_bytes(), true).unwrap().unwrap_or_else(|| panic!("{path} is not in the image"));
    let mut text = String::new();
    view.open(&node).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn named(name: &str) -> Meta {
    Meta { name: name.into(), ..Meta::default() }
}

/// A Dockerfile in the making.
pub(crate) struct Plan {
    pub(crate) graph: Graph,
    pub(crate) base: Edge,
    pub(crate) context: Edge,
    pub(crate) scratch: Edge,
    pub(crate) config: ImageConfig,
    steps: usize,
}

impl Plan {
    fn meta(&mut self, text: &str) -> Meta {
        self.steps += 1;
        named(&format!("[{}/9] {text}", self.steps))
    }

    pub(crate) fn layer(&mut self, by: &str) {
        self.config.history.push(History { created_by: by.into(), ..History::default() });
    }

    pub(crate) fn run(&mut self, on: Edge, command: &str) -> Edge {
        self.exec(on, vec![], exec(command))
    }

    pub(crate) fn exec(&mut self, on: Edge, others: Vec<Edge>, exec: Exec) -> Edge {
        let text = format!("RUN {}", exec.args.last().unwrap());
        let meta = self.meta(&text);
        self.layer(&text);
        self.graph.add(Op::Exec(exec), [vec![on], others].concat(), meta)
    }

    pub(crate) fn copy(&mut self, on: Edge, from: Edge, sources: &[&str], dest: &str) -> Edge {
        self.file(on, vec![from], vec![FileAction::Copy(copy(sources, dest))])
    }

    pub(crate) fn file(&mut self, on: Edge, others: Vec<Edge>, actions: Vec<FileAction>) -> Edge {
        let text = match &actions[0] {
            FileAction::Copy(copy) => format!("COPY {} {}", copy.sources.join(" "), copy.dest),
            FileAction::WriteFile { path, .. } => format!("COPY <<EOF {path}"),
            FileAction::MakeDir { path, .. } => format!("WORKDIR {path}"),
        };
        let meta = self.meta(&text);
        self.layer(&text);
        self.graph.add(Op::File(FileOp { actions }), [vec![on], others].concat(), meta)
    }
}

pub(crate) fn exec(command: &str) -> Exec {
    Exec {
        args: vec!["/bin/sh".into(), "-c".into(), command.into()],
        env: vec![("PATH".into(), "/bin".into())],
        cwd: "/".into(),
        ..Exec::default()
    }
}

pub(crate) fn copy(sources: &[&str], dest: &str) -> Copy {
    Copy {
        input: 1,
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        dest: dest.trim_end_matches('/').to_owned() + if dest == "/" { "/" } else { "" },
        dest_is_dir: dest.ends_with('/') || sources.len() > 1,
        owner: None,
        mode: None,
        exclude: vec![],
        parents: false,
        unpack: Unpack::Never,
        keep_owner: false,
    }
}

/// Whether a path exists on the host.
pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
