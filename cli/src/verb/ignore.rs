//! `estiba ignore`.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::ui;
use crate::verb::build::context::ignoring::{self, Found};

const EXAMPLES: &str = "\
Examples:
  estiba ignore why src/a.log                  Which line of which file decides
  estiba ignore why -f app.Dockerfile a b      With app.Dockerfile.dockerignore, if it is there
  estiba ignore why --context ../app x         Of another folder's context";

/// Arguments of `estiba ignore`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say for each path whether it is part of the build context, and which line of which file decided
    Why(Why),
}

#[derive(Debug, clap::Args)]
struct Why {
    /// Paths in the context
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The context's folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    context: PathBuf,
    /// The Dockerfile [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The ignore file [default: that beside the Dockerfile, else CONTEXT/.dockerignore]
    #[arg(long, value_name = "FILE")]
    ignorefile: Option<PathBuf>,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    let Action::Why(why) = args.action;
    if !why.context.is_dir() {
        return Err(Error::failed(format!("context {} is not a folder", why.context.display())));
    }
    let dockerfile = why.file.clone().unwrap_or_else(|| why.context.join("Dockerfile"));
    let found = ignoring::of_main(&why.context, Some(&dockerfile), why.ignorefile.as_deref(), false)?;
    let mut out = String::new();
    for path in &why.paths {
        let inside = relative(path, &why.context)?;
        let there = why.context.join(&inside).symlink_metadata().is_ok();
        out.push_str(&line(&inside, there, found.as_ref()));
        out.push('\n');
    }
    ui::out(&out)?;
    Ok(0)
}

/// What is said of a path.
fn line(path: &str, there: bool, found: Option<&Found>) -> String {
    let absent = if there { "" } else { " (there is no such file now)" };
    let Some(found) = found else { return format!("{path}: included: there is no ignore file{absent}") };
    let decision = found.rules.matches(path, false);
    let verdict = if decision.included { "included" } else { "left out" };
    let why = match decision.rule {
        None => format!("no line of {} matches", found.path.display()),
        Some(number) => {
            let text = found.text.split('\n').nth(number as usize - 1).unwrap_or_default().trim();
            format!("{}:{number}: {text}", found.path.display())
        }
    };
    format!("{path}: {verdict}: {why}{absent}")
}

/// The path as rules see it: from the context's root, clean.
fn relative(path: &Path, context: &Path) -> Result<String> {
    let outside = || Error::failed(format!("{} is outside of the context {}", path.display(), context.display()));
    let path = match path.is_absolute() {
        true => {
            let context = std::fs::canonicalize(context)?;
            path.strip_prefix(&context).map_err(|_| outside())?.to_path_buf()
        }
        false => path.to_path_buf(),
    };
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            std::path::Component::ParentDir => {
                parts.pop().ok_or_else(outside)?;
            }
            std::path::Component::RootDir | std::path::Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

#[cfg(test)]
mod tests {
    use graph::pattern::IgnoreRules;

    use super::*;

    #[test]
    fn the_line_that_decided_is_named() {
        let text = "# logs\n*.log\n**/tmp\n!keep.log\n".to_owned();
        let rules = IgnoreRules::parse(&text).unwrap();
        let found = Found { path: ".dockerignore".into(), text, rules };
        let say = |path| line(path, true, Some(&found));
        assert_eq!(say("a.log"), "a.log: left out: .dockerignore:2: *.log");
        assert_eq!(say("keep.log"), "keep.log: included: .dockerignore:4: !keep.log");
        assert_eq!(say("a/b/tmp/c"), "a/b/tmp/c: left out: .dockerignore:3: **/tmp");
        assert_eq!(say("src"), "src: included: no line of .dockerignore matches");
        assert_eq!(line("x", false, None), "x: included: there is no ignore file (there is no such file now)");
    }

    #[test]
    fn paths_are_those_of_the_context() {
        let of = |path: &str| relative(Path::new(path), Path::new("."));
        assert_eq!(of("./a//b/../c").unwrap(), "a/c");
        assert_eq!(of(".").unwrap(), ".");
        assert!(of("../a").is_err() && of("a/../../b").is_err() && of("/no/such").is_err());
    }
}
