//! Options of docker's and Buildah's builders that ask for what happens anyway, or are other words for an option of ours.

use oci::ImageConfig;

use crate::error::{Error, Result};
use crate::resolve::Policy;

/// Options that people bring along.
#[derive(Debug, clap::Args)]
pub(super) struct FamiliarArgs {
    /// Another image for the first FROM
    #[arg(long, value_name = "IMAGE")]
    pub(super) from: Option<String>,
    /// Set a variable of the image; without a value it comes from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,
    /// As --pull=always
    #[arg(long, hide = true)]
    pull_always: bool,
    /// As --pull=never
    #[arg(long, hide = true)]
    pull_never: bool,
    // What follows happens anyway: contexts are sent nowhere, no intermediate container stays, and stages that nothing
    // needs are never built.
    #[arg(long, hide = true)]
    compress: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    force_rm: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    skip_unused_stages: Option<String>,
    /// Signatures of Docker Content Trust were never asked for
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_content_trust: Option<String>,
    /// There is one builder, and it is in this binary
    #[arg(long, hide = true)]
    builder: Option<String>,
    #[arg(short = 'D', long, hide = true)]
    debug: bool,
}

impl FamiliarArgs {
    /// What says when registries are asked.
    pub(super) fn pull(&self, said: Policy) -> Policy {
        match (self.pull_always, self.pull_never) {
            (true, _) => Policy::Always,
            (_, true) => Policy::Never,
            (false, false) => said,
        }
    }

    /// Refuses what contradicts what this builder does.
    pub(super) fn check(&self) -> Result {
        if self.disable_content_trust.as_deref() == Some("false") {
            return Err(Error::usage("--disable-content-trust=false: Docker Content Trust is not checked here")
                .hint("name bases by digest; `estiba lock` does that for all of them"));
        }
        if self.skip_unused_stages.as_deref() == Some("false") {
            return Err(Error::usage("--skip-unused-stages=false: stages that nothing needs are never built")
                .hint("build them by name: `--target STAGE`"));
        }
        Ok(())
    }

    /// Sets the variables of the image, after those of the Dockerfile.
    pub(super) fn apply(&self, config: &mut ImageConfig) {
        for written in &self.env {
            let (name, value) = match written.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => match std::env::var(written) {
                    Ok(value) => (written.as_str(), value),
                    Err(_) => continue,
                },
            };
            let entry = format!("{name}={value}");
            let env = &mut config.config.env;
            match env.iter_mut().find(|known| known.split('=').next() == Some(name)) {
                Some(known) => *known = entry,
                None => env.push(entry),
            }
        }
    }
}
