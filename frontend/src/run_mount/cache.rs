//! `type=cache`: `target`, `id`, `sharing`, `from`, `source`, `mode`, `uid`,
//! `gid`, `ro`.

use graph::{Mount, MountKind, Sharing};

use super::{Kind, Lowering, Options};
use crate::lower::clean;

pub(super) const KIND: Kind = Kind {
    name: "cache",
    options: &[
        "target",
        "dst",
        "destination",
        "id",
        "sharing",
        "from",
        "source",
        "src",
        "mode",
        "uid",
        "gid",
        "readonly",
        "ro",
        "readwrite",
        "rw",
    ],
    lower,
};

/// A directory that outlives the build; its name is its target where it has
/// no `id`.
fn lower(options: &Options, at: &mut Lowering<'_, '_>) -> Option<Mount> {
    let target = at.target(options)?;
    let id = options.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| target.clone());
    let seed = match at.from {
        Some(from) => {
            let tree = at.stage.origin(from)?;
            Some((at.input(tree), clean(options.source.as_deref().unwrap_or("."))))
        }
        None => None,
    };
    let kind = MountKind::Cache {
        id: at.stage.cache_name(id),
        sharing: options.sharing.unwrap_or_default(),
        seed,
        mode: options.mode.unwrap_or(0o755),
        uid: options.uid.unwrap_or(0),
        gid: options.gid.unwrap_or(0),
    };
    Some(Mount { target, readonly: options.readonly.unwrap_or(false), kind })
}

pub(super) fn sharing(text: &str) -> Option<Sharing> {
    match text.to_ascii_lowercase().as_str() {
        "shared" => Some(Sharing::Shared),
        "private" => Some(Sharing::Private),
        "locked" => Some(Sharing::Locked),
        _ => None,
    }
}
