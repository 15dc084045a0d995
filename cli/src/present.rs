//! An image for `run`: here, and whole. What is missing is fetched by a child, since a process that clones containers must
//! never have had a thread.

use builder::transfer::pull as transfer;
use oci::{Digest, Platform};
use remote::Setup;
use store::Store;

use crate::error::{Error, Result, code};
use crate::image::{self, Image, Meant, Sought};
use crate::resolve::Policy;
use crate::ui::progress::Mode;
use crate::ui::{self, style};
use crate::verb::pull::{Job, Tell, What};
use crate::worker::{self, Plan};

/// How an image is had.
pub(crate) struct Wanted<'w> {
    /// As it was written.
    pub(crate) name: &'w str,
    /// For which platform; the host's without one.
    pub(crate) platform: Option<&'w Platform>,
    /// When the registry is asked.
    pub(crate) policy: Policy,
    /// How it is asked.
    pub(crate) setup: Setup,
    /// How progress is shown.
    pub(crate) mode: Mode,
}

impl Wanted<'_> {
    /// The image, fetched where it must be.
    pub(crate) fn get(&self, store: &Store) -> Result<Image> {
        let image = match (image::seek(store, self.name, self.platform)?, self.policy) {
            (Sought::Here(image, _), Policy::Missing | Policy::Never) | (Sought::Here(image, Meant::Id), _) => image,
            (Sought::Here(image, _), Policy::Newer) => match self.fetch(store, What::Names(vec![self.name.to_owned()]))
            {
                Ok(()) => self.find(store)?,
                Err(_) => {
                    ui::err(&format!("{} the image of the store is used\n", style::hint("note:")));
                    image
                }
            },
            (Sought::NotHere(error), Policy::Never) => {
                return Err(error.hint("without --pull=never the registry is asked"));
            }
            (Sought::Here(..), Policy::Always) => {
                self.fetch(store, What::Names(vec![self.name.to_owned()]))?;
                self.find(store)?
            }
            (Sought::NotHere(here), Policy::Missing | Policy::Always | Policy::Newer) => {
                let fetched = self.fetch(store, What::Names(vec![self.name.to_owned()]));
                fetched.map_err(|error| error.hints_of(&here))?;
                self.find(store)?
            }
        };
        self.complete(store, image)
    }

    /// Documents alone are no image that runs: a build may have fetched no more.
    fn complete(&self, store: &Store, image: Image) -> Result<Image> {
        let digest = image.manifest.digest();
        let missing = transfer::missing(store, &digest)?;
        if !missing.is_empty() {
            if self.policy == Policy::Never {
                return Err(Error::failed(format!("{} layers of `{}` are not in the store", missing.len(), self.name))
                    .hint("without --pull=never they are fetched"));
            }
            self.fetch(store, What::Rest(digest))?;
        }
        Ok(image)
    }

    /// What a pull has just named. A short name may have been completed by another registry than docker's.
    fn find(&self, store: &Store) -> Result<Image> {
        if let Sought::Here(image, _) = image::seek(store, self.name, self.platform)? {
            return Ok(image);
        }
        for name in crate::wire::client(&self.setup)?.candidates(self.name)? {
            if let Sought::Here(image, _) = image::seek(store, &name.to_string(), self.platform)? {
                return Ok(image);
            }
        }
        Err(image::missing(store, self.name))
    }

    /// Lets a child pull, which tells what went wrong.
    fn fetch(&self, store: &Store, what: What) -> Result {
        fetch(store, what, self.platform, self.setup.clone(), self.mode).map_err(|error| match error.exit_code() {
            code::FAILED => error.code(code::USAGE),
            _ => error,
        })
    }
}

/// Fetches the layers that an image of the store has not.
pub(crate) fn whole(store: &Store, manifest: &Digest) -> Result {
    if transfer::missing(store, manifest)?.is_empty() {
        return Ok(());
    }
    fetch(store, What::Rest(*manifest), None, Setup::default(), Mode::Auto)
}

fn fetch(store: &Store, what: What, platform: Option<&Platform>, setup: Setup, mode: Mode) -> Result {
    let (platform, all_platforms, parallel) = (platform.cloned(), false, transfer::PARALLEL);
    let job = Job { setup, mode, what, platform, all_platforms, parallel, tell: Tell::Nothing, content: false };
    match worker::child(&Plan { root: store.root().to_path_buf(), job: worker::Job::Pull(job) })? {
        0 => Ok(()),
        code => Err(Error::silent(code)),
    }
}
