//! A file operation's layer, in the one form that its users need.

use std::io;

use graph::FileOp;
use layer::Toc;
use oci::{DiffId, media_type};
use runtime::tree::LayerBuilder;
use store::{BlobForm, BlobWriter, Blobs, Expected, LayerId, LayerRow, TreeForm};
use sys::Root;

use super::{Input, Laid, lay, write};
use crate::Event;
use crate::build::{Build, id};
use crate::layers::{self, LayerError};
use crate::solver::state::V;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// So many entries go by between two events of progress.
const STRIDE: u64 = 1024;

/// Runs it. `None`: it changes nothing.
pub(crate) fn run(build: &Build<'_>, v: V, operation: &FileOp) -> Result<Option<LayerId>, Failure> {
    let Input::View(target) = build.input(v, 0)? else {
        return Err("files cannot be written into a build context".into());
    };
    let mut inputs = vec![None];
    for at in 1..build.inputs(v).len() {
        inputs.push(Some(build.input(v, at)?));
    }
    let spool = scratch_file(build)?;
    match lay(operation, &target, &inputs, build.now, spool)? {
        Some(laid) => store(build, v, laid).map(Some),
        None => Ok(None),
    }
}

/// Makes a layer of what was laid, and keeps it.
pub(crate) fn store(build: &Build<'_>, v: V, laid: Laid) -> Result<LayerId, Failure> {
    let layer = LayerId::mint();
    build.lease.pin(&[&layer])?;
    if build.needs_tree(v) {
        as_tree(build, v, laid, &layer)?
    } else {
        as_blob(build, v, laid, &layer)?
    }
    Ok(layer)
}

/// As [`store`], always as a tree: for what is mounted.
pub(crate) fn store_tree(build: &Build<'_>, v: V, laid: Laid) -> Result<LayerId, Failure> {
    let layer = LayerId::mint();
    build.lease.pin(&[&layer])?;
    as_tree(build, v, laid, &layer)?;
    Ok(layer)
}

fn as_blob(build: &Build<'_>, v: V, laid: Laid, layer: &LayerId) -> Result<(), Failure> {
    let writer = build.store.blobs().writer()?;
    let (built, writer) =
        write(laid, LayerBuilder::hashed_by(writer, BlobWriter::digest), &build.stop, &mut progress(build, v))?;
    let (digest, size) = writer.commit(Expected::exactly(*built.diff_id.digest(), built.size))?;
    let blob = BlobForm { digest, media_type: media_type::OCI_LAYER.to_owned(), size };
    let row = LayerRow { id: layer.clone(), tree: None, blob: Some(blob), size, created: build.now };
    finish(build, &row, &built.diff_id, built.toc)
}

fn as_tree(build: &Build<'_>, v: V, laid: Laid, layer: &LayerId) -> Result<(), Failure> {
    let home = build.store.layout().snapshot(layer.as_str());
    let tree = home.join("fs");
    let made = std::fs::create_dir_all(&tree)
        .map_err(|source| LayerError::Io { call: "mkdir", path: tree.clone(), source }.into())
        .and_then(|()| {
            let root = Root::open(&tree)?;
            let builder = LayerBuilder::new(io::sink()).tree(&root, build.layers.ids(&tree))?;
            let builder = builder.allowance(layers::allowance(build.store));
            Ok(write(laid, builder, &build.stop, &mut progress(build, v))?.0)
        });
    match made {
        Ok(built) => {
            let form = TreeForm { boot: Some(build.records.boot().to_owned()) };
            let row =
                LayerRow { id: layer.clone(), tree: Some(form), blob: None, size: built.size, created: build.now };
            finish(build, &row, &built.diff_id, built.toc)
        }
        Err(error) => {
            layers::remove(&home)?;
            Err(error)
        }
    }
}

fn finish(build: &Build<'_>, row: &LayerRow, diff_id: &DiffId, toc: Toc) -> Result<(), Failure> {
    build.layers.keep_toc(&row.id, toc)?;
    build.store.index().put_layer(row)?;
    Ok(build.store.index().put_diff_id(&row.id, None, diff_id, row.size)?)
}

fn progress(build: &Build<'_>, v: V) -> impl FnMut(u64, u64) {
    move |done, total| {
        if total > STRIDE && (done.is_multiple_of(STRIDE) || done == total) {
            build.emit(Event::Progress { vertex: Some(id(v)), unit: "files".to_owned(), done, total });
        }
    }
}

/// A file without a name, for the content of unpacked archives.
pub(crate) fn scratch_file(build: &Build<'_>) -> Result<std::fs::File, Failure> {
    use rustix::fs::{Mode, OFlags};
    let folder = build.store.layout().ingest();
    match rustix::fs::open(&folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Ok(fd) => Ok(fd.into()),
        Err(errno) => Err(LayerError::Io { call: "open", path: folder, source: errno.into() }.into()),
    }
}
