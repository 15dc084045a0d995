//! The statements that are attached to an image, wherever it is: in the store, where a name is found there, else in the place
//! that the name means.

use builder::attest::{self, Attached};
use builder::transfer::copy::{self, CopyError, Place};
use oci::{Digest, Platform, Reference};
use store::Store;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::image;
use crate::place::{self, Ready};
use crate::wire::{self, WireArgs};

/// A statement, and the bytes of it that were asked for.
pub(crate) struct Statement {
    /// Where it stands, and of what it is.
    pub(crate) about: Attached,
    /// The statement.
    pub(crate) bytes: Vec<u8>,
}

/// What is looked for.
pub(crate) struct Wanted<'w> {
    /// The image, as it was written.
    pub(crate) image: &'w str,
    /// The images of one platform alone.
    pub(crate) platform: Option<&'w Platform>,
    /// The type of predicate; all of them without one.
    pub(crate) kind: Option<&'w str>,
    /// How registries are reached.
    pub(crate) wire: &'w WireArgs,
}

impl Wanted<'_> {
    /// The statements; `None` where the image has none.
    pub(crate) fn find(&self, context: &Context) -> Result<Vec<Statement>> {
        match self.in_store(context)? {
            Some((store, top)) => self.stored(&store, &top),
            None => self.elsewhere(context),
        }
    }

    /// The store and the digest that the name stands for, where it is a name there.
    pub(crate) fn in_store(&self, context: &Context) -> Result<Option<(Store, Digest)>> {
        let Some(store) = context.existing_store()? else { return Ok(None) };
        let text = self.image.strip_prefix("store:").unwrap_or(self.image);
        if let Ok(reference) = text.parse::<Reference>()
            && let Some(row) = store.index().image(&reference.to_string())?
        {
            return Ok(Some((store, row.manifest)));
        }
        // An id leads to one image, a row without a name to what was built: either may be an index.
        let rows = store.index().images()?;
        match image::find(&store, text, self.platform) {
            Ok((found, _)) => {
                let named = rows.iter().find(|row| row.name == found.id().to_string());
                let top = named.map_or_else(|| found.manifest.digest(), |row| row.manifest);
                Ok(Some((store, top)))
            }
            Err(error) if self.image.starts_with("store:") => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn stored(&self, store: &Store, top: &Digest) -> Result<Vec<Statement>> {
        let mut all = Vec::new();
        let listed = attest::attached(store, top).map_err(failed)?;
        let absent = listed.iter().any(|one| one.statement.is_none());
        for about in listed {
            if let Some(statement) = about.statement.as_ref().filter(|_| self.means(&about)) {
                let bytes = attest::statement(store, statement).map_err(failed)?;
                all.push(Statement { about, bytes });
            }
        }
        match all.is_empty() && absent {
            true => Err(Error::failed(format!("`{}` is in the store without what is attached to it", self.image))
                .hint(format!("`docker://{}` asks its registry", self.image))),
            false => Ok(all),
        }
    }

    fn elsewhere(&self, context: &Context) -> Result<Vec<Statement>> {
        let place: Place = self.image.parse().map_err(|error: copy::PlaceError| Error::usage(error.to_string()))?;
        let mut ready = Ready::remote(wire::client(&place::setup(self.wire, &place)?)?);
        if matches!(place, Place::Store(_)) {
            ready = ready.with_documents(context, false)?;
        }
        let sink = place::silence();
        wire::alone(async {
            let all = async {
                let opened = copy::open(&ready.hands(&sink), &place).await?;
                let mut all = Vec::new();
                for about in attest::attached_at(&opened).await? {
                    if let Some(statement) = about.statement.as_ref().filter(|_| self.means(&about)) {
                        let bytes = attest::statement_at(&opened, statement).await?;
                        all.push(Statement { about, bytes });
                    }
                }
                Ok::<_, CopyError>(all)
            };
            match all.await {
                Ok(all) => Ok(all),
                Err(error) => Err(place::explain(error, &ready.source, &place).await),
            }
        })?
    }

    fn means(&self, about: &Attached) -> bool {
        let platform = match (self.platform, &about.platform) {
            (Some(wanted), Some(own)) => wanted.best_of([own]).is_some(),
            _ => true,
        };
        platform && self.kind.is_none_or(|kind| about.kind == kind)
    }
}

fn failed(error: attest::ReadError) -> Error {
    Error::failed(error.to_string())
}
