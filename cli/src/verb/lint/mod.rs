//! `estiba lint`: all checks, of all Dockerfiles, without building anything.

mod sarif;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use frontend::{Diagnostic, MAX_BYTES, SourceText, lint};
use serde_json::json;

use crate::context::Context;
use crate::error::{Error, Result, While, code};
use crate::ui::{self, style};

const EXAMPLES: &str = "\
Examples:
  estiba lint                             The Dockerfiles of this folder and of those below it
  estiba lint --fix docker/Dockerfile     Mend what can be mended safely
  estiba lint --format sarif > lint.sarif For the code scanning of a forge
  estiba lint --explain CopyBeforeInstall Why a check asks for what it asks for
  estiba lint --explain                   The list of all checks
  … | estiba lint -                       A Dockerfile from standard input

`# check=skip=NAME,…` in a file's first line switches checks off for it. The exit code is 1 when there are findings.";

/// Arguments of `estiba lint`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Dockerfiles, or folders to look for them in; `-` reads standard input
    #[arg(value_name = "FILE|FOLDER", default_value = ".", hide_default_value = true)]
    paths: Vec<PathBuf>,
    /// Mend what can be mended without a change of what is built
    #[arg(long)]
    fix: bool,
    /// How to tell: text, json or sarif
    #[arg(long, value_name = "FORM", default_value = "text", hide_default_value = true, hide_possible_values = true)]
    format: Format,
    /// Print the page of why of a check; bare, the list of all
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    explain: Option<String>,
    /// Leave these checks out
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    skip: Vec<String>,
}

/// How findings are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

/// A file and what was found in it.
struct Checked {
    source: SourceText,
    found: Vec<Diagnostic>,
    fixed: usize,
}

/// Runs the verb.
pub(super) fn run(args: Args, _context: &Context) -> Result<u8> {
    if let Some(name) = &args.explain {
        return explain(name);
    }
    if let Some(unknown) = args.skip.iter().find(|name| lint::find(name).is_none()) {
        return Err(no_check(unknown));
    }
    let mut checked = Vec::new();
    for path in files(&args.paths)? {
        checked.push(check(&path, args.fix, &args.skip)?);
    }
    match args.format {
        Format::Text => in_words(&checked),
        Format::Json => ui::out(&(serde_json::to_string_pretty(&as_json(&checked))? + "\n"))?,
        Format::Sarif => ui::out(&(serde_json::to_string_pretty(&sarif::log(&checked))? + "\n"))?,
    }
    let clean = checked.iter().all(|one| one.found.is_empty());
    Ok(if clean { 0 } else { code::FAILED })
}

fn no_check(name: &str) -> Error {
    let error = Error::usage(format!("there is no check {name}"));
    match crate::near::nearest(name, lint::TABLE.iter().map(|rule| rule.name)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("`estiba lint --explain` lists them"),
    }
}

fn explain(name: &str) -> Result<u8> {
    if name.is_empty() {
        let widest = lint::TABLE.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
        let line = |rule: &lint::Rule| format!("{:widest$}  {}\n", rule.name, rule.description);
        ui::out(&lint::TABLE.iter().map(line).collect::<String>())?;
        return Ok(0);
    }
    let Some(rule) = lint::find(name) else { return Err(no_check(name)) };
    ui::out(rule.page)?;
    Ok(0)
}

/// The Dockerfiles that the arguments mean, in order.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            all.push(path.clone());
            continue;
        }
        let metadata = fs::metadata(path).during(path.display())?;
        if !metadata.is_dir() {
            all.push(path.clone());
            continue;
        }
        let before = all.len();
        walk(path, 0, &mut all)?;
        if all.len() == before {
            return Err(Error::failed(format!("there is no Dockerfile in {} or below it", path.display()))
                .hint("they are called Dockerfile, Containerfile, Dockerfile.NAME or NAME.Dockerfile; others are named one by one"));
        }
    }
    Ok(all)
}

/// Folders within folders that are looked into.
const DEEPEST: usize = 32;

/// Folders that hold what others wrote.
const FOREIGN: [&str; 3] = ["node_modules", "vendor", "target"];

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result {
    let mut entries: Vec<_> = fs::read_dir(folder).during(folder.display())?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let path = path.strip_prefix("./").map(Path::to_path_buf).unwrap_or(path);
        // Links are not followed: they lead to what is looked at anyway, or out.
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEEPEST && !name.starts_with('.') && !FOREIGN.contains(&name.as_str()) {
            walk(&path, depth + 1, found)?;
        } else if kind.is_file() && is_dockerfile(&name) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_dockerfile(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let kinds = ["dockerfile", "containerfile"];
    let named = kinds.iter().any(|kind| {
        lower == *kind
            || lower.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'))
            || lower.ends_with(&format!(".{kind}"))
    });
    named && ![".dockerignore", ".containerignore", ".lock", ".orig", ".bak"].iter().any(|end| lower.ends_with(end))
}

fn check(path: &Path, fix: bool, skip: &[String]) -> Result<Checked> {
    let stdin = path == Path::new("-");
    let name = if stdin { "Dockerfile".to_owned() } else { path.display().to_string() };
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that the frontend can say that it is too much.
    let limit = MAX_BYTES as u64 + 1;
    if stdin {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).during("read standard input")?;
    } else {
        fs::File::open(path).during(path.display())?.take(limit).read_to_end(&mut bytes).during(path.display())?;
    }
    let mut fixed = 0;
    if fix && !stdin {
        let (mended, count) = lint::fix(&name, &bytes);
        if count > 0 {
            replace(path, &mended)?;
            (bytes, fixed) = (mended, count);
        }
    }
    let source = SourceText::new(name, bytes).map_err(|error| Error::failed(error.message))?;
    let mut found = lint::check(&source);
    found.retain(|one| !skip.iter().any(|name| name.eq_ignore_ascii_case(one.rule)));
    Ok(Checked { source, found, fixed })
}

/// Replaces a file as a whole: whoever reads it meanwhile gets the old bytes or the new ones.
fn replace(path: &Path, bytes: &[u8]) -> Result {
    let path = fs::canonicalize(path).during(path.display())?;
    let partial = path.with_file_name(format!(".estiba-lint-{}", std::process::id()));
    let write = || {
        fs::write(&partial, bytes)?;
        fs::set_permissions(&partial, fs::metadata(&path)?.permissions())?;
        fs::rename(&partial, &path)
    };
    write().map_err(|error| {
        drop(fs::remove_file(&partial));
        Error::from(error).context(format!("write {}", path.display()))
    })
}

fn in_words(checked: &[Checked]) {
    let mut out = String::new();
    let (mut count, mut fixable, mut fixed, mut files) = (0, 0, 0, 0);
    for one in checked {
        for found in &one.found {
            out.push_str(&found.render(&one.source, style::coloured()));
            out.push('\n');
        }
        count += one.found.len();
        files += usize::from(!one.found.is_empty());
        fixable += one.found.iter().filter(|found| !found.edits.is_empty()).count();
        fixed += one.fixed;
    }
    let plural = |count: usize, word: &str| if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") };
    // Findings are what was asked for: they are the output.
    drop(ui::out(&out));
    if fixed > 0 {
        ui::err(&format!("{} mended\n", plural(fixed, "place")));
    }
    if count == 0 {
        ui::err(&format!("{}: nothing found in {}\n", style::good("clean"), plural(checked.len(), "file")));
        return;
    }
    ui::err(&format!("{} in {}\n", plural(count, "finding"), plural(files, "file")));
    if fixable > 0 {
        ui::err(&format!("{} `estiba lint --fix` mends {fixable} of them\n", style::hint(" hint:")));
    }
    ui::err(&format!("{} `estiba lint --explain NAME` says why\n", style::hint(" hint:")));
}

fn as_json(checked: &[Checked]) -> serde_json::Value {
    let finding = |one: &Checked, found: &Diagnostic| {
        let start = found.span.map(|span| one.source.position(span.start));
        let end = found.span.map(|span| one.source.position(span.end));
        json!({
            "rule": found.rule,
            "severity": if found.is_error() { "error" } else { "warning" },
            "message": found.message,
            "help": found.help,
            "line": start.map(|at| at.line), "column": start.map(|at| at.column),
            "endLine": end.map(|at| at.line), "endColumn": end.map(|at| at.column),
            "fixable": !found.edits.is_empty(),
        })
    };
    let files: Vec<_> = checked
        .iter()
        .map(|one| {
            let found: Vec<_> = one.found.iter().map(|found| finding(one, found)).collect();
            json!({ "file": one.source.name(), "fixed": one.fixed, "findings": found })
        })
        .collect();
    json!({ "version": 1, "files": files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dockerfiles() {
        for name in ["Dockerfile", "Containerfile", "Dockerfile.dev", "app.Dockerfile", "dockerfile"] {
            assert!(is_dockerfile(name), "{name}");
        }
        for name in ["Dockerfile.dockerignore", "Dockerfiles", "Makefile", "Dockerfile.lock", "mydockerfile"] {
            assert!(!is_dockerfile(name), "{name}");
        }
    }
}
