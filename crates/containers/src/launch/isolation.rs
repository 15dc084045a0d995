//! What the program may do.

use runtime::container::{CapSet, Seccomp, Spec};

use super::LaunchError;
use crate::Config;

pub(super) fn apply(config: &Config, spec: &mut Spec) -> Result<(), LaunchError> {
    let isolation = &config.isolation;
    spec.caps = CapSet::adjusted(&isolation.cap_add, &isolation.cap_drop)?;
    spec.seccomp = isolation.seccomp.clone().unwrap_or(Seccomp::Default);
    spec.no_new_privs = isolation.no_new_privs;
    spec.privileged = isolation.privileged;
    Ok(())
}
