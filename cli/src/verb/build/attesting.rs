//! What is said of an image besides the image: `--provenance`, `--sbom` and `--attest`, as buildx writes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use builder::{Attesting, Invocation, Provenance, Request};
use graph::Op;

use super::dockerfile::Source;
use super::{Args, options};
use crate::error::{Error, Result};
use crate::keyed::Keyed;

const PROVENANCE_KEYS: [&str; 8] =
    ["type", "mode", "builder-id", "reproducible", "version", "inline-only", "filename", "disabled"];
const SBOM_KEYS: [&str; 3] = ["type", "generator", "disabled"];

/// Options about attestations.
#[derive(Debug, clap::Args)]
pub(super) struct AttestingArgs {
    /// Attach how the image was made: true, or mode=min|max[,builder-id=URL][,reproducible=true]
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) provenance: Option<String>,
    /// Attach what is in the image: its packages, as SPDX
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) sbom: Option<String>,
    /// The same in its long form: type=provenance|sbom[,mode=…] (may be repeated)
    #[arg(long, value_name = "ATTESTATION")]
    pub(super) attest: Vec<String>,
    /// Build twice, the second time from nothing, and tell every difference
    #[arg(long)]
    pub(super) verify: bool,
}

/// What is to be attached, and what the command line asked for: the values of build arguments among it, which the builder
/// tells with `mode=max` only.
pub(super) fn asked(args: &Args, source: &Source) -> Result<Attesting> {
    let mut all = parse(&args.attesting)?;
    if all.provenance.is_none() {
        return Ok(all);
    }
    let mut given = BTreeMap::new();
    for (name, value) in options::build_args(args) {
        given.insert(format!("build-arg:{name}"), value);
    }
    for (name, value) in options::labels(args)? {
        given.insert(format!("label:{name}"), value);
    }
    if let Some(target) = &args.target {
        given.insert("target".to_owned(), target.clone());
    }
    if args.caching.no_cache {
        given.insert("no-cache".to_owned(), String::new());
    }
    let within = match (&source.path, &source.context) {
        (Some(path), Some(context)) => path.strip_prefix(context).unwrap_or(path).display().to_string(),
        _ => source.text.name().to_owned(),
    };
    all.invocation = Invocation {
        args: given,
        path: within,
        // A checkout of the store is told by its commit.
        vcs: source.context.as_deref().filter(|_| !source.foreign).map(vcs).unwrap_or_default(),
        text: source.text.text().to_owned(),
        ..Invocation::default()
    };
    Ok(all)
}

/// Where a main context came from that is no folder of this machine, and what it was.
pub(super) fn came_from(invocation: &mut Invocation, args: &Args, brought: Option<(&'static str, String)>) {
    if let Some((algorithm, digits)) = brought {
        invocation.uri = Some(frontend::git_url::shown_url(&args.context.context));
        invocation.digest.insert(algorithm.to_owned(), digits);
    }
}

/// Whether a build has a RUN.
pub(super) fn runs_something(request: &Request) -> bool {
    let steps = request.graph.reachable(&request.roots());
    steps.into_iter().any(|edge| matches!(request.graph.vertex(edge).op(), Op::Exec(_)))
}

/// What git says of a folder: where it is from, and its commit. As buildx does, a hint that nobody verified.
fn vcs(folder: &Path) -> BTreeMap<String, String> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        // A repository's own settings may name programs to run.
        command.args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]).args(arguments);
        let output = command.current_dir(folder).env("GIT_OPTIONAL_LOCKS", "0").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        (output.status.success()).then(|| text.trim().to_owned())
    };
    let mut known = BTreeMap::new();
    let Some(commit) = git(&["rev-parse", "--verify", "HEAD"]).filter(|commit| !commit.is_empty()) else {
        return known;
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
    known.insert("revision".to_owned(), if changed { format!("{commit}-dirty") } else { commit });
    if let Some(address) = git(&["config", "--get", "remote.origin.url"]).filter(|address| !address.is_empty()) {
        known.insert("source".to_owned(), frontend::git_url::shown_url(&address));
    }
    known
}

/// What is to be attached.
fn parse(args: &AttestingArgs) -> Result<Attesting> {
    let mut all = Attesting::default();
    let mut seen = Vec::new();
    let short = [("provenance", &args.provenance), ("sbom", &args.sbom)];
    let short = short
        .iter()
        .filter_map(|(kind, value)| Some((*kind, format!("--{kind}={}", value.as_ref()?), value.as_deref()?)));
    let mut written: Vec<(String, String, Keyed)> = Vec::new();
    for (kind, shown, value) in short {
        let keyed = match value {
            "true" | "1" => Keyed::default(),
            "false" | "0" => Keyed::parse("disabled=true")?,
            other => Keyed::parse(other)?,
        };
        written.push((kind.to_owned(), shown, keyed));
    }
    for value in &args.attest {
        let mut keyed = Keyed::parse(value)?;
        let shown = format!("--attest {value}");
        let kind = keyed.take(&["type"]).ok_or_else(|| {
            Error::usage(format!("{shown}: type= is missing")).hint("the types are provenance and sbom")
        })?;
        written.push((kind, shown, keyed));
    }
    for (kind, shown, keyed) in written {
        if seen.contains(&kind) {
            return Err(Error::usage(format!("{shown}: {kind} is asked for twice")));
        }
        match kind.as_str() {
            "provenance" => all.provenance = provenance(keyed, &shown)?,
            "sbom" => all.sbom = sbom(keyed, &shown)?,
            other => {
                return Err(
                    Error::usage(format!("{shown}: unknown type {other}")).hint("the types are provenance and sbom")
                );
            }
        }
        seen.push(kind);
    }
    Ok(all)
}

fn provenance(mut keys: Keyed, shown: &str) -> Result<Option<Provenance>> {
    let disabled = keys.take_switch(&["disabled"])?.unwrap_or(false);
    let max = match keys.take(&["mode"]).as_deref() {
        None | Some("max") => true,
        Some("min") => false,
        Some(other) => return Err(Error::usage(format!("{shown}: mode={other}: expected min or max"))),
    };
    match keys.take(&["version"]).as_deref() {
        None | Some("v1") => {}
        Some("v0.2") => {
            return Err(Error::usage(format!("{shown}: SLSA v0.2 is not written"))
                .hint("version=v1 is what BuildKit writes by itself, too"));
        }
        Some(other) => return Err(Error::usage(format!("{shown}: version={other}: expected v1"))),
    }
    let provenance = Provenance {
        max,
        builder_id: keys.take(&["builder-id"]).unwrap_or_default(),
        reproducible: keys.take_switch(&["reproducible"])?.unwrap_or(false),
        inline_only: keys.take_switch(&["inline-only"])?.unwrap_or(false),
        filename: keys.take(&["filename"]).map(|name| file_name(name, shown)).transpose()?,
    };
    keys.finish(shown, &PROVENANCE_KEYS)?;
    Ok((!disabled).then_some(provenance))
}

fn sbom(mut keys: Keyed, shown: &str) -> Result<bool> {
    let disabled = keys.take_switch(&["disabled"])?.unwrap_or(false);
    if let Some(generator) = keys.take(&["generator"]) {
        return Err(Error::usage(format!(
            "{shown}: the generator {generator} is not run: estiba reads the packages itself"
        ))
        .hint("use --sbom=true"));
    }
    keys.finish(shown, &SBOM_KEYS)?;
    Ok(!disabled)
}

/// A name within the output's folder.
fn file_name(name: String, shown: &str) -> Result<String> {
    match name.contains('/') || name.is_empty() || name == "." || name == ".." {
        true => Err(Error::usage(format!("{shown}: filename={name}: expected a file's name"))),
        false => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(provenance: Option<&str>, sbom: Option<&str>, attest: &[&str]) -> Result<Attesting> {
        let own = |value: Option<&str>| value.map(str::to_owned);
        let attest = attest.iter().map(|value| (*value).to_owned()).collect();
        parse(&AttestingArgs { provenance: own(provenance), sbom: own(sbom), attest, verify: false })
    }

    #[test]
    fn the_forms_people_write() {
        assert!(!asked(None, None, &[]).unwrap().is_asked());
        assert!(!asked(Some("false"), Some("false"), &[]).unwrap().is_asked());
        assert!(asked(Some("true"), None, &[]).unwrap().provenance.unwrap().max);
        assert!(!asked(Some("mode=min"), None, &[]).unwrap().provenance.unwrap().max);
        let long = ["type=provenance,mode=max,builder-id=https://ci/1,reproducible=true", "type=sbom"];
        let all = asked(None, None, &long).unwrap();
        let provenance = all.provenance.unwrap();
        assert_eq!((provenance.builder_id.as_str(), provenance.reproducible, all.sbom), ("https://ci/1", true, true));
        assert!(asked(None, None, &["type=provenance,disabled=true"]).unwrap().provenance.is_none());
    }

    #[test]
    fn what_is_refused() {
        let bad: [(Option<&str>, Option<&str>, &[&str]); 8] = [
            (Some("mode=medium"), None, &[]),
            (Some("version=v0.2"), None, &[]),
            (Some("filename=../x"), None, &[]),
            (None, Some("generator=docker/scout"), &[]),
            (None, Some("mode=max"), &[]),
            (None, None, &["mode=max"]),
            (None, None, &["type=build-logs"]),
            (Some("true"), None, &["type=provenance"]),
        ];
        for (provenance, sbom, attest) in bad {
            assert!(asked(provenance, sbom, attest).is_err(), "{provenance:?} {sbom:?} {attest:?}");
        }
    }
}
