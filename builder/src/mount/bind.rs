//! Bind mounts: a path of a stage, or of a build context as its ignore file leaves it.
//!
//! A context is never mounted itself: what is selected is copied into a tree once (kept like any layer, under the digest
//! of what it holds), so that neither ignored files nor later changes show, and nothing is written back. Writes, where
//! allowed, go to an overlay that is thrown away.

use std::path::Path;
use std::sync::Arc;

use graph::{FileAction, FileOp};
use runtime::container::Source;
use runtime::snapshot::RootFs;
use runtime::tree::view::TreeView;

use super::MountError;
use crate::build::Build;
use crate::cache::content::{self, BIND_ROOT};
use crate::cache::key::{Chain, Preimage};
use crate::cache::record::Lookup;
use crate::op::file::{self, Input};
use crate::solver::state::V;

/// What is mounted.
pub(super) struct Wanted<'a> {
    pub(super) input: usize,
    pub(super) source: &'a str,
    pub(super) target: &'a str,
    pub(super) readonly: bool,
}

/// The source of the mount; `place` is a folder for what is thrown away.
pub(super) fn source(build: &Build<'_>, v: V, wanted: &Wanted<'_>, place: &Path) -> Result<Source, MountError> {
    let copy_error = |source| MountError::Copy { target: wanted.target.to_owned(), source };
    let input = build.input(v, wanted.input).map_err(copy_error)?;
    let (chain, subpath) = match &input {
        Input::Context(_) => (materialise(build, v, &input, wanted).map_err(copy_error)?, BIND_ROOT.to_owned()),
        Input::View(view) => {
            let missing = || MountError::Missing { target: wanted.target.to_owned(), what: wanted.source.to_owned() };
            let found = view.lookup(wanted.source.as_bytes(), true).map_err(|error| copy_error(error.into()))?;
            found.ok_or_else(missing)?;
            (build.chain(build.inputs(v)[wanted.input]).clone(), wanted.source.trim_matches('/').to_owned())
        }
    };
    let lowers = build.layers.trees(&chain)?;
    if lowers.is_empty() {
        return Ok(Source::Tmpfs { size: None, mode: 0o755 });
    }
    let rootfs = if wanted.readonly {
        RootFs::View { lowers }
    } else {
        let (upper, work) = (place.join("upper"), place.join("work"));
        for path in [&upper, &work] {
            std::fs::create_dir_all(path).map_err(|source| MountError::Io {
                call: "mkdir",
                path: path.clone(),
                source,
            })?;
        }
        RootFs::Overlay { lowers, upper, work }
    };
    Ok(Source::Tree { rootfs, subpath })
}

/// Copies what a context mount selects into a tree, unless that was done before.
fn materialise(
    build: &Build<'_>,
    v: V,
    input: &Input,
    wanted: &Wanted<'_>,
) -> Result<Chain, Box<dyn std::error::Error + Send + Sync>> {
    let Input::Context(context) = input else { return Ok(Chain::default()) };
    let mut copy = content::bind(1, wanted.source);
    copy.keep_owner = false;
    let digest = context.select(&copy)?.digest()?;
    let mut preimage = Preimage::definition();
    preimage.line("bind", &digest.to_string());
    let keyed = preimage.finish();
    let _lock = build.store.lock_key(&keyed.key.file_name())?;
    if let Lookup::Hit(chain) = build.records.find(&keyed, Some(&build.lease))? {
        return Ok(chain);
    }
    let scratch = Arc::new(TreeView::new(Vec::new())?);
    let operation = FileOp { actions: vec![FileAction::Copy(copy)] };
    let laid =
        file::lay(&operation, &scratch, &[None, Some(input.clone())], build.now, file::result::scratch_file(build)?)?;
    let Some(laid) = laid else { return Ok(Chain::default()) };
    let layer = file::result::store_tree(build, v, laid)?;
    let chain = Chain(vec![layer]);
    build.records.put(&[&keyed], "", "", &chain, build.now)?;
    Ok(chain)
}
