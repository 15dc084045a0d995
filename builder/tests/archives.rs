//! Images in and out: layouts, archives of docker and its like, tars. What other tools write we read, and they read ours.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use builder::import::{self, ImportError};
use builder::{Compress, CompressForm, Destination, Output, export};
use fixtures::{Image, Layer, skip};
use layer::{Entry, Kind, TarWriter};
use oci::{Descriptor, Digest, ImageConfig, Manifest, Platform, Raw, Reference, media_type};
use runtime::tree::{StreamOptions, stream};
use store::{Blobs, LayerId, LayerRow, Store, TreeForm};
use sys::Root;

struct World {
    folder: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A store of its own, for what comes back.
    fn other(&self) -> Store {
        Store::open(self.path(&format!("other-{}", LayerId::mint()))).unwrap()
    }

    /// The layout `layout` with one image of two layers, named `v1`.
    fn layout(&self) -> PathBuf {
        let base = Layer::new().dir("etc", 0o755).file("etc/motd", 0o644, b"hello\n").link("motd", "etc/motd");
        let top = Layer::new().dir("etc", 0o755).file("etc/.wh.motd", 0, b"").file("bin", 0o4755, &[7; 300_000]);
        let dir = self.path("layout");
        Image::empty().layer(base).layer(top).env("A", "1").write_layout(&dir, "v1").unwrap();
        dir
    }

    fn import(&self) -> Digest {
        import::layout(&self.store, &self.layout(), Some("v1"), &Platform::host()).unwrap()
    }

    fn save(&self, image: Digest, output: &Output) {
        export::save(&self.store, &[(vec![name("app:v1")], image)], output).unwrap();
    }
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn oci_tar(path: &Path) -> Output {
    Output::Oci { dest: Destination::Path(path.into()), tar: true, compression: Compress::default(), dress: None }
}

fn oci_dir(path: &Path) -> Output {
    Output::Oci { dest: Destination::Path(path.into()), tar: false, compression: Compress::default(), dress: None }
}

fn docker(path: &Path) -> Output {
    Output::Docker { dest: Destination::Path(path.into()), tar: true, compression: Compress::default(), dress: None }
}

fn open(path: &Path) -> Box<dyn Read + Send> {
    Box::new(File::open(path).unwrap())
}

fn manifest(store: &Store, digest: &Digest) -> Manifest {
    Raw::parse(store.blobs().read_bytes(digest, 1 << 20).unwrap()).unwrap().into_value()
}

fn config(store: &Store, digest: &Digest) -> ImageConfig {
    let config = manifest(store, digest).config.digest;
    Raw::parse(store.blobs().read_bytes(&config, 1 << 20).unwrap()).unwrap().into_value()
}

/// Whether the store can give the image: each layer has a row, a record and the right DiffId.
fn check(store: &Store, digest: &Digest) {
    let (manifest, config) = (manifest(store, digest), config(store, digest));
    assert_eq!(manifest.layers.len(), config.rootfs.diff_ids.len());
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let row = store.index().layer_by_blob(&layer.digest).unwrap().unwrap();
        assert_eq!(store.index().diff_id(&row.id, None).unwrap().unwrap(), (*diff_id, row.size));
        let toc = layer::Toc::decode(store.toc(&row.id).unwrap().unwrap().as_slice()).unwrap();
        assert!(!toc.entries().is_empty());
    }
    let children = store.index().edges(digest).unwrap();
    assert_eq!(children.len(), manifest.layers.len() + 1);
}

fn untouched(store: &Store) {
    assert!(store.index().layers().unwrap().is_empty());
    assert!(store.index().all_edges().unwrap().is_empty());
}

/// A tool on this machine, or a named skip.
fn tool(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        skip(&format!("{name} is not installed"));
    }
    found.then(|| Command::new(name))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_layout_comes_in_once() {
    let world = World::new();
    let first = world.import();
    check(&world.store, &first);
    assert_eq!(config(&world.store, &first).config.env.last().unwrap(), "A=1");
    // A second time nothing is read: the blobs may be gone.
    let layers = manifest(&world.store, &first).layers;
    fs::remove_file(world.path("layout/blobs/sha256").join(layers[1].digest.hex())).unwrap();
    let again = import::layout(&world.store, &world.path("layout"), None, &Platform::host()).unwrap();
    assert_eq!((again, world.store.index().layers().unwrap().len()), (first, 2));
    let by_digest = import::layout(&world.store, &world.path("layout"), Some(&first.to_string()), &Platform::host());
    assert_eq!(by_digest.unwrap(), first);
}

#[test]
fn what_goes_out_comes_back_the_same() {
    let world = World::new();
    let image = world.import();
    for output in [oci_tar(&world.path("oci.tar")), docker(&world.path("docker.tar"))] {
        world.save(image, &output);
        let (Output::Oci { dest: Destination::Path(path), .. } | Output::Docker { dest: Destination::Path(path), .. }) =
            &output
        else {
            unreachable!()
        };
        let bytes = fs::read(path).unwrap();
        world.save(image, &output);
        assert!(fs::read(path).unwrap() == bytes, "the same image gives the same bytes");
        let other = world.other();
        assert_eq!(import::archive(&other, open(path)).unwrap(), [(vec![name("app:v1")], image)]);
        check(&other, &image);
    }
    world.save(image, &oci_dir(&world.path("out")));
    let other = world.other();
    assert_eq!(import::layout(&other, &world.path("out"), Some("app:v1"), &Platform::host()).unwrap(), image);
    check(&other, &image);
    let left: Vec<_> = fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("partial")), "{left:?}");
}

#[test]
fn a_layout_keeps_its_other_images() {
    let world = World::new();
    let image = world.import();
    let dir = world.path("out");
    world.save(image, &oci_dir(&dir));
    world.save(image, &oci_dir(&dir));
    export::save(&world.store, &[(vec![name("other")], image)], &oci_dir(&dir)).unwrap();
    let index: oci::Index = Raw::parse(fs::read(dir.join("index.json")).unwrap()).unwrap().into_value();
    assert_eq!(index.manifests.len(), 2);
    let error = import::layout(&world.other(), &dir, Some("third"), &Platform::host()).unwrap_err().to_string();
    assert!(error.contains("no image is called \"third\"; there is docker.io/library/app:v1"), "{error}");
}

/// An image of one layer that is a tree only.
fn tree_image(world: &World) -> (Digest, LayerId) {
    let store = &world.store;
    let id = LayerId::mint();
    let tree = store.layout().tree(&id);
    fs::create_dir_all(tree.join("dir")).unwrap();
    fs::write(tree.join("dir/file"), "content").unwrap();
    std::os::unix::fs::symlink("dir/file", tree.join("link")).unwrap();
    let root = Root::open(&tree).unwrap();
    let (built, _) = stream(&root, &StreamOptions::default(), std::io::sink()).unwrap();
    store.put_toc(&id, true, |out| built.toc.encode(out).map_err(std::io::Error::other)).unwrap();
    let form = Some(TreeForm { boot: None });
    let row = LayerRow { id: id.clone(), tree: form, blob: None, size: built.size, created: 1 };
    store.index().put_layer_with_diff_id(&row, &built.diff_id).unwrap();
    let mut config = ImageConfig::empty(&Platform::host());
    config.rootfs.diff_ids.push(built.diff_id);
    let config = Raw::encode(config).unwrap();
    store.blobs().put_bytes(config.bytes()).unwrap();
    let layers = vec![Descriptor::new(media_type::OCI_LAYER, *built.diff_id.digest(), built.size)];
    let config = Descriptor::new(media_type::OCI_CONFIG, config.digest(), config.size());
    let manifest = Raw::encode(Manifest::new(config, layers)).unwrap();
    (store.blobs().put_bytes(manifest.bytes()).unwrap(), id)
}

#[test]
fn a_tree_goes_out_as_the_tar_that_its_diff_id_says() {
    let world = World::new();
    let (image, id) = tree_image(&world);
    world.save(image, &docker(&world.path("tree.tar")));
    let other = world.other();
    assert_eq!(import::archive(&other, open(&world.path("tree.tar"))).unwrap()[0].1, image);
    check(&other, &image);
    // Somebody wrote into the store.
    fs::write(world.store.layout().tree(&id).join("dir/file"), "CONTENT").unwrap();
    let target = world.path("changed.tar");
    assert!(export::save(&world.store, &[(vec![], image)], &docker(&target)).is_err());
    assert!(!target.exists());
    fs::remove_dir_all(world.store.layout().tree(&id)).unwrap();
    assert!(export::save(&world.store, &[(vec![], image)], &docker(&target)).is_err());
}

#[test]
fn layers_are_compressed_once_and_only_where_asked() {
    let world = World::new();
    let (image, _) = tree_image(&world);
    for (form, kind) in
        [(CompressForm::Gzip, media_type::OCI_LAYER_GZIP), (CompressForm::Zstd, media_type::OCI_LAYER_ZSTD)]
    {
        let compression = Compress { form: Some(form), level: None, force: false };
        let path = world.path("compressed.tar");
        let output = Output::Oci { dest: Destination::Path(path.clone()), tar: true, compression, dress: None };
        world.save(image, &output);
        let first = fs::read(&path).unwrap();
        world.save(image, &output);
        assert!(fs::read(&path).unwrap() == first);
        let diff_id = config(&world.store, &image).rootfs.diff_ids[0];
        assert_eq!(
            world.store.index().variants(&diff_id).unwrap().iter().filter(|known| known.media_type == kind).count(),
            1
        );
        let other = world.other();
        let compressed = import::archive(&other, open(&path)).unwrap()[0].1;
        assert_ne!(compressed, image);
        assert_eq!(manifest(&other, &compressed).layers[0].media_type, kind);
        assert_eq!(manifest(&other, &compressed).config, manifest(&world.store, &image).config);
        check(&other, &compressed);
        // What is compressed stays so, unless forced.
        let plain = |force| Compress { form: Some(CompressForm::Uncompressed), level: None, force };
        for (force, expected) in [(false, kind), (true, media_type::OCI_LAYER)] {
            let back = world.path("back.tar");
            let output = Output::Oci {
                dest: Destination::Path(back.clone()),
                tar: true,
                compression: plain(force),
                dress: None,
            };
            export::save(&other, &[(vec![], compressed)], &output).unwrap();
            let third = world.other();
            let image = import::archive(&third, open(&back)).unwrap()[0].1;
            assert_eq!(manifest(&third, &image).layers[0].media_type, expected);
        }
    }
}

#[test]
fn damage_is_found_and_nothing_is_admitted() {
    let world = World::new();
    let dir = world.layout();
    let good = import::layout(&world.other(), &dir, None, &Platform::host()).unwrap();
    let blobs = dir.join("blobs/sha256");
    let layer = {
        let store = world.other();
        import::layout(&store, &dir, None, &Platform::host()).unwrap();
        manifest(&store, &good).layers[1].digest
    };
    let refused = |what: &str| {
        let store = world.other();
        let error = import::layout(&store, &dir, None, &Platform::host()).unwrap_err();
        untouched(&store);
        assert_eq!(fs::read_dir(store.layout().ingest()).unwrap().count(), 0);
        assert!(error.to_string().contains(what), "{error}");
    };
    for blob in [good, layer] {
        let path = blobs.join(blob.hex());
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(&path, &flipped).unwrap();
        refused("digest");
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        refused("bytes, expected");
        fs::remove_file(&path).unwrap();
        refused("missing");
        fs::write(&path, whole).unwrap();
    }
    fs::write(dir.join("index.json"), "[]").unwrap();
    refused("index.json: malformed");
    fs::remove_file(dir.join("index.json")).unwrap();
    refused("index.json is missing");
}

#[test]
fn a_blob_path_cannot_leave_the_layout() {
    let world = World::new();
    let dir = world.layout();
    let layer =
        manifest(&world.store, &import::layout(&world.store, &dir, None, &Platform::host()).unwrap()).layers[0].digest;
    let blob = dir.join("blobs/sha256").join(layer.hex());
    fs::rename(&blob, world.path("outside")).unwrap();
    std::os::unix::fs::symlink("../../../outside", &blob).unwrap();
    let error = import::layout(&world.other(), &dir, None, &Platform::host()).unwrap_err();
    assert!(matches!(error, ImportError::Missing { .. } | ImportError::Io { .. }), "{error}");
}

/// A tar of these members.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (path, content) in members {
        let mut entry = Entry::new(*path, Kind::File);
        entry.size = content.len() as u64;
        tar.append(&entry, &mut &content[..]).unwrap();
    }
    tar.finish().unwrap()
}

fn from(bytes: Vec<u8>) -> Box<dyn Read + Send> {
    Box::new(Cursor::new(bytes))
}

#[test]
fn old_docker_archives_come_in_with_all_their_tags() {
    let layer = Layer::new().file("a", 0o644, b"a").finish();
    let diff_id = Digest::sha256(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}","{diff_id}"]}},"Kept":1}}"#
    );
    let hex = Digest::sha256(config.as_bytes()).hex();
    let config_name = format!("{hex}.json");
    let index = format!(
        r#"[{{"Config":"{config_name}","RepoTags":["app:1","quay.io/x/app:2"],"Layers":["l1/layer.tar","l2/layer.tar"]}}]"#
    );
    let mut tar = TarWriter::new(Vec::new());
    let file = |tar: &mut TarWriter<Vec<u8>>, path: &str, content: &[u8]| {
        let mut entry = Entry::new(path, Kind::File);
        entry.size = content.len() as u64;
        tar.append(&entry, &mut &content[..]).unwrap();
    };
    file(&mut tar, "l1/VERSION", b"1.0");
    file(&mut tar, "l1/layer.tar", &layer);
    let mut link = Entry::new("l2/layer.tar", Kind::Symlink);
    link.link = b"../l1/layer.tar".to_vec();
    tar.begin(&link).unwrap();
    file(&mut tar, &config_name, config.as_bytes());
    file(&mut tar, "manifest.json", index.as_bytes());
    file(&mut tar, "repositories", b"{}");
    let bytes = tar.finish().unwrap();

    let world = World::new();
    let images = import::archive(&world.store, from(bytes.clone())).unwrap();
    let [(names, image)] = &images[..] else { panic!("{images:?}") };
    assert_eq!(names, &[name("app:1"), name("quay.io/x/app:2")]);
    assert_eq!(manifest(&world.store, image).config.digest.hex(), hex);
    assert_eq!(config_extra(&world.store, image), 1);
    // Compressed on the way, as people pipe them.
    let mut gzip = layer::Compression::Gzip.encoder(Vec::new(), None).unwrap();
    gzip.write_all(&bytes).unwrap();
    assert_eq!(import::archive(&world.other(), from(gzip.finish().unwrap())).unwrap()[0].1, *image);
    // Truncated anywhere: an error, and no image.
    for length in [100, 600, 1600, 2600, bytes.len() - 1100] {
        let store = world.other();
        assert!(import::archive(&store, from(bytes[..length].to_vec())).is_err());
        untouched(&store);
    }
}

fn config_extra(store: &Store, image: &Digest) -> i64 {
    config(store, image).extra["Kept"].as_i64().unwrap()
}

#[test]
fn archives_that_lie_are_refused() {
    let world = World::new();
    let layer = Layer::new().file("a", 0o644, b"a").finish();
    let digest = Digest::sha256(&layer);
    let config = |diff_ids: &str| {
        format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#)
    };
    let index = r#"[{"Config":"c.json","RepoTags":null,"Layers":["l.tar"]}]"#;
    let wrong = Digest::sha256(b"wrong");
    let refused = |members: &[(&str, &[u8])], what: &str| {
        let store = world.other();
        let error = import::archive(&store, from(archive(members))).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        untouched(&store);
    };
    let good = config(&format!("\"{digest}\""));
    let lying = config(&format!("\"{wrong}\""));
    refused(&[("c.json", lying.as_bytes()), ("l.tar", &layer), ("manifest.json", index.as_bytes())], "unpacks to");
    refused(
        &[("c.json", config("").as_bytes()), ("l.tar", &layer), ("manifest.json", index.as_bytes())],
        "lists 1 layers",
    );
    refused(&[("c.json", good.as_bytes()), ("manifest.json", index.as_bytes())], "l.tar is missing");
    refused(
        &[("c.json", good.as_bytes()), ("l.tar", &[b'x'; 5000]), ("manifest.json", index.as_bytes())],
        "layer sha256:",
    );
    refused(&[("l.tar", &layer), ("manifest.json", index.as_bytes())], "c.json is missing");
    refused(&[("some/file", b"hello")], "it is no image");
    let blob = format!("blobs/sha256/{}", wrong.hex());
    refused(&[(&*blob, &layer)], "expected sha256:");
    refused(&[(&*blob, b"{}")], "expected sha256:");
    let named = format!("{}.json", wrong.hex());
    refused(&[(&*named, good.as_bytes())], "expected sha256:");
    assert!(
        import::archive(&world.store, from(b"no tar at all, but a text that is long enough".repeat(40).to_vec()))
            .is_err()
    );
    assert!(import::archive(&world.store, from(Vec::new())).is_err());
}

#[test]
fn a_root_file_system_becomes_an_image() {
    let world = World::new();
    let layer = Layer::new().dir("etc", 0o755).file("etc/os-release", 0o644, b"ID=x\n").finish();
    let tarball = |bytes: Vec<u8>| {
        let config = ImageConfig::empty(&Platform::host());
        import::tarball(&world.store, from(bytes), config)
    };
    let plain = tarball(layer.clone()).unwrap();
    check(&world.store, &plain);
    assert_eq!(config(&world.store, &plain).rootfs.diff_ids[0].digest(), &Digest::sha256(&layer));
    let mut gzip = layer::Compression::Gzip.encoder(Vec::new(), None).unwrap();
    gzip.write_all(&layer).unwrap();
    let gzip = tarball(gzip.finish().unwrap()).unwrap();
    assert_eq!(manifest(&world.store, &gzip).config, manifest(&world.store, &plain).config);
    assert_eq!(manifest(&world.store, &gzip).layers[0].media_type, media_type::OCI_LAYER_GZIP);
    if tool("xz").is_some() {
        fs::write(world.path("rootfs"), &layer).unwrap();
        run(Command::new("xz").arg(world.path("rootfs")));
        // No media type names it, so it is stored as the tar that it is.
        assert_eq!(tarball(fs::read(world.path("rootfs.xz")).unwrap()).unwrap(), plain);
    }
    assert!(tarball(vec![b'x'; 4000]).is_err());
}

#[test]
fn skopeo_reads_ours_and_we_read_skopeos() {
    let Some(_) = tool("skopeo") else { return };
    let world = World::new();
    let image = world.import();
    let skopeo = |args: &[&str]| run(Command::new("skopeo").arg("--insecure-policy").args(args));
    let [dir, oci, docker_tar] = ["out", "oci.tar", "docker.tar"].map(|file| world.path(file));
    world.save(image, &oci_dir(&dir));
    world.save(image, &oci_tar(&oci));
    world.save(image, &docker(&docker_tar));
    let shown = skopeo(&["inspect", "--raw", &format!("oci:{}:app:v1", dir.display())]);
    assert_eq!(Digest::sha256(shown.as_bytes()), image);
    skopeo(&["inspect", &format!("oci-archive:{}", oci.display())]);
    skopeo(&["inspect", &format!("docker-archive:{}", docker_tar.display())]);
    // Theirs: what they made of ours.
    let made = world.path("made.tar");
    skopeo(&[
        "copy",
        &format!("docker-archive:{}", docker_tar.display()),
        &format!("docker-archive:{}:back:1", made.display()),
    ]);
    let other = world.other();
    let images = import::archive(&other, open(&made)).unwrap();
    assert_eq!(images[0].0, [name("back:1")]);
    check(&other, &images[0].1);
    assert_eq!(config(&other, &images[0].1).rootfs, config(&world.store, &image).rootfs);
    let made = world.path("made-oci.tar");
    skopeo(&["copy", &format!("oci:{}:app:v1", dir.display()), &format!("oci-archive:{}:back:2", made.display())]);
    // It compresses layers on the way.
    let other = world.other();
    let images = import::archive(&other, open(&made)).unwrap();
    assert_eq!(images[0].0, [name("back:2")]);
    check(&other, &images[0].1);
    assert_eq!(manifest(&other, &images[0].1).config.digest, manifest(&world.store, &image).config.digest);
    let made = world.path("made-gzip");
    skopeo(&[
        "copy",
        "--dest-compress",
        &format!("docker-archive:{}", docker_tar.display()),
        &format!("oci:{}:x", made.display()),
    ]);
    let other = world.other();
    let compressed = import::layout(&other, &made, None, &Platform::host()).unwrap();
    check(&other, &compressed);
    assert_eq!(config(&other, &compressed).rootfs, config(&world.store, &image).rootfs);
}

#[test]
fn podman_and_buildah_load_ours() {
    let world = World::new();
    let image = world.import();
    let [oci, docker_tar] = ["oci.tar", "docker.tar"].map(|file| world.path(file));
    world.save(image, &oci_tar(&oci));
    world.save(image, &docker(&docker_tar));
    let id = manifest(&world.store, &image).config.digest.hex();
    for program in ["podman", "buildah"] {
        let Some(_) = tool(program) else { continue };
        let command = |args: &[&str]| {
            let mut command = Command::new(program);
            command.arg("--root").arg(world.path(&format!("{program}-root")));
            command.arg("--runroot").arg(world.path(&format!("{program}-run"))).args(["--storage-driver", "vfs"]);
            command.args(args);
            command
        };
        // Where it cannot even list an empty store, it says nothing of ours.
        if !command(&["images"]).output().is_ok_and(|output| output.status.success()) {
            skip(&format!("{program} does not run here"));
            continue;
        }
        for (kind, path) in [("oci-archive", &oci), ("docker-archive", &docker_tar)] {
            let loaded = match program {
                "podman" => run(&mut command(&["load", "-q", "-i", &path.display().to_string()])),
                _ => run(&mut command(&["pull", "-q", &format!("{kind}:{}", path.display())])),
            };
            assert!(program == "podman" || loaded.contains(&id), "{loaded}");
            let listed = run(&mut command(&["images", "-q", "--no-trunc"]));
            assert!(listed.contains(&id), "{program} {kind}: {listed}");
        }
        if program == "podman" {
            let saved = world.path("podman.tar");
            run(&mut command(&["save", "-q", "-o", &saved.display().to_string(), &id]));
            let other = world.other();
            let back = import::archive(&other, open(&saved)).unwrap()[0].1;
            check(&other, &back);
            assert_eq!(manifest(&other, &back).config.digest.hex(), id);
        }
    }
}

#[test]
fn umoci_unpacks_ours() {
    let Some(_) = tool("umoci") else { return };
    let world = World::new();
    let image = world.import();
    let dir = world.path("out");
    let output = oci_dir(&dir);
    // umoci's tags hold no colon.
    export::save(&world.store, &[(vec![name("app")], image)], &output).unwrap();
    let index = fs::read_to_string(dir.join("index.json")).unwrap();
    fs::write(dir.join("index.json"), index.replace("app:latest", "app")).unwrap();
    let bundle = world.path("bundle");
    run(Command::new("umoci")
        .args(["unpack", "--rootless", "--image"])
        .arg(format!("{}:app", dir.display()))
        .arg(&bundle));
    assert!(bundle.join("rootfs/bin").is_file());
    assert!(!bundle.join("rootfs/etc/motd").exists() && bundle.join("rootfs/etc").is_dir());
    run(Command::new("umoci").args(["repack", "--image"]).arg(format!("{}:again", dir.display())).arg(&bundle));
    let other = world.other();
    check(&other, &import::layout(&other, &dir, Some("again"), &Platform::host()).unwrap());
}
