//! The versioned encoding behind every digest of a graph.
//!
//! An encoding is a sequence of fields. A field is its tag (a short ASCII name), a zero byte, the
//! length of its value as eight little-endian bytes, and the value. Numbers are eight
//! little-endian bytes, booleans one byte, lists one field an element under the same tag, after a
//! field `<tag>#` with their count. The first field is always `estiba` = [`VERSION`]. Fields stand
//! in the order of the code below; an absent option is no field. A change of any of this is a new
//! version: golden digests in the tests hold it.

use oci::{Digest, Hasher};

use crate::{
    Copy, Exec, FileAction, FileOp, Git, Http, Id, ModeChange, Mount, MountKind, Network, Op, Owner, Security, Sharing,
    Source, Unpack,
};

/// The version of the encoding.
const VERSION: &str = "graph.v1";

/// Hashes fields in canonical form.
#[derive(Debug)]
pub struct Canonical {
    hasher: Hasher,
}

impl Canonical {
    /// An encoding of a document of this `kind`, such as `vertex`.
    pub fn new(kind: &str) -> Canonical {
        let mut canonical = Canonical { hasher: Hasher::sha256() };
        canonical.text("estiba", VERSION);
        canonical.text("kind", kind);
        canonical
    }

    /// A field of bytes.
    pub fn bytes(&mut self, tag: &str, value: &[u8]) {
        self.hasher.update(tag.as_bytes());
        self.hasher.update(&[0]);
        self.hasher.update(&(value.len() as u64).to_le_bytes());
        self.hasher.update(value);
    }

    /// A field of text.
    pub fn text(&mut self, tag: &str, value: &str) {
        self.bytes(tag, value.as_bytes());
    }

    /// A number.
    pub fn number(&mut self, tag: &str, value: u64) {
        self.bytes(tag, &value.to_le_bytes());
    }

    /// A boolean.
    pub fn flag(&mut self, tag: &str, value: bool) {
        self.bytes(tag, &[u8::from(value)]);
    }

    /// A digest, in text form.
    pub fn digest(&mut self, tag: &str, value: &Digest) {
        self.text(tag, &value.to_string());
    }

    /// The count of a list whose elements follow.
    pub fn count(&mut self, tag: &str, count: usize) {
        self.number(&format!("{tag}#"), count as u64);
    }

    /// A list of texts.
    pub fn texts<S: AsRef<str>>(&mut self, tag: &str, values: &[S]) {
        self.count(tag, values.len());
        for value in values {
            self.text(tag, value.as_ref());
        }
    }

    /// The digest of all fields.
    pub fn finish(self) -> Digest {
        self.hasher.finish()
    }

    /// Every field of an operation that can change its result.
    pub fn op(&mut self, op: &Op) {
        match op {
            Op::Source(source) => self.source(source),
            Op::Exec(exec) => self.exec(exec),
            Op::File(file) => self.file(file),
            Op::Merge(_) => self.text("op", "merge"),
        }
    }

    fn source(&mut self, source: &Source) {
        match source {
            Source::Scratch => self.text("op", "scratch"),
            Source::Image { reference: _, manifest, platform } => {
                self.text("op", "image");
                self.digest("manifest", manifest);
                self.text("platform", &platform.to_string());
            }
            Source::Local { name } => {
                self.text("op", "local");
                self.text("name", name);
            }
            Source::Http(Http { url: _, digest, filename }) => {
                self.text("op", "http");
                self.digest("digest", digest);
                self.text("filename", filename);
            }
            Source::Git(Git { url, reference: _, commit, subdir, keep_git_dir, submodules }) => {
                self.text("op", "git");
                self.text("commit", commit);
                self.option("subdir", subdir.as_deref());
                self.flag("submodules", *submodules);
                self.option("url", keep_git_dir.then_some(url));
            }
        }
    }

    fn option(&mut self, tag: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(tag, value);
        }
    }

    fn exec(&mut self, exec: &Exec) {
        let Exec { args, env, proxy_env: _, cwd, user, hostname, network, security, mounts } = exec;
        self.text("op", "exec");
        self.texts("arg", args);
        self.count("env", env.len());
        for (name, value) in env {
            self.text("name", name);
            self.text("value", value);
        }
        self.text("cwd", cwd);
        self.text("user", user);
        self.option("hostname", hostname.as_deref());
        self.text(
            "network",
            match network {
                Network::Default => "default",
                Network::None => "none",
                Network::Host => "host",
            },
        );
        self.text(
            "security",
            match security {
                Security::Sandbox => "sandbox",
                Security::Insecure => "insecure",
            },
        );
        self.count("mount", mounts.len());
        for mount in mounts {
            self.mount(mount);
        }
    }

    fn mount(&mut self, mount: &Mount) {
        let Mount { target, readonly, kind } = mount;
        self.text("target", target);
        self.flag("readonly", *readonly);
        match kind {
            MountKind::Bind { input, source } => {
                self.text("mount", "bind");
                self.number("input", *input as u64);
                self.text("source", source);
            }
            MountKind::Cache { id, sharing, seed, mode, uid, gid } => {
                self.text("mount", "cache");
                self.text("id", id);
                self.text(
                    "sharing",
                    match sharing {
                        Sharing::Shared => "shared",
                        Sharing::Private => "private",
                        Sharing::Locked => "locked",
                    },
                );
                if let Some((input, source)) = seed {
                    self.number("input", *input as u64);
                    self.text("source", source);
                }
                self.ids(*mode, *uid, *gid);
            }
            MountKind::Tmpfs { size } => {
                self.text("mount", "tmpfs");
                if let Some(size) = size {
                    self.number("size", *size);
                }
            }
            MountKind::File { data, mode } => {
                self.text("mount", "file");
                self.bytes("data", data);
                self.number("mode", u64::from(*mode));
            }
            MountKind::Secret { id, env, required, mode, uid, gid } => {
                self.text("mount", "secret");
                self.text("id", id);
                self.option("env", env.as_deref());
                self.flag("required", *required);
                self.ids(*mode, *uid, *gid);
            }
            MountKind::Ssh { id, required, mode, uid, gid } => {
                self.text("mount", "ssh");
                self.text("id", id);
                self.flag("required", *required);
                self.ids(*mode, *uid, *gid);
            }
        }
    }

    fn ids(&mut self, mode: u32, uid: u32, gid: u32) {
        self.number("mode", u64::from(mode));
        self.number("uid", u64::from(uid));
        self.number("gid", u64::from(gid));
    }

    fn file(&mut self, file: &FileOp) {
        self.text("op", "file");
        self.count("action", file.actions.len());
        for action in &file.actions {
            match action {
                FileAction::Copy(copy) => self.copy(copy),
                FileAction::WriteFile { path, data, mode, owner } => {
                    self.text("action", "write");
                    self.text("path", path);
                    self.bytes("data", data);
                    self.mode_change(mode.as_ref());
                    self.owner(owner.as_ref());
                }
                FileAction::MakeDir { path, mode, owner, parents } => {
                    self.text("action", "mkdir");
                    self.text("path", path);
                    self.number("mode", u64::from(*mode));
                    self.owner(owner.as_ref());
                    self.flag("parents", *parents);
                }
            }
        }
    }

    fn copy(&mut self, copy: &Copy) {
        let Copy { input, sources, dest, dest_is_dir, owner, mode, exclude, parents, unpack, keep_owner } = copy;
        self.text("action", "copy");
        self.number("input", *input as u64);
        self.texts("source", sources);
        self.text("dest", dest);
        self.flag("dest_is_dir", *dest_is_dir);
        self.owner(owner.as_ref());
        self.mode_change(mode.as_ref());
        self.texts("exclude", exclude);
        self.flag("parents", *parents);
        self.text(
            "unpack",
            match unpack {
                Unpack::Never => "never",
                Unpack::Archives => "archives",
            },
        );
        self.flag("keep_owner", *keep_owner);
    }

    fn mode_change(&mut self, mode: Option<&ModeChange>) {
        match mode {
            None => {}
            Some(ModeChange::Octal(bits)) => self.number("mode", u64::from(*bits)),
            Some(ModeChange::Symbolic(text)) => self.text("chmod", text),
        }
    }

    fn owner(&mut self, owner: Option<&Owner>) {
        let Some(Owner { user, group }) = owner else { return };
        self.id("user", user);
        if let Some(group) = group {
            self.id("group", group);
        }
    }

    fn id(&mut self, tag: &str, id: &Id) {
        match id {
            Id::Number(number) => self.number(tag, u64::from(*number)),
            Id::Name(name) => self.text(&format!("{tag}name"), name),
        }
    }
}
