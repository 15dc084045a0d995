//! What a build tells at its end: the id, the files scripts asked for, or what went wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use builder::transfer::push::Pushed;
use builder::{Built, Compress, Event, Request};
use frontend::{Diagnostic, Wanted};
use graph::Location;
use remote::Setup;
use runtime::emulation::Missing;
use runtime::ladder::Probe;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use store::Store;

use super::Args;
use super::dockerfile::Source;
use super::output::{Naming, PushAs};
use crate::error::{Error, Result, While, code};
use crate::image::familiar;
use crate::page;
use crate::record::{self, Line, Outcome, Recorder, Subject};
use crate::ui::progress::{INTERNAL, Mode};
use crate::ui::{self, style};
use crate::verb::push;
use crate::{sandbox, wire};

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
    pushes: Vec<Push>,
    quiet: bool,
    iidfile: Option<PathBuf>,
    metadata_file: Option<PathBuf>,
    started: SystemTime,
    source_name: String,
    source_text: String,
    subject: Subject,
    /// Whether the reasons for misses are shown, or only kept for the page.
    explain: bool,
    page: Option<PathBuf>,
    logfile: Option<PathBuf>,
    /// Whether a shell opens where a step failed.
    shell: bool,
    /// Whether the build is done twice and compared.
    pub(super) verify: bool,
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
    pub(super) fn new(args: &Args, source: &Source, naming: Naming, pushes: Vec<Push>) -> Self {
        Self {
            mode: if args.quiet || args.telling.logfile.is_some() { Mode::Quiet } else { args.progress.settle() },
            shown: 0,
            naming,
            pushes,
            quiet: args.quiet,
            iidfile: args.output.iidfile.clone(),
            metadata_file: args.output.metadata_file.clone(),
            started: SystemTime::now(),
            source_name: source.text.name().to_owned(),
            source_text: source.text.text().to_owned(),
            subject: subject(args, source),
            explain: args.telling.explain,
            page: args.telling.report.clone(),
            logfile: args.telling.logfile.clone(),
            shell: args.telling.wants_shell(),
            verify: args.attesting.verify,
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

    /// Shows lines that a build's display would have shown.
    pub(super) fn notes(&self, notes: &[String]) {
        if matches!(self.mode, Mode::Tty | Mode::Plain) {
            let line = |note: &String| format!("{} {}\n", style::warning("note:"), style::harmless(note));
            ui::err(&notes.iter().map(line).collect::<String>());
        }
    }

    /// Shows the steps of a build that found everything.
    pub(super) fn hit(&self, request: &Request) -> Result {
        let (mut out, mut logged) = (String::new(), String::new());
        for edge in request.graph.reachable(&request.roots()) {
            let name = style::harmless(&request.graph.vertex(edge).meta().name);
            if name.starts_with(INTERNAL) {
                continue;
            }
            if self.logfile.is_some() {
                logged.push_str(&format!("CACHED {name}\n"));
            }
            match self.mode {
                Mode::Tty => out.push_str(&format!(" {} {name}\n", style::dim("= cached"))),
                Mode::Plain => out.push_str(&format!("CACHED {name}\n")),
                Mode::Auto | Mode::RawJson | Mode::Quiet => {}
            }
        }
        ui::err(&out);
        match &self.logfile {
            Some(path) => std::fs::write(path, logged).during(format!("--logfile {}", path.display())),
            None => Ok(()),
        }
    }

    /// Whether an event is for people who watch.
    pub(super) fn shows(&self, event: &Event) -> bool {
        self.explain || !matches!(event, Event::Missed { .. })
    }

    /// The file that takes what the display would show.
    pub(super) fn logfile(&self) -> Option<&Path> {
        self.logfile.as_deref()
    }

    /// Whether a shell is to open where a step failed.
    pub(super) fn wants_shell(&self) -> bool {
        self.shell
    }

    /// Keeps a build that found everything in mind, with one line.
    pub(super) fn record_hit(&self, store: &Store, request: &Request, built: &Built) -> Result {
        let id = format!("{:x}-{}", record::now_millis(), std::process::id());
        let mut line = self.line(id, Outcome::Cached);
        self.add_result(&mut line, built);
        // What is not recorded is built all the same: the store may be one that we may only read.
        drop(record::append(store.layout(), &line));
        match &self.page {
            Some(path) => page::write(path, store.layout(), &line, &page::cached_steps(request)),
            None => Ok(()),
        }
    }

    /// Keeps a build that had something to do in mind, and writes its page.
    pub(super) fn record(&self, store: &Store, recorder: Recorder, result: Result<&Built, &builder::Error>) -> Result {
        let id = match &recorder.build {
            Some(id) => id.clone(),
            None => format!("{:x}-{}", recorder.started, std::process::id()),
        };
        let outcome = match result {
            Ok(_) => Outcome::Built,
            Err(builder::Error::Cancelled) => Outcome::Cancelled,
            Err(_) => Outcome::Failed,
        };
        let mut line = self.line(id, outcome);
        match result {
            Ok(built) => self.add_result(&mut line, built),
            Err(builder::Error::Cancelled) => {}
            Err(builder::Error::Vertex { name, exit_code: Some(code), .. }) => {
                line.failed = Some(format!("{name}: exit code {code}"));
            }
            Err(other) => line.failed = Some(crate::error::chain(other)),
        }
        drop(record::append(store.layout(), &line));
        // From here on its record says that it is over.
        drop(recorder);
        match &self.page {
            Some(path) => page::write(path, store.layout(), &line, &record::steps(store.layout(), &line.id)?),
            None => Ok(()),
        }
    }

    fn line(&self, id: String, outcome: Outcome) -> Line {
        let since = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let took = self.started.elapsed().unwrap_or_default();
        Line {
            id,
            started: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            took: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            outcome,
            subject: self.subject.clone(),
            tags: Vec::new(),
            image: None,
            cached: 0,
            steps: 0,
            failed: None,
        }
    }

    fn add_result(&self, line: &mut Line, built: &Built) {
        line.tags.clone_from(&built.tags);
        line.image = built.id().map(|id| id.to_string());
        (line.cached, line.steps) = built.cached;
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
        let mut pushed = Vec::new();
        for how in &self.pushes {
            let Some(manifest) = built.manifest() else { break };
            let names = how.names.iter().filter_map(|name| familiar(name)).collect::<Vec<_>>();
            let (setup, mode) = (how.setup.clone(), self.mode);
            let job = push::Job::of_build(manifest.digest, &names, how.compress, how.untagged, setup, mode);
            match push::send(&job, store, &wire::client(&how.setup)?, probe)? {
                Some(sent) => pushed.extend(sent),
                None => return Ok(false),
            }
        }
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
        let names = self.pushes.iter().flat_map(|push| &push.names);
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
                let mut failed = Error::failed(style::harmless(&words)).excerpt(excerpt);
                if let Some(missing) = source.downcast_ref::<Missing>() {
                    let native = "a stage that compiles for others runs here with `FROM --platform=$BUILDPLATFORM …`";
                    failed = sandbox::remedies(missing).into_iter().fold(failed, Error::hint).hint(native);
                }
                match log {
                    Some(log) => hint_at(failed, &log),
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

/// Where to look for more of a step that failed.
fn hint_at(failed: Error, log: &Path) -> Error {
    let failed = failed.hint(format!("the whole log is in {}", log.display()));
    match log.parent().filter(|folder| builder::failed::is_kept(folder)).and_then(Path::file_name) {
        Some(build) => {
            failed.hint(format!("`estiba builds shell {}` opens a shell where it failed", build.to_string_lossy()))
        }
        None => failed,
    }
}

/// What is built.
fn subject(args: &Args, source: &Source) -> Subject {
    let folder = source.context.as_ref().map(|folder| std::fs::canonicalize(folder).unwrap_or_else(|_| folder.clone()));
    Subject {
        context: folder.map(|folder| folder.display().to_string()).unwrap_or_default(),
        file: source.text.name().to_owned(),
        target: args.target.clone(),
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

/// An image that could not be had, as a finding.
pub(super) fn unanswered(wanted: &Wanted, error: &Error) -> Diagnostic {
    Diagnostic::error("Source", error.message().to_owned()).at(wanted.span())
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
        pushes: Vec::new(),
        quiet: false,
        iidfile: None,
        metadata_file: None,
        started: SystemTime::UNIX_EPOCH,
        source_name: source.name().to_owned(),
        source_text: source.text().to_owned(),
        subject: Subject::default(),
        explain: false,
        page: None,
        logfile: None,
        shell: false,
        verify: false,
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
