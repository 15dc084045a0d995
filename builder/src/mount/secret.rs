//! Secret mounts: bytes that a RUN sees as a file in memory or as a variable, and that nothing else ever holds.

use graph::{Mount as Wanted, MountKind};
use runtime::container::{Mount, Source};

use super::{MountError, Prepared, target};
use crate::build::Build;

/// Adds what the RUN gets of one secret.
pub(super) fn add(
    build: &Build<'_>,
    exec: &graph::Exec,
    wanted: &Wanted,
    prepared: &mut Prepared,
) -> Result<(), MountError> {
    let MountKind::Secret { id, env, required, mode, uid, gid } = &wanted.kind else { return Ok(()) };
    let Some(secret) = build.request.options.running.secrets.get(id)? else {
        if *required {
            let id = id.clone();
            return Err(match build.request.options.running.secrets.variable(&id) {
                Some(name) => MountError::NoVariable { name: name.to_owned(), id },
                None => MountError::NoSecret { id },
            });
        }
        return Ok(());
    };
    if let Some(name) = env {
        let text = std::str::from_utf8(&secret).ok().filter(|text| !text.contains('\0'));
        let text = text.ok_or_else(|| MountError::NoText { id: id.clone(), name: name.clone() })?;
        prepared.env.push((name.clone(), text.to_owned()));
    }
    if !wanted.target.is_empty() {
        if super::is_chroot(build) {
            return Err(MountError::NoMounts { what: "a secret as a file", target: wanted.target.clone() });
        }
        let source = Source::Data { data: secret.to_vec(), mode: *mode, uid: *uid, gid: *gid };
        prepared.mounts.push(Mount { target: target(exec, wanted), source, readonly: true });
    }
    prepared.secrets.push(secret);
    Ok(())
}
