//! `Dockerfile.lock`: what the names of a Dockerfile meant when somebody looked.
//!
//! ```toml
//! version = 1
//!
//! [[image]]
//! name = "debian:12"
//! platform = "linux/amd64"
//! digest = "sha256:…"      # the manifest of that platform
//!
//! [[git]]
//! url = "https://host/name.git"
//! reference = "main"       # absent: the default branch
//! commit = "…"
//!
//! [[file]]
//! url = "https://host/file.tar.gz"
//! digest = "sha256:…"
//! ```
//!
//! Addresses stand without logins, and of a query there is only its hash (`?sha256=…`). What names itself (an image by digest, a commit, a file with `--checksum`) is not listed.

use std::path::{Path, PathBuf};

use frontend::git_url::{query, shown_url};
use oci::{Digest, Platform};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, While};

/// The format that this program reads and writes.
const VERSION: u32 = 1;

/// A lock file holds a line or four a base: more than this is another file.
const MAX_BYTES: u64 = 4 << 20;

/// A lock file's content, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lockfile {
    version: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) image: Vec<LockedImage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) git: Vec<LockedGit>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) file: Vec<LockedFile>,
}

/// What a base's name meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LockedImage {
    pub(crate) name: String,
    pub(crate) platform: String,
    pub(crate) digest: Digest,
}

/// What a repository's reference meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LockedGit {
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    pub(crate) commit: String,
}

/// What an address gave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LockedFile {
    pub(crate) url: String,
    pub(crate) digest: Digest,
}

/// The name that a file's address has in a lock file.
pub(crate) fn file_name(url: &str) -> String {
    let shown = shown_url(url);
    match query(url) {
        Some(query) => format!("{shown}?sha256={}", &Digest::sha256(query.as_bytes()).hex()[..16]),
        None => shown,
    }
}

impl Lockfile {
    /// Of these entries, each once.
    pub(crate) fn new(mut image: Vec<LockedImage>, mut git: Vec<LockedGit>, mut file: Vec<LockedFile>) -> Self {
        image.sort();
        image.dedup();
        git.sort();
        git.dedup();
        file.sort();
        file.dedup();
        Self { version: VERSION, image, git, file }
    }

    /// Reads a lock file; `None` where there is none. A link is followed only within the file's folder.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        use std::io::Read as _;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let root = match sys::Root::open(folder) {
            Ok(root) => root,
            Err(error) => return Err(Error::from(error)),
        };
        let name = path.file_name().unwrap_or_default();
        if !root.exists(name)? {
            return Ok(None);
        }
        let mut text = String::new();
        let file = root.open_regular(name)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).during(path.display())?;
        let lockfile: Self = toml::from_str(&text).during(path.display())?;
        if text.len() as u64 > MAX_BYTES || lockfile.version != VERSION {
            return Err(Error::failed(format!("{}: this is no lock file of version {VERSION}", path.display())));
        }
        for git in &lockfile.git {
            if !frontend::git_url::is_commit(&git.commit) {
                return Err(Error::failed(format!("{}: `{}` is no commit", path.display(), git.commit)));
            }
        }
        Ok(Some(lockfile))
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result {
        let mut text = String::from(
            "# What the names in the Dockerfile mean. `estiba lock` wrote it; `estiba build --locked` keeps to it.\n",
        );
        text.push_str(&toml::to_string_pretty(self).map_err(|error| Error::failed(error.to_string()))?);
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{}", std::process::id()));
        let partial = PathBuf::from(partial);
        std::fs::write(&partial, text).during(format!("write {}", partial.display()))?;
        std::fs::rename(&partial, path).during(format!("write {}", path.display()))
    }

    /// Without the entries of these names; without any where no name is given.
    pub(crate) fn without(mut self, names: &[String]) -> Self {
        if names.is_empty() {
            return Self::new(Vec::new(), Vec::new(), Vec::new());
        }
        self.image.retain(|image| !names.contains(&image.name));
        self.git.retain(|git| !names.contains(&git.url));
        self.file.retain(|file| !names.contains(&file.url));
        self
    }

    /// A line an entry, for people and for differences.
    pub(crate) fn lines(&self) -> Vec<String> {
        let images = self.image.iter().map(|image| format!("{} {} {}", image.name, image.platform, image.digest));
        let git = self.git.iter().map(|git| {
            let reference = git.reference.as_ref().map(|name| format!("#{name}")).unwrap_or_default();
            format!("{}{reference} {}", git.url, git.commit)
        });
        let files = self.file.iter().map(|file| format!("{} {}", file.url, file.digest));
        images.chain(git).chain(files).collect()
    }
}

/// What a build may not ask, since a lock file settles it. By default there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locked {
    file: Option<Lockfile>,
    /// The lock file's name, if everything must be in it.
    strict: Option<PathBuf>,
}

impl Locked {
    /// Everything must be in the file.
    pub(crate) fn strict(file: Lockfile, path: PathBuf) -> Self {
        Self { file: Some(file), strict: Some(path) }
    }

    /// What is in the file is settled, anything else is asked.
    pub(crate) fn lenient(file: Lockfile) -> Self {
        Self { file: Some(file), strict: None }
    }

    /// The image to take for a reference: its name with the digest.
    pub(crate) fn image(&self, written: &str, platform: &Platform) -> Result<Option<String>> {
        let Some(file) = &self.file else { return Ok(None) };
        let Ok(parsed) = written.parse::<oci::Reference>() else { return Ok(None) };
        if parsed.digest().is_some() {
            return Ok(None);
        }
        let platform = platform.to_string();
        let found = file.image.iter().find(|image| image.name == written && image.platform == platform);
        let settled = found.map(|image| format!("{}@{}", parsed.name(), image.digest));
        self.demand(settled, &format!("{written} for {platform}"))
    }

    /// The commit to take for a reference of a repository.
    pub(crate) fn commit(&self, url: &str, reference: Option<&str>) -> Result<Option<String>> {
        let Some(file) = &self.file else { return Ok(None) };
        if reference.is_some_and(frontend::git_url::is_commit) {
            return Ok(None);
        }
        let found = file.git.iter().find(|git| git.url == url && git.reference.as_deref() == reference);
        self.demand(found.map(|git| git.commit.clone()), url)
    }

    /// The digest that a file must have.
    pub(crate) fn file(&self, url: &str) -> Result<Option<Digest>> {
        let Some(file) = &self.file else { return Ok(None) };
        self.demand(file.file.iter().find(|file| file.url == url).map(|file| file.digest), url)
    }

    fn demand<T>(&self, found: Option<T>, what: &str) -> Result<Option<T>> {
        match (&found, &self.strict) {
            (None, Some(path)) => {
                Err(Error::failed(format!("{what} is not in {}", path.display())).hint("`estiba lock` adds it"))
            }
            _ => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Lockfile {
        let digest = Digest::sha256(b"x");
        let commit = "0123456789abcdef0123456789abcdef01234567".to_owned();
        Lockfile::new(
            vec![LockedImage { name: "debian:12".into(), platform: "linux/amd64".into(), digest }],
            vec![LockedGit { url: "https://h/r.git".into(), reference: Some("main".into()), commit }],
            vec![LockedFile { url: "https://h/f".into(), digest }],
        )
    }

    #[test]
    fn a_lock_file_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Dockerfile.lock");
        assert!(Lockfile::read(&path).unwrap().is_none());
        example().write(&path).unwrap();
        assert_eq!(Lockfile::read(&path).unwrap(), Some(example()));
        for bad in ["version = 2", "nonsense", "version = 1\n[[git]]\nurl='x'\ncommit='--output=x'"] {
            std::fs::write(&path, bad).unwrap();
            assert!(Lockfile::read(&path).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_query_is_kept_as_a_hash() {
        assert_eq!(file_name("https://u:p@h/f"), "https://h/f");
        let (one, other) = (file_name("https://h/f?token=one"), file_name("https://h/f?token=other"));
        assert!(one.starts_with("https://h/f?sha256=") && !one.contains("one"), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn what_is_not_in_it_is_asked_or_refused() {
        let amd64: Platform = "linux/amd64".parse().unwrap();
        let strict = Locked::strict(example(), "L".into());
        let settled = strict.image("debian:12", &amd64).unwrap().unwrap();
        assert!(settled.starts_with("docker.io/library/debian@sha256:"), "{settled}");
        assert!(strict.image("debian:13", &amd64).unwrap_err().message().contains("not in L"));
        assert!(strict.image(&format!("x@{}", Digest::sha256(b"y")), &amd64).unwrap().is_none());
        assert!(strict.commit("https://h/r.git", Some("main")).unwrap().is_some());
        assert!(strict.commit("https://h/r.git", None).is_err());
        assert!(strict.file("https://h/g").is_err());
        let lenient = Locked::lenient(example());
        assert!(lenient.file("https://h/g").unwrap().is_none());
        assert!(lenient.file("https://h/f").unwrap().is_some());
        assert!(Locked::default().file("https://h/f").unwrap().is_none());
    }
}
