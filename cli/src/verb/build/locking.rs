//! `--locked` and `--lock` of a build, and what `estiba lock` does: it plans every stage and writes what was answered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use frontend::{Provided, Wanted};

use super::context::Origin;
use super::dockerfile::{self, Source};
use super::{Args, options, platform, resolver, setup};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::lockfile::{self, Locked, LockedFile, LockedGit, LockedImage, Lockfile};
use crate::resolve::Policy;
use crate::ui;

/// Options about lock files.
#[derive(Debug, clap::Args)]
pub(super) struct LockingArgs {
    /// Take images, commits and files as `estiba lock` found them; fail where one is not in the lock file
    #[arg(long)]
    locked: bool,
    /// The lock file [default: the Dockerfile's name with .lock]; as --locked
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
}

impl LockingArgs {
    /// What a lock file settles for a build: nothing, unless the user asked.
    pub(super) fn settled(&self, source: &Source) -> Result<Locked> {
        if !self.locked && self.lock.is_none() {
            return Ok(Locked::default());
        }
        let path = self.path(source)?;
        match Lockfile::read(&path)? {
            Some(file) => Ok(Locked::strict(file, path)),
            None => Err(Error::failed(format!("there is no lock file {}", path.display()))
                .hint("`estiba lock CONTEXT` writes one, with the arguments of the build")),
        }
    }

    fn path(&self, source: &Source) -> Result<PathBuf> {
        if let Some(path) = &self.lock {
            return Ok(path.clone());
        }
        let dockerfile = source.path.as_ref().ok_or_else(|| {
            Error::usage("the Dockerfile came from standard input: which lock file is its own?")
                .hint("add `--lock FILE`")
        })?;
        let mut name = dockerfile.as_os_str().to_owned();
        name.push(".lock");
        Ok(PathBuf::from(name))
    }
}

/// What `estiba lock` does.
pub(in crate::verb) enum Task {
    /// Add what is missing, drop what is no longer named.
    Complete,
    /// Write nothing; fail where something is missing or no longer named.
    Check,
    /// Ask again what these names mean; what all mean, where none is given.
    Update(Vec<String>),
}

/// Runs `estiba lock`.
pub(in crate::verb) fn lock(args: &Args, task: &Task, context: &Context) -> Result<u8> {
    let origin = Origin::of(&args.context.context)?;
    let Some(main) = origin.folder() else {
        return Err(Error::usage("a lock file stands beside its Dockerfile: give the folder")
            .hint("clone or unpack the context first"));
    };
    let source = dockerfile::read(args.context.file.as_deref(), main)?;
    let path = args.locking.path(&source)?;
    let old = Lockfile::read(&path)?;
    let locked = match (task, old.clone()) {
        (Task::Check, Some(old)) => Locked::strict(old, path.clone()),
        (Task::Check, None) => {
            return Err(
                Error::failed(format!("there is no lock file {}", path.display())).hint("`estiba lock` writes one")
            );
        }
        (Task::Complete, Some(old)) => Locked::lenient(old),
        (Task::Update(names), Some(old)) => Locked::lenient(old.without(names)),
        (Task::Complete | Task::Update(_), None) => Locked::default(),
    };
    let new = answers(args, &source, locked, context)?;
    let old = old.unwrap_or_default();
    let changed = tell(&old, &new)?;
    match task {
        Task::Check if changed => {
            let message = format!("{} lists what the Dockerfile no longer names", path.display());
            Err(Error::failed(message).hint("`estiba lock` drops it"))
        }
        Task::Check => Ok(0),
        Task::Complete | Task::Update(_) => {
            if changed || old != new {
                new.write(&path)?;
            }
            Ok(0)
        }
    }
}

/// Plans every stage for every platform, and keeps what was answered.
fn answers(args: &Args, source: &Source, locked: Locked, context: &Context) -> Result<Lockfile> {
    let store = Arc::new(match context.existing_store()? {
        Some(store) => store,
        None => context.store()?,
    });
    let setup = setup(args, &[])?;
    // The registry says what a name means now; where it does not answer, the store's image will do.
    let mut resolver = resolver(args, &store, &setup)?.with_policy(Policy::Newer).with_locked(locked);
    let options = options::for_frontend(args)?;
    let stages = frontend::parse(&source.text).dockerfile.stages.len();
    let mut answers = BTreeMap::new();
    for platform in args.platform.all()? {
        for stage in 0..stages.max(1) {
            let target = (stages > 1).then(|| stage.to_string());
            let options = frontend::Options { platform: platform.clone(), target, ..options.clone() };
            platform::one(&mut resolver, source, options, &mut answers)?;
        }
    }
    Ok(lockfile(answers))
}

fn lockfile(answers: BTreeMap<Wanted, Provided>) -> Lockfile {
    let (mut images, mut git, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            (Wanted::Image { reference, platform, .. }, Provided::Image { manifest, .. }) => {
                let named = reference.parse::<oci::Reference>().is_ok_and(|parsed| parsed.digest().is_none());
                if named {
                    images.push(LockedImage { name: reference, platform: platform.to_string(), digest: manifest });
                }
            }
            (Wanted::Git { url, reference, .. }, Provided::Git { commit })
                if !reference.as_deref().is_some_and(frontend::git_url::is_commit) =>
            {
                git.push(LockedGit { url: frontend::git_url::shown_url(&url), reference, commit });
            }
            (Wanted::Http { url, checksum: None, .. }, Provided::Http { digest }) => {
                files.push(LockedFile { url: lockfile::file_name(&url), digest });
            }
            _ => {}
        }
    }
    Lockfile::new(images, git, files)
}

/// Prints what changed, a line each; tells whether anything did.
fn tell(old: &Lockfile, new: &Lockfile) -> Result<bool> {
    let (before, after) = (old.lines(), new.lines());
    let mut out = String::new();
    for line in before.iter().filter(|line| !after.contains(line)) {
        out.push_str(&format!("- {line}\n"));
    }
    for line in after.iter().filter(|line| !before.contains(line)) {
        out.push_str(&format!("+ {line}\n"));
    }
    ui::out(&out)?;
    Ok(!out.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_lock_file_stands_beside_its_dockerfile() {
        let text = frontend::SourceText::new("Dockerfile", b"FROM scratch\n".to_vec()).unwrap();
        let mut source = Source { text, path: Some("d/app.Dockerfile".into()), context: None, foreign: false };
        let args = LockingArgs { locked: true, lock: None };
        assert_eq!(args.path(&source).unwrap(), Path::new("d/app.Dockerfile.lock"));
        source.path = None;
        assert!(args.path(&source).is_err());
        let named = LockingArgs { locked: false, lock: Some("other".into()) };
        assert_eq!(named.path(&source).unwrap(), Path::new("other"));
    }
}
