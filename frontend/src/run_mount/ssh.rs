//! `type=ssh`: `id`, `target`, `required`, `mode`, `uid`, `gid`.

use graph::{Mount, MountKind};

use super::{Kind, Lowering, Options};
use crate::lower::absolute;

/// Where sockets are that have no `target`.
const SOCKETS: &str = "/run/buildkit/ssh_agent.";

pub(super) const KIND: Kind =
    Kind { name: "ssh", options: &["id", "target", "dst", "destination", "required", "mode", "uid", "gid"], lower };

/// The socket of an agent, where `target` says, or BuildKit's place with the
/// number of the instruction's ssh mount.
fn lower(options: &Options, at: &mut Lowering<'_, '_>) -> Option<Mount> {
    let target = match &options.target {
        Some(target) => absolute(at.stage.workdir(), target),
        None => format!("{SOCKETS}{}", *at.agents),
    };
    *at.agents += 1;
    let kind = MountKind::Ssh {
        id: options.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| "default".to_owned()),
        required: options.required,
        mode: options.mode.unwrap_or(0o600),
        uid: options.uid.unwrap_or(0),
        gid: options.gid.unwrap_or(0),
    };
    Some(Mount { target, readonly: true, kind })
}
