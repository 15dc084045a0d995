//! What the arguments and the environment decide, for the frontend and for the builder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use builder::Telling;
use builder::ssh::AgentPlace;
use graph::Network;
use oci::Platform;

use super::{Args, context};
use crate::context::variable;
use crate::error::{Error, Result};

/// Where distributions keep the bundle of the authorities they trust.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The variable that reproducible-builds.org settled on.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What the frontend decides with.
pub(super) fn for_frontend(args: &Args) -> Result<frontend::Options> {
    let mut build_args = build_args(args);
    if let Some(epoch) = args.output.build_epoch() {
        build_args.insert(EPOCH.to_owned(), epoch.to_string());
    }
    if let (None, Some(epoch)) = (build_args.get(EPOCH), variable(EPOCH)) {
        // As buildx does: RUNs and ARGs see what clamps the layers.
        build_args.insert(EPOCH.to_owned(), epoch);
    }
    Ok(frontend::Options {
        target: args.target.clone(),
        build_args,
        first_base: args.familiar.from.clone(),
        build_platform: Platform::host(),
        labels: labels(args)?,
        contexts: context::for_frontend(args)?,
        no_cache: args.caching.no_cache,
        no_cache_filter: args.caching.no_cache_filter.iter().cloned().collect(),
        network: network(&args.running.network)?,
        hostname: None,
        source_date_epoch: epoch(args)?,
        // The platform: as many plans are made as there are.
        ..frontend::Options::default()
    })
}

/// What the builder builds with.
pub(super) fn for_builder(args: &Args) -> Result<builder::Options> {
    if args.jobs == Some(0) {
        return Err(Error::usage("--jobs 0: at least one step must run at a time"));
    }
    Ok(builder::Options {
        jobs: args.jobs,
        running: args.running.running()?,
        telling: Telling { explain: args.telling.explain || args.telling.report.is_some(), ..Telling::default() },
        caching: args.caching.all()?,
        ..builder::Options::default()
    })
}

/// What stands in for the file's `# check=…`, as BuildKit takes it.
pub(super) fn check(options: &frontend::Options) -> Option<String> {
    options.build_args.get("BUILDKIT_DOCKERFILE_CHECK").cloned()
}

/// Whether `.git` of a context stays, as BuildKit's build argument says it.
pub(super) fn keeps_git_dir(args: &Args) -> bool {
    let value = build_args(args).remove("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
    value.is_some_and(|value| matches!(value.as_str(), "1" | "true" | "t" | "T" | "TRUE" | "True"))
}

/// The agent for repositories behind ssh, where the user named one; else that of the environment serves.
pub(super) fn agent(args: &Args) -> Result<Option<PathBuf>> {
    let agents = args.running.agents()?;
    Ok(match agents.source("default").map(|source| &source.place) {
        Some(AgentPlace::Socket(socket) | AgentPlace::Raw(socket)) => Some(socket.clone()),
        Some(AgentPlace::Keys(_)) | None => None,
    })
}

pub(super) fn build_args(args: &Args) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for written in &args.build_args {
        match written.split_once('=') {
            Some((name, value)) => drop(all.insert(name.to_owned(), value.to_owned())),
            // A bare name that the environment does not have is as if it had not been given.
            None => {
                if let Some(value) = std::env::var_os(written).and_then(|value| value.into_string().ok()) {
                    all.insert(written.clone(), value);
                }
            }
        }
    }
    all
}

pub(super) fn labels(args: &Args) -> Result<BTreeMap<String, String>> {
    let one = |written: &String| {
        let (key, value) = written.split_once('=').unwrap_or((written, ""));
        if key.is_empty() {
            return Err(Error::usage(format!("--label {written}: expected KEY=VALUE")));
        }
        Ok((key.to_owned(), value.to_owned()))
    };
    args.labels.iter().map(one).collect()
}

fn network(written: &str) -> Result<Network> {
    match written {
        "default" | "bridge" => Ok(Network::Default),
        "host" => Ok(Network::Host),
        "none" => Ok(Network::None),
        other => Err(Error::usage(format!("--network {other}: expected default, host or none"))),
    }
}

/// `SOURCE_DATE_EPOCH` from the arguments, else the environment; `--reproducible` alone means 1970.
pub(super) fn epoch(args: &Args) -> Result<Option<i64>> {
    if let Some(seconds) = args.output.epoch() {
        return Ok(Some(seconds));
    }
    let given = build_args(args).remove(EPOCH).filter(|value| !value.is_empty());
    match given.or_else(|| variable(EPOCH)) {
        Some(text) => match text.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            // The frontend knows it too, and the context's time is known once the context is here.
            Err(_) if text == "context" => Ok(None),
            Err(_) => Err(Error::usage(format!("{EPOCH}={text}: expected seconds since 1970"))),
        },
        None => Ok(args.reproducible.then_some(0)),
    }
}

pub(super) fn ca_bundle(written: &str) -> Result<PathBuf> {
    if written != "system" {
        let path = std::path::absolute(written)?;
        if !path.is_file() {
            return Err(Error::failed(format!("--ca-bundle {written}: there is no such file")));
        }
        return Ok(path);
    }
    let named = variable("SSL_CERT_FILE").map(PathBuf::from);
    let found = named.into_iter().chain(SYSTEM_BUNDLES.map(PathBuf::from)).find(|path| path.is_file());
    found.ok_or_else(|| {
        Error::failed("--ca-bundle system: no bundle was found on this machine")
            .hint("name the PEM file: `--ca-bundle FILE`")
    })
}
