//! What FROM is given: `InvalidDefaultArgInFrom`, `UnpinnedBase`.

use super::File;
use crate::diagnostic::{Diagnostic, Findings};
use crate::environment::Environment;
use crate::instruction::Instruction;
use crate::word::{Expander, NoVariables};

/// With nothing but the defaults of the global ARGs, a base is still a name.
pub(super) fn default_args(file: &File<'_>, findings: &mut Findings) {
    let expander = Expander::new(file.dockerfile.directives.escape);
    let mut defaults = predefined();
    for statement in &file.dockerfile.global_args {
        let Instruction::Arg(arg) = &statement.instruction else { continue };
        for declared in &arg.args {
            let Some(default) = &declared.default else { continue };
            let Ok(value) = expander.expand(&default.text, &defaults) else { return };
            defaults.set(&declared.name.text, &value.text);
        }
    }
    for stage in &file.dockerfile.stages {
        let base = &stage.from.base;
        if !base.text.contains('$') {
            continue;
        }
        let Ok(expanded) = expander.expand(&base.text, &defaults) else { return };
        let is_layout = expanded.text.starts_with("oci-layout://");
        if !is_layout && expanded.text.parse::<oci::Reference>().is_err() {
            let message = format!("the defaults of the ARGs in `{base}` come to no image name");
            let warning = Diagnostic::warning("InvalidDefaultArgInFrom", message).at(base.span);
            findings.push(warning.help("give each ARG a default that makes a whole name"));
        }
    }
}

/// The variables that every build has; their values matter little here, that they are not empty does.
fn predefined() -> Environment {
    let mut environment = Environment::default();
    for prefix in ["BUILD", "TARGET"] {
        for (name, value) in [("PLATFORM", "linux/amd64"), ("OS", "linux"), ("ARCH", "amd64")] {
            environment.set(&format!("{prefix}{name}"), value);
        }
    }
    environment
}

/// A base without a tag, or with `latest`, is another one tomorrow.
pub(super) fn unpinned(file: &File<'_>, findings: &mut Findings) {
    let mut names: Vec<&str> = Vec::new();
    for stage in &file.dockerfile.stages {
        let base = &stage.from.base;
        if !names.contains(&base.text.as_str()) && base.text != "scratch" && is_unpinned(&base.text) {
            let message =
                format!("`{}` names no version: it is another image whenever its publisher moves it", base.text);
            let warning = Diagnostic::warning("UnpinnedBase", message).at(base.span);
            findings.push(warning.help("add a tag such as `:1.2`, or a digest"));
        }
        names.extend(stage.from.name.as_ref().map(|name| name.text.as_str()));
    }
}

fn is_unpinned(base: &str) -> bool {
    let plain = Expander::new('\\').expand(base, &NoVariables);
    if base.contains('$') || plain.is_err() || base.contains("://") || base.contains('@') {
        return false;
    }
    let last = base.rsplit('/').next().unwrap_or(base);
    match last.split_once(':') {
        None => true,
        Some((_, tag)) => tag == "latest",
    }
}
