//! `estiba completions`.

use crate::runner::Env;

#[test]
fn every_shell_has_a_script() {
    let env = Env::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = env.ok(&["completions", shell]);
        assert!(script.contains("estiba") && script.contains("build-arg"), "{shell}");
    }
}
