//! Limits.

use runtime::container::Spec;

use crate::Config;

pub(super) fn apply(config: &Config, spec: &mut Spec) {
    spec.rlimits.clone_from(&config.resources.rlimits);
    spec.oom_score_adj = config.resources.oom_score_adj;
}
