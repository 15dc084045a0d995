//! SSH mounts: the socket of an agent that signs for a RUN.

use std::path::Path;

use graph::{Mount as Wanted, MountKind};
use runtime::container::{Mount, Source};
use runtime::ladder::Rung;

use super::{MountError, Prepared, target};
use crate::build::Build;
use crate::ssh::Access;

/// The variable in which an agent is told to its clients.
const VARIABLE: &str = "SSH_AUTH_SOCK";

/// Adds the agent that the RUN gets; the first of them is told in a variable. `place` is a folder for its socket.
pub(super) fn add(
    build: &Build<'_>,
    exec: &graph::Exec,
    wanted: &Wanted,
    place: &Path,
    prepared: &mut Prepared,
) -> Result<(), MountError> {
    let MountKind::Ssh { id, required, mode, uid, gid } = &wanted.kind else { return Ok(()) };
    let agents = &build.request.options.running.agents;
    if agents.source(id).is_none() {
        if *required {
            return Err(MountError::NoAgent { id: id.clone() });
        }
        return Ok(());
    }
    if super::is_chroot(build) {
        return Err(MountError::NoMounts { what: "an agent's socket", target: wanted.target.clone() });
    }
    let single = build.sandbox.is_some_and(|sandbox| matches!(sandbox.probe.rung, Rung::SingleId));
    let owner = ((*uid, *gid) != (0, 0) && !single).then_some((*uid, *gid));
    let Some(listener) = agents.listen(id, place, Access { mode: *mode, owner })? else { return Ok(()) };
    let target = target(exec, wanted);
    if prepared.agents.is_empty() && exec.env.iter().all(|(name, _)| name != VARIABLE) {
        prepared.env.push((VARIABLE.to_owned(), target.clone()));
    }
    let source = Source::Path { path: listener.path().to_path_buf(), recursive: false };
    prepared.mounts.push(Mount { target, source, readonly: true });
    prepared.agents.push(listener);
    Ok(())
}
