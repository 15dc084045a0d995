//! Options of docker's, buildx's and Buildah's builders that ask for what this builder is not: refused with a reason, and
//! with what to use.
//!
//! The table has at most [`MAX_ROWS`] rows; every other option of theirs has its effect here.

use crate::error::Error;

/// More refusals than this would be another builder.
#[cfg(test)]
const MAX_ROWS: usize = 15;

/// One refusal.
pub(crate) struct Row {
    /// The options, as they are typed.
    pub(crate) flags: &'static [&'static str],
    /// Why not.
    pub(crate) reason: &'static str,
    /// What to use.
    pub(crate) instead: &'static str,
}

/// All refusals.
pub(crate) const REFUSED: &[Row] = &[
    Row {
        flags: &["--invoke"],
        reason: "a shell in a build is another option here",
        instead: "`--on-error=shell` opens one where a step failed; `estiba run -it IMAGE sh` in what was built",
    },
    Row {
        flags: &["--policy"],
        reason: "policies in Rego are a language of their own",
        instead: "`estiba lock` pins what a build may fetch, and `--locked` holds it to that",
    },
    Row {
        flags: &["--sign-by"],
        reason: "GPG signatures beside a registry are read by few",
        instead: "sign the pushed digest (`--metadata-file` has it) and attach the signature: `estiba attach`",
    },
    Row {
        flags: &["--decryption-key", "--cw"],
        reason: "encrypted layers and confidential workloads are not made or read here",
        instead: "decrypt the image with skopeo, and build from the copy",
    },
    Row {
        flags: &["--hooks-dir", "--runtime", "--runtime-flag"],
        reason: "RUN starts in this program's own sandbox: no OCI runtime is underneath",
        instead: "leave it out",
    },
    Row {
        flags: &["--ipc", "--pid", "--uts", "--cgroupns"],
        reason: "each RUN has namespaces of its own, and the machine's are not shared with it",
        instead: "leave it out; `--security=insecure` of a RUN, with `--allow security.insecure`, lifts the other walls",
    },
    Row {
        flags: &["--logsplit"],
        reason: "one log has all platforms, and each line says whose it is",
        instead: "`estiba logs BUILD STEP` prints one step's",
    },
    Row {
        flags: &["--cpp-flag"],
        reason: "Containerfiles are not run through the C preprocessor",
        instead: "run it before: `cpp -E -P Containerfile.in | estiba build -f - .`",
    },
    Row {
        flags: &["--os-feature", "--os-version"],
        reason: "they describe Windows images, and RUN here is Linux",
        instead: "`estiba manifest annotate --os-version` writes them into an index",
    },
    Row {
        flags: &["--userns-uid-map", "--userns-gid-map", "--userns-uid-map-user", "--userns-gid-map-group"],
        reason: "which ids there are is decided by who builds, and an image has its own ids in any case",
        instead: "leave it out; `estiba doctor` tells which ids there are",
    },
];

/// The error for an option that is refused.
pub(crate) fn flag(written: &str) -> Option<Error> {
    let bare = written.split(['=', ' ']).next().unwrap_or(written);
    let row = REFUSED.iter().find(|row| row.flags.contains(&bare))?;
    Some(Error::usage(format!("{bare} is refused: {}", row.reason)).hint(row.instead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_refused_and_each_says_what_to_use() {
        assert!(REFUSED.len() <= MAX_ROWS);
        for row in REFUSED {
            assert!(!row.reason.is_empty() && !row.instead.is_empty(), "{:?}", row.flags);
            for refused in row.flags {
                assert!(flag(&format!("{refused}=x")).is_some());
            }
        }
        assert!(flag("--tag").is_none());
    }
}
