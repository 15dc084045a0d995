//! `type=bind`, the default: `target`, `source`, `from`, `rw`.

use graph::{Mount, MountKind};

use super::{Kind, Lowering, Options};
use crate::lower::clean;

pub(super) const KIND: Kind = Kind {
    name: "bind",
    options: &["target", "dst", "destination", "source", "src", "from", "readonly", "ro", "readwrite", "rw"],
    lower,
};

/// A path of the context, a stage or an image. Writes, where allowed, are
/// thrown away.
fn lower(options: &Options, at: &mut Lowering<'_, '_>) -> Option<Mount> {
    let target = at.target(options)?;
    let tree = match at.from {
        Some(from) => at.stage.origin(from)?,
        None => at.stage.context(),
    };
    let source = clean(options.source.as_deref().unwrap_or("."));
    let input = at.input(tree);
    Some(Mount { target, readonly: options.readonly.unwrap_or(true), kind: MountKind::Bind { input, source } })
}
