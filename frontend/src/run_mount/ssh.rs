//! `type=ssh`: `id`, `target`, `required`, `mode`, `uid`, `gid`.

use graph::{Mount, MountKind};

use super::{Kind, Lowering, Options};
use crate::diagnostic::Diagnostic;
use crate::lower::absolute;

pub(super) const KIND: Kind =
    Kind { name: "ssh", options: &["id", "target", "dst", "destination", "required", "mode", "uid", "gid"], lower };

/// The socket of an agent. The graph can say it; no version of the builder
/// runs it yet.
fn lower(options: &Options, at: &mut Lowering<'_, '_>) -> Option<Mount> {
    let number = at.inputs.len() - 1;
    let target = match &options.target {
        Some(target) => absolute(at.stage.workdir(), target),
        None => format!("/run/buildkit/ssh_agent.{number}"),
    };
    let error = Diagnostic::error("NotInThisVersion", "ssh mounts come in a later version").at(at.span);
    at.stage.report(error.help("until then, fetch over https, or clone on the host and COPY the files"));
    let kind = MountKind::Ssh {
        id: options.id.clone().unwrap_or_else(|| "default".to_owned()),
        required: options.required,
        mode: options.mode.unwrap_or(0o600),
        uid: options.uid.unwrap_or(0),
        gid: options.gid.unwrap_or(0),
    };
    Some(Mount { target, readonly: true, kind })
}
