//! What verbs that work on places have in hand: clients, and the store where a place is in it.

use std::sync::Arc;

use builder::transfer::Sink;
use builder::transfer::copy::{CopyError, Hands, Place};
use remote::{Client, Setup};
use runtime::ladder::Probe;
use store::Store;

use crate::context::Context;
use crate::error::{Error, Result, code};
use crate::wire::WireArgs;
use crate::{remedy, rootfs, sandbox};

/// Clients and a store.
pub(crate) struct Ready {
    pub(crate) source: Client,
    pub(crate) target: Client,
    pub(crate) store: Option<Arc<Store>>,
    probe: Option<Probe>,
}

impl Ready {
    /// Registries alone, with one client.
    pub(crate) fn remote(client: Client) -> Self {
        Self::between(client.clone(), client)
    }

    /// With one client to read and another to write.
    pub(crate) fn between(source: Client, target: Client) -> Self {
        Self { source, target, store: None, probe: None }
    }

    /// With the store, which is opened; its trees are read and made in the sandbox, which is entered. Only while this process
    /// has one thread, and after all files of the user's were read.
    pub(crate) fn with_trees(mut self, context: &Context, make: bool) -> Result<Self> {
        let store = if make { Some(context.store()?) } else { context.existing_store()? };
        if let Some(store) = store {
            let (store, probe) = rootfs::enter(store)?;
            self.probe = sandbox::can_run(&probe.rung).then_some(probe);
            self.store = Some(Arc::new(store));
        }
        Ok(self)
    }

    /// With the store, of which only documents are read or written.
    pub(crate) fn with_documents(mut self, context: &Context, make: bool) -> Result<Self> {
        let store = if make { Some(context.store()?) } else { context.existing_store()? };
        self.store = store.map(Arc::new);
        Ok(self)
    }

    /// What transfers take.
    pub(crate) fn hands<'h>(&'h self, sink: &'h Sink) -> Hands<'h> {
        Hands {
            source: &self.source,
            target: &self.target,
            store: self.store.as_ref(),
            probe: self.probe.as_ref(),
            sink,
        }
    }
}

/// What a client for a place is made from. A name and password are for the one registry that is named: other places get
/// none, since what they fetch may come from anywhere.
pub(crate) fn setup(wire: &WireArgs, place: &Place) -> Result<Setup> {
    match place {
        Place::Registry(reference) => wire.setup_for(&reference.to_string()),
        _ => WireArgs { creds: None, ..wire.clone() }.setup(),
    }
}

/// A sink that nobody listens at.
pub(crate) fn silence() -> Sink {
    Arc::new(|_| ())
}

/// A failure, with what helps.
pub(crate) async fn explain(error: CopyError, client: &Client, from: &Place) -> Error {
    let absent = matches!(&error, CopyError::Remote(refusal) if refusal.is_not_found());
    let hint = hint(&error);
    let mut explained = Error::from(error);
    if let Some(hint) = hint {
        explained = explained.hint(hint);
    }
    match from {
        Place::Registry(reference) if absent => remedy::with_near_tags(explained, client, reference).await,
        _ => explained,
    }
}

fn hint(error: &CopyError) -> Option<&'static str> {
    match error {
        CopyError::Platform { .. } => Some("`--platform OS/ARCH` chooses another, `--all` takes them all"),
        CopyError::Choice { problem, .. } if problem.starts_with("there are several") => {
            Some("write its name behind a colon, as in `oci:DIR:NAME`")
        }
        CopyError::NoStore(_) => Some("`estiba pull`, `estiba build` and `estiba load` bring images in"),
        CopyError::Changed { .. } => {
            Some("layers that are not compressed in the store are compressed for a registry, which changes the digest")
        }
        _ => None,
    }
}

/// A reference of a registry, with `docker://` or without.
pub(crate) fn reference(text: &str, verb: &str) -> Result<oci::Reference> {
    match text.parse::<Place>() {
        Ok(Place::Registry(reference)) => Ok(reference),
        Ok(other) => Err(Error::usage(format!(
            "`{text}`: `estiba {verb}` works on registries, and this is `{}:`",
            other.transport()
        ))),
        Err(error) => Err(Error::usage(error.to_string()).code(code::USAGE)),
    }
}
