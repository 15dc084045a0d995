//! What a build tells at its end: the id, the files scripts asked for, or what went wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use builder::transfer::push::Pushed;
use builder::{Built, Compress, Request};
use frontend::{Diagnostic, Wanted};
use graph::Location;
use remote::Setup;
use runtime::ladder::Probe;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use store::Store;

use super::Args;
use super::dockerfile::Source;
use super::output::{Naming, PushAs};
use crate::error::{Error, Result, While, code};
use crate::image::familiar;
use crate::ui::progress::{INTERNAL, Mode};
use crate::ui::{self, style};
use crate::verb::push;
use crate::wire;

/// Lines shown before and after the ones that failed.
const AROUND: u32 = 2;

/// What is left to tell when the build is over. It crosses to the worker with the request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// How progress is shown.
    pub(crate) mode: Mode,
    /// Steps that were shown before the builder began.
    pub(crate) shown: usize,
    /// What the store names the image besides its tags.
    naming: Naming,
    push: Option<Push>,
    quiet: bool,
    iidfile: Option<PathBuf>,
    metadata_file: Option<PathBuf>,
    started: SystemTime,
    source_name: String,
    source_text: String,
}

/// The push at a build's end: under the names that the image gets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Push {
    /// The form of its layers.
    compress: Compress,
    /// Under no name.
    untagged: bool,
    /// Canonical references.
    names: Vec<String>,
    /// How registries are reached.
    setup: Setup,
}

impl Push {
    /// A push under these names.
    pub(super) fn new(how: PushAs, names: Vec<String>, setup: &Setup) -> Self {
        let tls_verify = if how.insecure { Some(false) } else { setup.tls_verify };
        let setup = Setup { tls_verify, ..setup.clone() };
        Self { compress: how.compress, untagged: how.by_digest, names, setup }
    }
}

impl Report {
    pub(super) fn new(args: &Args, source: &Source, naming: Naming, push: Option<Push>) -> Self {
        Self {
            mode: if args.quiet { Mode::Quiet } else { args.progress.settle() },
            shown: 0,
            naming,
            push,
            quiet: args.quiet,
            iidfile: args.output.iidfile.clone(),
            metadata_file: args.output.metadata_file.clone(),
            started: SystemTime::now(),
            source_name: source.text.name().to_owned(),
            source_text: source.text.text().to_owned(),
        }
    }

    /// Shows what the build goes on in spite of.
    pub(super) fn warn(&self, source: &Source, warnings: &[Diagnostic], unused: &[String]) {
        if self.mode == Mode::Quiet || self.mode == Mode::RawJson {
            return;
        }
        let mut out = String::new();
        for warning in warnings {
            out.push_str(&warning.render(&source.text, style::coloured()));
            out.push('\n');
        }
        if !unused.is_empty() {
            out.push_str(&format!(
                "{} no ARG takes the build arguments {}\n",
                style::warning("warning:"),
                unused.join(", ")
            ));
        }
        ui::err(&out);
    }

    /// Shows the steps of a build that found everything.
    pub(super) fn hit(&self, request: &Request) {
        let mut out = String::new();
        for edge in request.graph.reachable(&request.roots()) {
            let name = style::harmless(&request.graph.vertex(edge).meta().name);
            if name.starts_with(INTERNAL) {
                continue;
            }
            match self.mode {
                Mode::Tty => out.push_str(&format!(" {} {name}\n", style::dim("= cached"))),
                Mode::Plain => out.push_str(&format!("CACHED {name}\n")),
                Mode::Auto | Mode::RawJson | Mode::Quiet => {}
            }
        }
        ui::err(&out);
    }

    /// Tells of a build that worked. Gives whether its push needs the sandbox: then nothing was told, and [`Self::finish`]
    /// is for a process inside it.
    pub(super) fn needs_sandbox(&self, store: &Arc<Store>, built: &Built) -> Result<bool> {
        Ok(!self.conclude(store, built, None)?)
    }

    /// Tells of a build that worked, in a process that is where it must be.
    pub(crate) fn finish(&self, store: &Arc<Store>, built: &Built, probe: Option<&Probe>) -> Result<u8> {
        match self.conclude(store, built, probe)? {
            true => Ok(0),
            false => Err(Error::failed("the image cannot be pushed: reading its layers takes namespaces")
                .hint("`estiba push` enters them")),
        }
    }

    fn conclude(&self, store: &Arc<Store>, built: &Built, probe: Option<&Probe>) -> Result<bool> {
        self.naming.apply(store, built)?;
        let pushed = match (&self.push, built.manifest()) {
            (Some(how), Some(manifest)) => {
                let names = how.names.iter().filter_map(|name| familiar(name)).collect::<Vec<_>>();
                let (setup, mode) = (how.setup.clone(), self.mode);
                let job = push::Job::of_build(manifest.digest, &names, how.compress, how.untagged, setup, mode);
                match push::send(&job, store, &wire::client(&how.setup)?, probe)? {
                    Some(pushed) => pushed,
                    None => return Ok(false),
                }
            }
            _ => Vec::new(),
        };
        self.tell(built, &pushed)?;
        Ok(true)
    }

    fn tell(&self, built: &Built, pushed: &[Pushed]) -> Result {
        if let (Some(path), Some(id)) = (&self.iidfile, built.id()) {
            std::fs::write(path, id.to_string()).during(format!("--iidfile {}", path.display()))?;
        }
        if let Some(path) = &self.metadata_file {
            std::fs::write(path, self.metadata(built, pushed)?)
                .during(format!("--metadata-file {}", path.display()))?;
        }
        if let (true, Some(id)) = (self.quiet, built.id()) {
            ui::out(&format!("{id}\n"))?;
        }
        if matches!(self.mode, Mode::Tty | Mode::Plain) {
            self.say_done(built, pushed);
        }
        Ok(())
    }

    fn say_done(&self, built: &Built, pushed: &[Pushed]) {
        let took = self.started.elapsed().unwrap_or(Duration::ZERO).as_secs_f64();
        let (cached, all) = built.cached;
        let id = built.id().map(|id| format!(" {id}")).unwrap_or_default();
        let names: Vec<_> = built.tags.iter().filter_map(|name| familiar(name)).map(|name| name.familiar()).collect();
        let names = if names.is_empty() { String::new() } else { format!(" {}", names.join(" ")) };
        let counts = style::dim(&format!(" ({cached} of {all} steps cached, {took:.3}s)"));
        ui::err(&format!("{}{id}{names}{counts}\n", style::good("built")));
        for image in built.images.iter().filter(|_| built.index.is_some()) {
            ui::err(&format!("{}\n", style::dim(&format!("  {} {}", image.platform, image.manifest.digest))));
        }
        let names = self.push.iter().flat_map(|push| &push.names);
        for (name, pushed) in names.zip(pushed) {
            ui::err(&format!("{} {name}@{}\n", style::good("pushed"), pushed.descriptor.digest));
        }
    }

    /// What buildx writes into its metadata file.
    fn metadata(&self, built: &Built, pushed: &[Pushed]) -> Result<String> {
        let mut all = Map::new();
        if let [image] = &built.images[..] {
            let id = image.config_digest;
            all.insert("containerimage.config.digest".to_owned(), json!(id));
        }
        // What was pushed has compressed layers, and so another digest: that is the one to deploy by.
        if let Some(manifest) = pushed.first().map(|pushed| &pushed.descriptor).or(built.manifest()) {
            all.insert("containerimage.descriptor".to_owned(), json!(manifest));
            all.insert("containerimage.digest".to_owned(), json!(manifest.digest));
        }
        if !built.tags.is_empty() {
            all.insert("image.name".to_owned(), json!(built.tags.join(",")));
        }
        Ok(serde_json::to_string_pretty(&all)? + "\n")
    }

    /// Turns the builder's failure into what the user reads.
    pub(crate) fn fail(&self, error: builder::Error) -> Error {
        match error {
            builder::Error::Cancelled => {
                Error::failed("the build was cancelled; what was finished stays cached").code(code::INTERRUPTED)
            }
            builder::Error::Vertex { name, location, exit_code, log_tail, log, source } => {
                let mut excerpt = tail(&name, &log_tail);
                if let Some(location) = &location {
                    excerpt.push_str(&self.excerpt(location));
                }
                let words = match exit_code {
                    // A step that ran has a log; of one that could not start the cause says more than docker's code.
                    Some(code) if log.is_some() => format!("{name}: exit code {code}"),
                    _ => format!("{name}: {}", crate::error::chain(&*source)),
                };
                let failed = Error::failed(style::harmless(&words)).excerpt(excerpt);
                match log {
                    Some(log) => failed.hint(format!("the whole log is in {}", log.display())),
                    None => failed,
                }
            }
            other => Error::from(other),
        }
    }

    /// The lines that failed, among their neighbours, in BuildKit's form.
    fn excerpt(&self, location: &Location) -> String {
        if location.file != self.source_name {
            return String::new();
        }
        let first = location.first_line.saturating_sub(AROUND).max(1);
        let last = location.last_line.saturating_add(AROUND);
        let mut out = format!("{}:{}\n", self.source_name, location.first_line);
        let lines =
            self.source_text.lines().zip(1u32..).skip(first as usize - 1).take_while(|(_, number)| *number <= last);
        for (line, number) in lines {
            let meant = (location.first_line..=location.last_line).contains(&number);
            let mark = if meant { style::error(">>>") } else { "   ".to_owned() };
            out.push_str(&format!("{number:>5} | {mark} {}\n", style::harmless(line)));
        }
        out
    }
}

fn tail(name: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let shown: String = lines.iter().map(|line| format!("{}\n", style::harmless(line))).collect();
    format!("------\n > {}:\n{shown}------\n", style::harmless(name))
}

/// The error for a Dockerfile that cannot be built: every finding, rendered.
pub(super) fn refuse(source: &Source, found: &[Diagnostic]) -> Error {
    let errors: Vec<_> = found.iter().filter(|one| one.is_error()).collect();
    let rendered: Vec<_> = found.iter().map(|one| one.render(&source.text, style::coloured())).collect();
    let count = if errors.len() == 1 { "1 error".to_owned() } else { format!("{} errors", errors.len()) };
    Error::failed(format!("{} in {}", count, source.text.name())).excerpt(rendered.join("\n"))
}

/// Adds the place in the Dockerfile to an image that could not be had.
pub(super) fn place(source: &Source, wanted: &Wanted, error: Error) -> Error {
    let code = match wanted {
        Wanted::Image { .. } => "BaseImage",
        Wanted::Git { .. } | Wanted::Http { .. } => "Source",
    };
    let found = Diagnostic::error(code, error.message().to_owned()).at(wanted.span());
    let rendered = found.render(&source.text, style::coloured());
    error.excerpt(rendered)
}

/// The source, for tests of excerpts.
#[cfg(test)]
fn report_of(text: &str) -> Report {
    let source = frontend::SourceText::new("Dockerfile", text.as_bytes().to_vec()).unwrap();
    Report {
        mode: Mode::Plain,
        shown: 0,
        naming: Naming::default(),
        push: None,
        quiet: false,
        iidfile: None,
        metadata_file: None,
        started: SystemTime::UNIX_EPOCH,
        source_name: source.name().to_owned(),
        source_text: source.text().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_shows_its_lines() {
        let report = report_of("FROM a\nRUN x\nRUN false\nRUN y\nRUN z\nRUN w\n");
        let location = Location { file: "Dockerfile".to_owned(), first_line: 3, last_line: 3 };
        let shown = report.excerpt(&location);
        assert_eq!(shown.lines().next(), Some("Dockerfile:3"));
        assert!(shown.contains("    3 | >>> RUN false\n"), "{shown}");
        assert_eq!(shown.lines().count(), 6, "{shown}");
    }
}
