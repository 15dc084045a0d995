//! Images and OCI layouts made by hand: no line of the house's own writers is used.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::busybox::{APPLETS, FILES, FOLDERS};

/// One layer: a tar that grows entry by entry.
pub struct Layer {
    tar: tar::Builder<Vec<u8>>,
}

impl Layer {
    /// An empty layer.
    #[must_use]
    pub fn new() -> Layer {
        Layer { tar: tar::Builder::new(Vec::new()) }
    }

    /// The tree of [`crate::write_rootfs`], owned by root, all times 0.
    #[must_use]
    pub fn busybox(busybox: &Path) -> Layer {
        let mut layer = Layer::new();
        for (name, mode) in FOLDERS {
            layer = layer.dir(name, mode);
        }
        let binary = fs::read(busybox).unwrap_or_default();
        layer = layer.file("bin/busybox", 0o755, &binary);
        for applet in APPLETS.split_whitespace() {
            layer = layer.link(&format!("bin/{applet}"), "busybox");
        }
        for (name, text) in FILES {
            layer = layer.file(name, 0o644, text.as_bytes());
        }
        layer
    }

    /// Adds a folder of root's.
    #[must_use]
    pub fn dir(self, path: &str, mode: u32) -> Layer {
        self.entry(tar::EntryType::Directory, path, mode, (0, 0), "", &[])
    }

    /// Adds a file of root's.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Layer {
        self.entry(tar::EntryType::Regular, path, mode, (0, 0), "", content)
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Layer {
        self.entry(tar::EntryType::Symlink, path, 0o777, (0, 0), target, &[])
    }

    /// Adds any entry. `path` and `link` go into the header as they are, `..` included.
    #[must_use]
    pub fn entry(
        mut self,
        kind: tar::EntryType,
        path: &str,
        mode: u32,
        (uid, gid): (u64, u64),
        link: &str,
        content: &[u8],
    ) -> Layer {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_size(content.len() as u64);
        // `set_path` would refuse what hostile layers hold.
        put(&mut header.as_mut_bytes()[..100], path);
        put(&mut header.as_mut_bytes()[157..257], link);
        header.set_cksum();
        // A Vec takes every write.
        let _ = self.tar.append(&header, content);
        self
    }

    /// The finished tar.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.tar.into_inner().unwrap_or_default()
    }
}

impl Default for Layer {
    fn default() -> Layer {
        Layer::new()
    }
}

fn put(field: &mut [u8], text: &str) {
    for (slot, byte) in field.iter_mut().zip(text.bytes()) {
        *slot = byte;
    }
}

/// An image to be: layers and a config.
#[derive(Debug)]
pub struct Image {
    layers: Vec<Vec<u8>>,
    config: BTreeMap<String, Value>,
    env: Vec<String>,
    architecture: String,
}

impl Image {
    /// An image with no layer, the usual `PATH` and nothing else.
    #[must_use]
    pub fn empty() -> Image {
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Image {
            layers: Vec::new(),
            config: BTreeMap::new(),
            env: vec![path.to_owned()],
            architecture: architecture().to_owned(),
        }
    }

    /// One layer of busybox, `CMD ["sh"]`.
    #[must_use]
    pub fn busybox(busybox: &Path) -> Image {
        Image::empty().layer(Layer::busybox(busybox)).config("Cmd", json!(["sh"]))
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Image {
        self.layers.push(layer.finish());
        self
    }

    /// Says that it is for a processor, by Go's name of it, instead of for this machine's.
    #[must_use]
    pub fn architecture(mut self, architecture: &str) -> Image {
        self.architecture = architecture.to_owned();
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Image {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Sets a field of the config's `config` object by its name on the wire (`User`, `OnBuild`, …).
    #[must_use]
    pub fn config(mut self, field: &str, value: Value) -> Image {
        self.config.insert(field.to_owned(), value);
        self
    }

    /// The image's documents and layers in memory: a test may change them before a registry shows them.
    ///
    /// # Errors
    /// There is no `sha256sum`.
    pub fn made(mut self) -> io::Result<Made> {
        let mut diff_ids = Vec::new();
        let mut history = Vec::new();
        for tar in &self.layers {
            diff_ids.push(format!("sha256:{}", sha256(tar)?));
            history.push(json!({"created": EPOCH, "created_by": "fixture"}));
        }
        self.config.insert("Env".to_owned(), json!(self.env));
        let config = json!({
            "created": EPOCH, "architecture": self.architecture, "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
        });
        let layers = self.layers.into_iter().map(|tar| (TAR.to_owned(), tar)).collect();
        Ok(Made { layers, config })
    }

    /// Writes an OCI layout of this one image into `dir`, tagged `tag`, and returns the manifest's
    /// digest.
    ///
    /// # Errors
    /// The first file that cannot be written.
    pub fn write_layout(self, dir: &Path, tag: &str) -> io::Result<String> {
        fs::create_dir_all(dir.join("blobs/sha256"))?;
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let made = self.made()?;
        let mut manifest = made.manifest()?;
        for (_, bytes) in &made.layers {
            blob(dir, TAR, bytes)?;
        }
        blob(dir, CONFIG, &json_bytes(&made.config))?;
        manifest = blob(dir, MANIFEST, &json_bytes(&manifest))?;
        let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [manifest],
        });
        fs::write(dir.join("index.json"), json_bytes(&index))?;
        Ok(digest)
    }

    /// Writes the layout into a new folder `name` below `dir` and returns its path.
    ///
    /// # Errors
    /// The first file that cannot be written.
    pub fn layout_in(self, dir: &Path, name: &str) -> io::Result<PathBuf> {
        let path = dir.join(name);
        self.write_layout(&path, "latest")?;
        Ok(path)
    }
}

/// An image in memory, before it has a manifest.
#[derive(Clone, Debug)]
pub struct Made {
    /// The layers as they are sent, each with its media type.
    pub layers: Vec<(String, Vec<u8>)>,
    /// The config.
    pub config: Value,
}

impl Made {
    /// Compresses each layer by gzip.
    ///
    /// # Errors
    /// Memory has no errors.
    pub fn gzipped(mut self) -> io::Result<Made> {
        for (kind, bytes) in &mut self.layers {
            *bytes = gzip(bytes)?;
            kind.push_str("+gzip");
        }
        Ok(self)
    }

    /// The manifest that says the truth.
    ///
    /// # Errors
    /// There is no `sha256sum`.
    pub fn manifest(&self) -> io::Result<Value> {
        let layers = self.layers.iter().map(|(kind, bytes)| descriptor(kind, bytes)).collect::<io::Result<Vec<_>>>()?;
        let config = descriptor(CONFIG, &json_bytes(&self.config))?;
        Ok(json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}))
    }
}

/// Compresses by gzip, as one member.
///
/// # Errors
/// Memory has no errors.
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EPOCH: &str = "1970-01-01T00:00:00Z";

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn json_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn blob(dir: &Path, media_type: &str, bytes: &[u8]) -> io::Result<Value> {
    fs::write(dir.join("blobs/sha256").join(sha256(bytes)?), bytes)?;
    descriptor(media_type, bytes)
}

fn descriptor(media_type: &str, bytes: &[u8]) -> io::Result<Value> {
    Ok(json!({"mediaType": media_type, "digest": format!("sha256:{}", sha256(bytes)?), "size": bytes.len()}))
}

/// The digest in hex, by `sha256sum`, so that the fixtures do not lean on the digests under test.
///
/// # Errors
/// There is no such program.
pub fn sha256(bytes: &[u8]) -> io::Result<String> {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(bytes)?;
    }
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    child.wait()?;
    match said.split_whitespace().next() {
        Some(hex) if hex.len() == 64 => Ok(hex.to_owned()),
        _ => Err(io::Error::other("sha256sum printed no digest")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_names_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let layer = Layer::new().dir("etc", 0o755).file("etc/x", 0o644, b"x\n");
        let digest = Image::empty().layer(layer).write_layout(dir.path(), "t").unwrap();
        let hex = digest.strip_prefix("sha256:").unwrap();
        let manifest = fs::read(dir.path().join("blobs/sha256").join(hex)).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let layer = manifest["layers"][0]["digest"].as_str().unwrap();
        let tar = dir.path().join("blobs/sha256").join(&layer[7..]);
        let listed = Command::new("tar").arg("tvf").arg(tar).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains("drwxr-xr-x 0/0"), "{listed}");
        assert!(listed.contains("etc/x"), "{listed}");
    }
}
