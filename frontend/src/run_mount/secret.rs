//! `type=secret`: `id`, `target`, `env`, `required`, `mode`, `uid`, `gid`.

use graph::{Mount, MountKind};

use super::{Kind, Lowering, Options};
use crate::lower::absolute;

pub(super) const KIND: Kind = Kind {
    name: "secret",
    options: &["id", "source", "src", "target", "dst", "destination", "env", "required", "mode", "uid", "gid"],
    lower,
};

/// A secret, as a file under `/run/secrets` or where `target` says, or as a
/// variable, or both where `target` is written beside `env`. A mount without
/// a file has an empty target.
fn lower(options: &Options, at: &mut Lowering<'_, '_>) -> Option<Mount> {
    let base = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let written = options.source.as_ref().or(options.id.as_ref()).filter(|id| !id.is_empty()).cloned();
    let id = written.or_else(|| options.target.as_deref().map(base)).filter(|id| !id.is_empty());
    let Some(id) = id else {
        at.stage.fail(at.span, "a secret mount needs an `id`");
        return None;
    };
    let target = match (&options.target, &options.env) {
        (Some(target), _) => absolute(at.stage.workdir(), target),
        (None, Some(_)) => String::new(),
        (None, None) => format!("/run/secrets/{}", base(&id)),
    };
    if options.env.as_deref().is_some_and(|name| name.is_empty() || name.contains(['=', '\0'])) {
        at.stage.fail(at.span, "`env` needs the name of a variable: `env=TOKEN`");
        return None;
    }
    let kind = MountKind::Secret {
        id,
        env: options.env.clone(),
        required: options.required,
        mode: options.mode.unwrap_or(0o400),
        uid: options.uid.unwrap_or(0),
        gid: options.gid.unwrap_or(0),
    };
    Some(Mount { target, readonly: true, kind })
}
