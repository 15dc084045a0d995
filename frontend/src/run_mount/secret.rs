//! `type=secret`: `id`, `target`, `env`, `required`, `mode`, `uid`, `gid`.

use graph::{Mount, MountKind};

use super::{Kind, Lowering, Options};
use crate::diagnostic::Diagnostic;
use crate::lower::absolute;

pub(super) const KIND: Kind = Kind {
    name: "secret",
    options: &["id", "source", "src", "target", "dst", "destination", "env", "required", "mode", "uid", "gid"],
    lower,
};

/// A secret, as a file under `/run/secrets` or where `target` says, or as a
/// variable. The graph can say it; no version of the builder runs it yet.
fn lower(options: &Options, at: &mut Lowering<'_, '_>) -> Option<Mount> {
    let given = options.id.as_ref().or(options.source.as_ref()).or(options.target.as_ref());
    let name = given.map(|name| name.rsplit('/').next().unwrap_or(name)).filter(|name| !name.is_empty());
    let Some(name) = name else {
        at.stage.fail(at.span, "a secret mount needs an `id`");
        return None;
    };
    let target = match (&options.target, &options.env) {
        (Some(target), _) => absolute(at.stage.workdir(), target),
        (None, _) => format!("/run/secrets/{name}"),
    };
    let error = Diagnostic::error("NotInThisVersion", "secret mounts come in a later version").at(at.span);
    at.stage.report(error.help(
        "until then, bind the file from a named context: `--build-context secrets=DIR` and \
         `RUN --mount=from=secrets,source=FILE,target=…`; it stays out of the image",
    ));
    let kind = MountKind::Secret {
        id: options.id.clone().or_else(|| options.source.clone()).unwrap_or_else(|| name.to_owned()),
        env: options.env.clone(),
        required: options.required,
        mode: options.mode.unwrap_or(0o400),
        uid: options.uid.unwrap_or(0),
        gid: options.gid.unwrap_or(0),
    };
    Some(Mount { target, readonly: true, kind })
}
