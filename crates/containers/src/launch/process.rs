//! The program.

use runtime::container::{Spec, WindowSize};

use crate::Config;

/// The size of a terminal until who attaches says his.
const WINDOW: WindowSize = WindowSize { rows: 24, columns: 80 };

pub(super) fn apply(config: &Config, spec: &mut Spec) {
    let process = &config.process;
    spec.env.clone_from(&process.env);
    spec.cwd.clone_from(&process.cwd);
    spec.user.clone_from(&process.user);
    spec.extra_groups.clone_from(&process.groups);
    spec.hostname.clone_from(&process.hostname);
    spec.init = process.init;
    spec.terminal = process.terminal.then_some(WINDOW);
}
