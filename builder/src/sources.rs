//! What is fetched before a build runs: files of the web, checkouts of repositories, and archives that become build contexts.
//!
//! A front asks what an address is now ([`find`], [`bring_file`]), makes a graph that holds the answers, lets [`missing`] tell
//! what of it the build will read and the store lacks, and fetches that.

use graph::{Op, Source};
use store::Store;

pub use crate::op::source::SourceError;
pub use crate::op::source::git::{bring as bring_checkout, find};
pub use crate::op::source::http::{Progress, WebSource, bring as bring_file};
pub use crate::op::source::unpack::{ENOUGH, is_archive, unpack};

use crate::build::Failure;
use crate::cache::record::{Lookup, Records};
use crate::{Error, Request, fast};

/// Where a file's tree is, once [`bring_file`] gave its digest.
///
/// # Errors
/// When the store fails.
pub fn file_tree(store: &Store, digest: &oci::Digest, filename: &str) -> store::Result<Option<std::path::PathBuf>> {
    store.fetched(&crate::op::source::http::tree_key(digest, filename))
}

/// The sources that a build may read and that are not in the store: those below steps whose results are not here. A result that
/// a cache promises may turn out not to be there; and with `all`, nothing is cached, as in [`crate::verify`].
///
/// # Errors
/// When a context cannot be read, or the store fails.
pub fn missing(request: &Request, store: &Store, all: bool) -> Result<Vec<Source>, Error> {
    let is_fetched = |op: &Op| matches!(op, Op::Source(Source::Http(_) | Source::Git(_)));
    let roots = request.roots();
    if !request.graph.reachable(&roots).iter().any(|edge| is_fetched(request.graph.vertex(*edge).op())) {
        return Ok(Vec::new());
    }
    unfetched(request, store, all).map_err(|error| Error::other("look for sources", error))
}

fn unfetched(request: &Request, store: &Store, all: bool) -> Result<Vec<Source>, Failure> {
    let contexts = fast::contexts(request, store)?;
    let definitions = fast::definitions(request, &contexts)?;
    let records = Records::of_build(store, request)?;
    let mut seen = vec![false; definitions.order.len()];
    let mut open = definitions.roots.clone();
    let mut found = Vec::new();
    while let Some(v) = open.pop() {
        if std::mem::replace(&mut seen[v], true) {
            continue;
        }
        match request.graph.vertex(definitions.order[v]).op() {
            Op::Source(source) => {
                if let Some(key) = crate::op::source::key(source)
                    && store.fetched(&key)?.is_none()
                {
                    found.push(source.clone());
                }
            }
            Op::Exec(_) | Op::File(_) | Op::Merge(_) => {
                let usable = definitions.usable[v] && !all;
                let found = if usable { records.find(&definitions.keyed[v], None)? } else { Lookup::Miss };
                if !is_here(&records, &found)? {
                    open.extend(&definitions.inputs[v]);
                }
            }
        }
    }
    Ok(found)
}

/// Whether a result was found with all its layers.
fn is_here(records: &Records<'_>, found: &Lookup) -> store::Result<bool> {
    let Lookup::Hit(chain) = found else { return Ok(false) };
    for layer in chain.layers() {
        if records.layer(layer)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}
