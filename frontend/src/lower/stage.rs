//! The stage under construction.

use std::collections::HashMap;

use graph::{Copy, Edge, FileAction, FileOp, Location, Meta, Op, Source, Unpack};
use oci::{History, ImageConfig, Platform};

use super::{Making, Once, Shared, State, absolute};
use crate::diagnostic::Diagnostic;
use crate::environment::{Environment, ListIndex, split_pair};
use crate::instruction::command_line::CommandLine;
use crate::limit::MAX_SHOWN;
use crate::plan::Origin;
use crate::source::Span;
use crate::syntax::{Place, Statement};
use crate::word::{Expanded, Expander, Word};

/// Where programs are looked for in an image that does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The remark that BuildKit leaves in history; tools tell its images by it.
const HISTORY_COMMENT: &str = "buildkit.dockerfile.v0";

/// The stage under construction: what instructions lower into.
pub(crate) struct StageBuild<'a> {
    pub(crate) shared: &'a Shared<'a>,
    pub(crate) making: &'a mut Making,
    pub(crate) state: State,
    /// Its number.
    number: usize,
    /// What names of its steps begin with; empty where it is the only one.
    label: String,
    /// Its name; empty where it is the only one.
    stage: String,
    /// How many vertices progress counts, and how many of them are named.
    total: usize,
    named: usize,
    ignore_cache: bool,
    seen: Vec<Once>,
    /// The statement at hand.
    place: &'a Place,
    /// Whether it is an `ONBUILD` trigger: it then stands at its FROM.
    trigger: bool,
}

/// What a stage starts with.
pub(crate) struct Start<'a> {
    pub(crate) number: usize,
    pub(crate) label: String,
    pub(crate) stage: String,
    pub(crate) place: &'a Place,
    pub(crate) origin: &'a Origin,
    pub(crate) platform: &'a Platform,
    pub(crate) total: usize,
    pub(crate) ignore_cache: bool,
}

impl<'a> StageBuild<'a> {
    /// Begins a stage; `None` if its base could not be made.
    pub(crate) fn begin(shared: &'a Shared<'a>, making: &'a mut Making, start: Start<'a>) -> Option<StageBuild<'a>> {
        let scratch = making.graph.add(
            Op::Source(Source::Scratch),
            Vec::new(),
            Meta { name: "scratch".to_owned(), ..Meta::default() },
        );
        let state = State {
            root: scratch,
            base: None,
            config: ImageConfig::empty(start.platform),
            env: Environment::default(),
            env_index: ListIndex::default(),
            platform: start.platform.clone(),
            workdir_set: false,
            declared: Vec::new(),
            declared_values: HashMap::new(),
        };
        let mut stage = StageBuild {
            shared,
            making,
            state,
            number: start.number,
            label: start.label,
            stage: start.stage,
            total: start.total,
            named: 0,
            ignore_cache: start.ignore_cache,
            seen: Vec::new(),
            place: start.place,
            trigger: false,
        };
        stage.start_from(start.origin)?;
        stage.settle();
        Some(stage)
    }

    fn start_from(&mut self, origin: &Origin) -> Option<()> {
        match origin {
            Origin::Scratch => "/".clone_into(&mut self.state.config.config.working_dir),
            Origin::Directory(name) => self.start_from_directory(name),
            Origin::Stage(number) => {
                let state = self.making.finished.get(*number).and_then(Option::as_ref)?.clone();
                self.spend(state.weight());
                self.state = state;
            }
            Origin::Image(reference) => {
                let image = self.shared.images.answer(reference, &self.state.platform)?;
                let name = format!("FROM {}", image.full_name(reference));
                self.state.config = image.config.clone();
                self.check_platform(reference);
                if !image.is_empty() {
                    let name = self.number(&name);
                    self.state.root = self.image(reference, &self.state.platform.clone(), name)?;
                    self.state.base = Some(self.state.root);
                }
                // Fields of other tools described the base, not what is built on it.
                self.state.config.extra.clear();
                self.state.config.config.extra.clear();
                self.state.config.created = None;
            }
        }
        // Triggers ran, or will run, in the build at hand; none is inherited.
        self.state.config.config.on_build.clear();
        Some(())
    }

    /// A named context that is a directory becomes a layer: all of it, owned by root.
    fn start_from_directory(&mut self, name: &str) {
        let context = self.source(Source::Local { name: name.to_owned() });
        let copy = Copy {
            input: 1,
            sources: vec![".".to_owned()],
            dest: "/".to_owned(),
            dest_is_dir: true,
            owner: None,
            mode: None,
            exclude: Vec::new(),
            parents: false,
            unpack: Unpack::Never,
            keep_owner: false,
        };
        let words = format!("FROM context {name}");
        let shown = self.number(&words);
        let scratch = self.state.root;
        let files = Op::File(FileOp { actions: vec![FileAction::Copy(copy)] });
        self.state.root = self.add(files, vec![scratch, context], shown);
        "/".clone_into(&mut self.state.config.config.working_dir);
        self.history(format!("{words} # buildkit"), true);
    }

    /// Warns of a base that is there for another platform alone.
    fn check_platform(&mut self, reference: &str) {
        let (own, wanted) = (self.state.config.platform(), self.state.platform.clone());
        if own.os == wanted.os && own.architecture == wanted.architecture {
            return;
        }
        let message = format!("base image `{reference}` is for {own}, and this stage is for {wanted}");
        let warning = Diagnostic::warning("InvalidBaseImagePlatform", message).at(self.place.span);
        self.report(warning.help("name an image that has this platform, or give the stage `FROM --platform=…`"));
    }

    /// Makes the state that a base gave ready for instructions.
    fn settle(&mut self) {
        let config = &mut self.state.config.config;
        let has_path = config.env.iter().any(|pair| split_pair(pair).0 == "PATH");
        // On Windows the system sets it.
        if !has_path && self.state.platform.os != "windows" {
            config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        for pair in &config.env {
            let (name, value) = split_pair(pair);
            self.state.env.set(name, value);
        }
        self.state.env_index = ListIndex::new(&config.env);
        if !config.working_dir.is_empty() {
            config.working_dir = absolute("/", &config.working_dir);
        }
    }

    /// Lowers one instruction.
    pub(crate) fn run(&mut self, statement: &'a Statement, place: &'a Place, trigger: bool) {
        self.place = place;
        self.trigger = trigger;
        statement.instruction.lower(self);
    }

    // What instructions ask.

    pub(crate) fn workdir(&self) -> &str {
        match self.state.config.config.working_dir.as_str() {
            "" => "/",
            path => path,
        }
    }

    /// A text as the arguments that run it in the stage's shell.
    pub(crate) fn in_shell(&self, text: &str) -> Vec<String> {
        let shell = self.state.config.config.shell.as_deref().filter(|shell| !shell.is_empty());
        let mut words = match shell {
            Some(shell) => shell.to_vec(),
            None if self.state.config.os == "windows" => ["cmd", "/S", "/C"].map(str::to_owned).to_vec(),
            None => ["/bin/sh", "-c"].map(str::to_owned).to_vec(),
        };
        words.push(text.to_owned());
        words
    }

    /// Expands a word; what is wrong is reported and gives `None`.
    pub(crate) fn expand(&mut self, word: &Word) -> Option<String> {
        self.expand_with(Expander::new(self.shared.escape), word).map(|expanded| expanded.text)
    }

    /// Expands and splits a word.
    pub(crate) fn expand_words(&mut self, word: &Word) -> Option<Vec<String>> {
        self.expand_with(Expander::new(self.shared.escape), word).map(|expanded| expanded.words)
    }

    /// Expands a word that may be absent.
    pub(crate) fn expand_optional(&mut self, word: &Option<Word>) -> Option<Option<String>> {
        match word {
            Some(word) => self.expand(word).map(Some),
            None => Some(None),
        }
    }

    pub(crate) fn expand_with(&mut self, expander: Expander, word: &Word) -> Option<Expanded> {
        match expander.expand(&word.text, &self.state.env) {
            Ok(expanded) => {
                self.spend(expanded.text.len());
                for name in &expanded.missing {
                    if self.making.findings.is_full_of_warnings() {
                        break;
                    }
                    self.warn_undefined(name, word.span);
                }
                Some(expanded)
            }
            Err(error) => {
                self.report(Diagnostic::error("InvalidExpansion", error.message).at(word.span));
                None
            }
        }
    }

    fn warn_undefined(&mut self, name: &str, span: Span) {
        // What an image sets that nobody asked is not known.
        if self.shared.options.lint && self.state.base.is_some() {
            return;
        }
        // Special parameters such as `$1` are no variables of the build.
        if self.state.declared_values.contains_key(name) || !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return;
        }
        let warning = Diagnostic::warning("UndefinedVar", format!("variable `${name}` is not defined")).at(span);
        let known = self.state.env.pairs().iter().take(1_000).map(|(name, _)| name.as_str());
        let warning = warning.suggest(name, known);
        self.report(warning);
    }

    /// The tree that a `--from` or `from=` names.
    pub(crate) fn origin(&mut self, word: &Word) -> Option<Edge> {
        let shared = self.shared;
        match shared.names.origin(&word.text, &shared.options.contexts) {
            Ok(Origin::Scratch) => Some(self.source(Source::Scratch)),
            Ok(Origin::Directory(name)) => Some(self.source(Source::Local { name })),
            Ok(Origin::Stage(number)) => match self.making.finished.get(number) {
                Some(Some(state)) if number < self.number => Some(state.root),
                _ if number < self.number => None, // That stage had errors.
                _ => {
                    let message = format!("stage `{}` comes after this one; it must come before", word.text);
                    self.fail(word.span, message);
                    None
                }
            },
            Ok(Origin::Image(reference)) => {
                let platform = shared.options.platform.clone();
                let image = shared.images.answer(&reference, &platform)?;
                if image.is_empty() {
                    return Some(self.source(Source::Scratch));
                }
                let name = format!("FROM {}", image.full_name(&reference));
                self.image(&reference, &platform, name)
            }
            Err(message) => {
                self.fail(word.span, message);
                None
            }
        }
    }

    /// The main build context.
    pub(crate) fn context(&mut self) -> Edge {
        self.source(Source::Local { name: "context".to_owned() })
    }

    /// A vertex without inputs.
    pub(crate) fn source(&mut self, source: Source) -> Edge {
        let name = match &source {
            Source::Scratch => "scratch".to_owned(),
            Source::Image { reference, .. } => format!("FROM {reference}"),
            Source::Local { name } if name == "context" => "[internal] load build context".to_owned(),
            Source::Local { name } => format!("[context {name}] load"),
            Source::Http(http) => http.url.clone(),
            Source::Git(git) => git.url.clone(),
        };
        let meta = Meta { name, ..self.meta() };
        self.making.graph.add(Op::Source(source), Vec::new(), Meta { ignore_cache: false, ..meta })
    }

    fn image(&mut self, reference: &str, platform: &Platform, name: String) -> Option<Edge> {
        let image = self.shared.images.answer(reference, platform)?;
        let source =
            Source::Image { reference: reference.to_owned(), manifest: image.manifest, platform: platform.clone() };
        let meta = Meta { name, ignore_cache: false, ..self.meta() };
        Some(self.making.graph.add(Op::Source(source), Vec::new(), meta))
    }

    /// Adds a vertex.
    pub(crate) fn add(&mut self, op: Op, inputs: Vec<Edge>, name: String) -> Edge {
        self.spend(name.len() + 512);
        // What a stage runs is what its base is made of, whatever was asked for.
        let platform = matches!(op, Op::Exec(_)).then(|| self.state.config.platform());
        let meta = Meta { name, platform, ..self.meta() };
        self.making.graph.add(op, inputs, meta)
    }

    fn meta(&self) -> Meta {
        let (first_line, last_line) = self.place.lines;
        Meta {
            name: String::new(),
            stage: Some(if self.stage.is_empty() { self.number.to_string() } else { self.stage.clone() }),
            location: Some(Location { file: self.shared.file.to_owned(), first_line, last_line }),
            ignore_cache: self.ignore_cache,
            platform: None,
        }
    }

    /// The name of a vertex for the statement at hand: `[build 2/5] RUN make`.
    /// Quotes stay in the names of RUNs.
    pub(crate) fn vertex_name(&mut self, keep_quotes: bool) -> String {
        let text: String = self.place.text.chars().take(MAX_SHOWN).collect();
        let expander =
            if keep_quotes { Expander::shown(self.shared.escape) } else { Expander::new(self.shared.escape) };
        let text = expander.expand(&text, &self.state.env).map_or(text, |expanded| expanded.text);
        let (keyword, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
        let trigger = if self.trigger { "ONBUILD " } else { "" };
        self.number(&format!("{trigger}{}{rest}", keyword.to_ascii_uppercase()))
    }

    fn number(&mut self, text: &str) -> String {
        if self.total == 0 {
            return text.to_owned();
        }
        self.named += 1;
        let width = self.total.to_string().len();
        let space = if self.label.is_empty() { "" } else { " " };
        format!("[{}{space}{:width$}/{}] {text}", self.label, self.named, self.total)
    }

    // What instructions say.

    pub(crate) fn history(&mut self, created_by: String, layer: bool) {
        self.spend(created_by.len() + 128);
        self.state.config.history.push(History {
            created_by,
            comment: HISTORY_COMMENT.to_owned(),
            empty_layer: !layer,
            ..History::default()
        });
    }

    /// Notes that an ARG is declared, and what it is.
    pub(crate) fn declare(&mut self, name: &str, value: Option<String>) {
        if let Some(given) = self.shared.options.build_args.get(name) {
            self.making.used_args.insert(name.to_owned(), given.clone());
        }
        if self.state.declared_values.insert(name.to_owned(), value.unwrap_or_default()).is_none() {
            self.state.declared.push(name.to_owned());
        }
    }

    /// The declared ARGs with the values that RUNs see.
    pub(crate) fn declared(&self) -> Vec<(&str, &str)> {
        let value = |name: &str| self.state.env.get(name).or(self.state.declared_values.get(name).map(String::as_str));
        self.state.declared.iter().map(|name| (name.as_str(), value(name).unwrap_or_default())).collect()
    }

    /// The name of a cache mount, in its name space if there is one.
    pub(crate) fn cache_name(&self, id: String) -> String {
        match self.shared.options.build_args.get("BUILDKIT_CACHE_MOUNT_NS") {
            Some(space) if !space.is_empty() => format!("{space}/{id}"),
            _ => id,
        }
    }

    pub(crate) fn has_set(&self, once: Once) -> bool {
        self.seen.contains(&once)
    }

    /// Notes an instruction of which the last one counts.
    pub(crate) fn only_once(&mut self, once: Once) {
        if self.has_set(once) {
            let keyword = match once {
                Once::Cmd => "CMD",
                Once::Entrypoint => "ENTRYPOINT",
                Once::Healthcheck => "HEALTHCHECK",
            };
            let message = format!("only the last {keyword} of a stage counts");
            self.report(Diagnostic::warning("MultipleInstructionsDisallowed", message).at(self.place.span));
        }
        self.seen.push(once);
    }

    pub(crate) fn warn_about_shell_form(&mut self, keyword: &str, command: &CommandLine) {
        if matches!(command, CommandLine::Shell(_)) && self.state.config.config.shell.is_none() {
            let message = format!("a shell runs this {keyword}, and signals do not reach the program");
            let warning = Diagnostic::warning("JSONArgsRecommended", message).at(self.place.span);
            self.report(warning.help("write it as a JSON array"));
        }
    }

    pub(crate) fn spend(&mut self, bytes: usize) {
        self.making.spend(bytes, self.place.span);
    }

    /// Reports a finding. Those of triggers stand at the FROM that ran them.
    pub(crate) fn report(&mut self, mut finding: Diagnostic) {
        if self.trigger {
            finding.span = Some(self.place.span);
            let text: String = self.place.text.chars().take(100).collect();
            finding.message = format!("in the trigger `ONBUILD {text}`: {}", finding.message);
        }
        self.making.findings.push(finding);
    }

    /// Reports an error.
    pub(crate) fn fail(&mut self, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::error("InvalidArguments", message).at(span));
    }
}
