//! A Dockerfile looked at alone: without a context, without images.

use oci::{Digest, ImageConfig, Raw};

use crate::diagnostic::Diagnostic;
use crate::plan::{Options, Plan, Provided, Wanted};
use crate::source::SourceText;
use crate::syntax::{How, parse_how};

/// Everything that can be said of a Dockerfile alone, in the order of the file: what is wrong with it, and all warnings,
/// those of every stage, ours too. What base images bring is not known, and nothing is said that hangs on it.
pub fn check(source: &SourceText) -> Vec<Diagnostic> {
    let parsed = parse_how(source, &How { every_check: true, check: None, warnings_only: true });
    let mut found = parsed.diagnostics;
    let broken = found.iter().any(|finding| super::find(finding.rule).is_none() && finding.is_error());
    if !broken && !parsed.dockerfile.stages.is_empty() {
        let options = Options { lint: true, ..Options::default() };
        match Plan::new(parsed.dockerfile, source, options) {
            Ok(plan) => found.extend(finish(plan)),
            Err(errors) => found.extend(errors),
        }
    }
    found.sort_by_key(|finding| (finding.span.map(|span| span.start), finding.rule));
    found.dedup();
    found
}

fn finish(mut plan: Plan) -> Vec<Diagnostic> {
    while let Some(wanted) = plan.wanted() {
        let Some(provided) = unknown(&wanted) else { return Vec::new() };
        if let Err(errors) = plan.provide(wanted, provided) {
            return errors;
        }
    }
    match plan.lower() {
        Ok(lowered) => lowered.warnings,
        Err(findings) => findings,
    }
}

/// An answer that tells nothing: an image that has something in it, a commit, a file.
fn unknown(wanted: &Wanted) -> Option<Provided> {
    let digest = Digest::sha256(b"");
    let platform = match wanted {
        Wanted::Git { .. } => return Some(Provided::Git { commit: "0".repeat(40) }),
        Wanted::Http { .. } => return Some(Provided::Http { digest }),
        Wanted::Image { platform, .. } => platform,
    };
    let mut config = ImageConfig::empty(platform);
    config.rootfs.diff_ids.push(oci::DiffId::new(digest));
    let config = Raw::encode(config).ok()?;
    Some(Provided::Image { manifest: digest, config })
}
