//! Build arguments: global, predefined, and the ones nobody declares.

use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use crate::diagnostic::{Diagnostic, Findings};
use crate::environment::Environment;
use crate::instruction::Instruction;
use crate::lower::Epoch;
use crate::syntax::{Dockerfile, Statement};
use crate::word::Expander;

/// Proxy variables reach every RUN without an ARG, and no key and no history.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The predefined arguments and the ARGs before the first FROM.
pub(super) fn globals(dockerfile: &Dockerfile, options: &Options, findings: &mut Findings) -> Environment {
    let mut globals = predefined(dockerfile, options);
    let expander = Expander::new(dockerfile.directives.escape);
    for statement in &dockerfile.global_args {
        let Instruction::Arg(arg) = &statement.instruction else { continue };
        for declaration in &arg.args {
            let name = &declaration.name.text;
            if let Some(value) = options.build_args.get(name) {
                globals.set(name, value);
                continue;
            }
            let Some(default) = &declaration.default else { continue };
            match expander.expand(&default.text, &globals) {
                Ok(expanded) => globals.set(name, &expanded.text),
                Err(error) => {
                    findings.push(Diagnostic::error("InvalidExpansion", error.message).at(default.span));
                }
            }
        }
    }
    globals
}

fn predefined(dockerfile: &Dockerfile, options: &Options) -> Environment {
    let last = dockerfile.stages.last().and_then(|stage| stage.from.name.as_ref());
    let target = options.target.as_deref().or(last.map(|name| name.text.as_str())).unwrap_or("default");
    let mut pairs = Vec::new();
    for (prefix, platform) in [("BUILD", &options.build_platform), ("TARGET", &options.platform)] {
        pairs.push((format!("{prefix}PLATFORM"), platform.to_string()));
        pairs.push((format!("{prefix}OS"), platform.os.clone()));
        pairs.push((format!("{prefix}OSVERSION"), platform.os_version.clone().unwrap_or_default()));
        pairs.push((format!("{prefix}ARCH"), platform.architecture.clone()));
        pairs.push((format!("{prefix}VARIANT"), platform.variant.clone().unwrap_or_default()));
    }
    pairs.push(("TARGETSTAGE".to_owned(), target.to_owned()));
    let mut environment = Environment::default();
    for (name, value) in pairs {
        environment.set(&name, options.build_args.get(&name).unwrap_or(&value));
    }
    environment
}

/// `SOURCE_DATE_EPOCH` of the caller, of `--build-arg`, or of a global ARG.
pub(super) fn epoch(options: &Options, globals: &Environment, findings: &mut Findings) -> Option<Epoch> {
    if let Some(seconds) = options.source_date_epoch {
        return Some(Epoch::Seconds(seconds));
    }
    let text = options.build_args.get(SOURCE_DATE_EPOCH).map(String::as_str).or(globals.get(SOURCE_DATE_EPOCH))?;
    match text {
        "" => None,
        "context" => Some(Epoch::Context),
        number => match number.parse() {
            Ok(seconds) => Some(Epoch::Seconds(seconds)),
            Err(_) => {
                let message = format!("SOURCE_DATE_EPOCH is `{number}`: it is a number of seconds, or `context`");
                findings.push(Diagnostic::error("InvalidEpoch", message));
                None
            }
        },
    }
}

/// The proxy variables that were given, in both cases.
pub(super) fn proxies(options: &Options) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for name in PROXIES {
        let given = options.build_args.iter().rfind(|(given, _)| given.eq_ignore_ascii_case(name));
        if let Some((_, value)) = given.filter(|(_, value)| !value.is_empty()) {
            pairs.push((name.to_owned(), value.clone()));
            pairs.push((name.to_ascii_lowercase(), value.clone()));
        }
    }
    pairs
}

/// Arguments that were given and that nothing takes.
pub(super) fn unused(options: &Options, dockerfile: &Dockerfile, used: &BTreeMap<String, String>) -> Vec<String> {
    let bodies = dockerfile.stages.iter().flat_map(|stage| &stage.body);
    let statements = dockerfile.global_args.iter().chain(bodies);
    let declared: BTreeSet<&str> = statements.flat_map(declared_by).collect();
    let predefined = predefined(dockerfile, options);
    let taken = |name: &str| {
        used.contains_key(name)
            || declared.contains(name)
            || predefined.get(name).is_some()
            || name == SOURCE_DATE_EPOCH
            || name.starts_with("BUILDKIT_")
            || PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
    };
    options.build_args.keys().filter(|name| !taken(name)).cloned().collect()
}

fn declared_by(statement: &Statement) -> impl Iterator<Item = &str> {
    let args = match &statement.instruction {
        Instruction::Arg(arg) => &arg.args[..],
        _ => &[],
    };
    args.iter().map(|declaration| declaration.name.text.as_str())
}
