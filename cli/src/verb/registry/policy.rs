//! `estiba registry policy`.

use std::path::{Path, PathBuf};

use oci::{RepositoryName, Tag};
use registry_server::auth::policy::{Caller, Decision, Policy};
use registry_server::auth::{Action, Anonymous};

use super::Place;
use crate::context::Context;
use crate::error::{Error, Result, code};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba registry policy check policy.toml                                    Is the file right?
  estiba registry policy check --policy policy.toml --user ann team/app push  May ann push there, and why?
  estiba registry policy check --config registry.toml --user ci:x --claim ref=refs/heads/main ci/app update --tag v1
  estiba registry policy check --policy policy.toml team/app pull             May anybody?

Ends with 0 where it is allowed or the file is right, else with 1.";

/// Arguments of `estiba registry policy`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check a policy file, or ask it who may do what
    Check(Check),
}

/// Arguments of `estiba registry policy check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "estiba registry policy check [OPTIONS] FILE\n       estiba registry policy check [OPTIONS] REPOSITORY ACTION")]
struct Check {
    /// The policy file to check; or a repository, and what is to be done there: pull, push, update or delete
    #[arg(value_name = "FILE | REPOSITORY ACTION", num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// The policy file to ask [default: the configuration's]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Who; without --user, --group and --claim it is somebody who has not logged in
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A group they are in; may be given again
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// A claim of their token; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, String)>,
    /// Which tag is to be updated or deleted
    #[arg(long, value_name = "TAG")]
    tag: Option<Tag>,
}

fn claim(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let Verb::Check(check) = args.verb;
    match check.words.as_slice() {
        [file] => validate(Path::new(file)),
        [repository, action] => {
            let repository: RepositoryName = repository.parse()?;
            let action: Action = action.parse().map_err(Error::usage)?;
            ask(&check, &repository, action)
        }
        _ => Ok(code::USAGE),
    }
}

fn validate(path: &Path) -> Result<u8> {
    let rules = read(path)?.rules();
    ui::out(&format!("{}: {rules} {}\n", path.display(), if rules == 1 { "rule" } else { "rules" }))?;
    Ok(0)
}

fn ask(check: &Check, repository: &RepositoryName, action: Action) -> Result<u8> {
    let mut caller = Caller { user: check.user.clone(), groups: check.group.clone(), claims: check.claim.clone() };
    let mut everybody = Anonymous::None;
    let path = match &check.policy {
        Some(path) => path.clone(),
        None => {
            let auth = check.place.load(Vec::new())?.auth;
            everybody = auth.anonymous.unwrap_or(everybody);
            let member = |names: &Vec<String>| caller.user.as_ref().is_some_and(|user| names.contains(user));
            let groups = auth.groups.iter().filter(|(_, names)| member(names)).map(|(group, _)| group.clone());
            caller.groups.extend(groups.collect::<Vec<_>>());
            auth.policy.ok_or_else(|| {
                Error::usage("the configuration names no policy file: whoever has logged in may do everything")
                    .hint("give --policy FILE, or a --config FILE whose [auth] names one")
            })?
        }
    };
    let decision = read(&path)?.explain(&caller, action, repository, check.tag.as_ref(), everybody);
    let shown = path.display();
    let text = match decision {
        Decision::Allowed(line) => format!("allowed by {shown}:{line}"),
        Decision::AllowedToEverybody => "allowed to everybody by [auth] anonymous".to_owned(),
        Decision::Denied(line) => format!("denied by {shown}:{line}"),
        Decision::Immutable(line) => format!("denied by {shown}:{line}: the tag is immutable once it is there"),
        Decision::Unmentioned => format!("denied: nothing in {shown} allows it"),
    };
    ui::out(&format!("{text}\n"))?;
    Ok(if decision.is_allowed() { 0 } else { code::FAILED })
}

fn read(path: &Path) -> Result<Policy> {
    let bytes = std::fs::read(path).map_err(|error| Error::from(error).context(path.display()))?;
    Policy::parse(&bytes).map_err(|reason| Error::failed(format!("{}:{reason}", path.display())))
}
