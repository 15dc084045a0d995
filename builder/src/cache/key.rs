//! Cache keys and their preimages.
//!
//! A key is the SHA-256 of a text, its *preimage*: lines of a name, a tab, and a value. The text is kept, so that a miss
//! can be told in words ([`super::explain`]). A change of what stands in it is a new version in its first line.
//!
//! | line | value |
//! |---|---|
//! | `op` | digest of the operation, which alone decides; the lines of it that follow are for people |
//! | `args`, `cwd`, `user`, `env NAME`, … | parts of an Exec |
//! | `copy N` | sources and destination of a file action |
//! | `input N` | what stands below: the input's definition key, or the identity of its layers in a content key |
//! | `base N` | the manifest of an input that is an image |
//! | `below 0` | in place of `input 0` in a content key that all stores share: the DiffIds of its layers |
//! | `content N` | what a COPY or bind mount selects from an input |
//!
//! With a preimage stand lines that are no part of it, for explanations: `file N PATH`, permissions and digest of what a build
//! context gave ([`super::content::details`]).

use std::fmt::Write as _;

use graph::{Canonical, Exec, FileAction, FileOp, MountKind, Op, Source};
use oci::{DiffId, Digest};
use store::LayerId;

/// The layer of a step that changed nothing. It stands in a chain for its step, and names no layer of the store.
const EMPTY_LAYER: &str = "00000000000000000000000000000000";

/// The name under which a result is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey(Digest);

impl CacheKey {
    /// As the index wants it.
    pub(crate) fn digest(&self) -> &Digest {
        &self.0
    }

    /// Safe as a file name.
    pub(crate) fn file_name(&self) -> String {
        self.0.hex()
    }
}

/// A key and what it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    /// The key.
    pub(crate) key: CacheKey,
    /// Its text.
    pub(crate) preimage: String,
}

impl Keyed {
    /// The key of a text.
    pub(crate) fn of_text(preimage: String) -> Self {
        Self { key: CacheKey(Digest::sha256(preimage.as_bytes())), preimage }
    }

    /// The content key that a kept preimage is of; `None` for the preimage of another kind of key.
    pub(crate) fn of_content(key: &Digest, preimage: String) -> Option<Self> {
        let is_content = preimage.starts_with(&Preimage::content().0) && Digest::sha256(preimage.as_bytes()) == *key;
        is_content.then_some(Self { key: CacheKey(*key), preimage })
    }

    /// A content key as all stores share it: what stands below is told by DiffIds, where a store's own key has the names that
    /// layers have there. `None`: nothing stands below.
    pub(crate) fn shared(&self, below: Option<&[DiffId]>) -> Self {
        let mut text = String::with_capacity(self.preimage.len());
        for line in self.preimage.lines() {
            match (line.strip_prefix("input 0\t"), below) {
                (Some(_), Some(diff_ids)) => {
                    let chain = diff_ids
                        .iter()
                        .fold(String::from("estiba.chain.v1\n"), |text, id| text + &id.to_string() + "\n");
                    text.push_str("below 0\t");
                    text.push_str(&Digest::sha256(chain.as_bytes()).to_string());
                }
                _ => text.push_str(line),
            }
            text.push('\n');
        }
        Self { key: CacheKey(Digest::sha256(text.as_bytes())), preimage: text }
    }
}

/// A preimage in the making.
#[derive(Clone, Debug)]
pub(crate) struct Preimage(String);

impl Preimage {
    /// A key of a definition.
    pub(crate) fn definition() -> Self {
        Self("estiba.key.v1\tdefinition\n".to_owned())
    }

    /// Lines that are no key.
    pub(crate) fn empty() -> Self {
        Self(String::new())
    }

    /// What was written.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// A key of contents.
    pub(crate) fn content() -> Self {
        Self("estiba.key.v1\tcontent\n".to_owned())
    }

    /// Adds a line. Neither part may smuggle in another: line breaks become escapes.
    pub(crate) fn line(&mut self, name: &str, value: &str) {
        for (text, end) in [(name, '\t'), (value, '\n')] {
            for character in text.chars() {
                match character {
                    '\n' => self.0.push_str("\\n"),
                    '\t' => self.0.push_str("\\t"),
                    '\r' => self.0.push_str("\\r"),
                    '\\' => self.0.push_str("\\\\"),
                    other => self.0.push(other),
                }
            }
            self.0.push(end);
        }
    }

    /// Adds an operation.
    pub(crate) fn op(&mut self, op: &Op) {
        let mut canonical = Canonical::new("op");
        canonical.op(op);
        self.line("op", &canonical.finish().to_string());
        match op {
            Op::Source(source) => self.source(source),
            Op::Exec(exec) => self.exec(exec),
            Op::File(file) => self.file(file),
            Op::Merge(_) => self.line("merge", ""),
        }
    }

    fn source(&mut self, source: &Source) {
        match source {
            Source::Scratch => self.line("scratch", ""),
            Source::Image { reference: _, manifest, platform } => {
                self.line("manifest", &manifest.to_string());
                self.line("platform", &platform.to_string());
            }
            Source::Local { name } => self.line("context", name),
            Source::Http(http) => self.line(&format!("file {}", http.filename), &http.digest.to_string()),
            Source::Git(git) => self.line("commit", &git.commit),
        }
    }

    fn exec(&mut self, exec: &Exec) {
        self.line("args", &exec.args.join(" "));
        for (name, value) in &exec.env {
            self.line(&format!("env {name}"), value);
        }
        self.line("cwd", &exec.cwd);
        self.line("user", &exec.user);
        for mount in &exec.mounts {
            let kind = match &mount.kind {
                MountKind::Bind { input, source } => format!("bind {input} {source}"),
                MountKind::Cache { id, sharing, .. } => format!("cache {id} {sharing:?}"),
                MountKind::Tmpfs { size } => format!("tmpfs {size:?}"),
                MountKind::File { data, mode } => format!("file {mode:o} {}", Digest::sha256(data)),
                MountKind::Secret { id, .. } => format!("secret {id}"),
                MountKind::Ssh { id, .. } => format!("ssh {id}"),
            };
            self.line(&format!("mount {}", mount.target), &kind);
        }
    }

    fn file(&mut self, file: &FileOp) {
        for (number, action) in file.actions.iter().enumerate() {
            match action {
                FileAction::Copy(copy) => {
                    let mut value = copy.sources.join(" ");
                    let _ = write!(value, " to {}", copy.dest);
                    self.line(&format!("copy {number}"), &value);
                }
                FileAction::WriteFile { path, data, .. } => {
                    self.line(&format!("text {number} {path}"), &Digest::sha256(data).to_string());
                }
                FileAction::MakeDir { path, mode, .. } => {
                    self.line(&format!("directory {number} {path}"), &format!("{mode:o}"))
                }
            }
        }
    }

    /// The key.
    pub(crate) fn finish(self) -> Keyed {
        Keyed { key: CacheKey(Digest::sha256(self.0.as_bytes())), preimage: self.0 }
    }
}

/// The layers of a result, base first, one a step; a step that changed nothing has [`Chain::empty_layer`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain(pub(crate) Vec<LayerId>);

impl Chain {
    /// Stands for a step that changed nothing.
    pub(crate) fn empty_layer() -> LayerId {
        #[expect(clippy::unwrap_used, reason = "a constant of the right form")]
        EMPTY_LAYER.parse().unwrap()
    }

    /// Whether `layer` stands for a step that changed nothing.
    pub(crate) fn is_empty_layer(layer: &LayerId) -> bool {
        layer.as_str() == EMPTY_LAYER
    }

    /// The layers that exist.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &LayerId> {
        self.0.iter().filter(|layer| !Self::is_empty_layer(layer))
    }

    /// What the chain is, whoever made it: equal layers are equal trees.
    pub(crate) fn identity(&self) -> Digest {
        let text = self.layers().fold(String::from("estiba.chain.v1\n"), |text, layer| text + layer.as_str() + "\n");
        Digest::sha256(text.as_bytes())
    }

    /// With one more layer.
    pub(crate) fn with(&self, layer: LayerId) -> Self {
        let mut layers = self.0.clone();
        layers.push(layer);
        Self(layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_pose_as_another_line() {
        let mut one = Preimage::definition();
        one.line("env A", "1\nenv B\t2");
        let mut two = Preimage::definition();
        two.line("env A", "1");
        two.line("env B", "2");
        assert_ne!(one.finish().key, two.finish().key);
    }

    #[test]
    fn a_step_that_changed_nothing_changes_no_identity() {
        let layer = LayerId::mint();
        let chain = Chain(vec![layer.clone()]);
        assert_eq!(chain.identity(), chain.with(Chain::empty_layer()).identity());
        assert_ne!(chain.identity(), chain.with(LayerId::mint()).identity());
    }
}
