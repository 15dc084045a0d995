//! Which stages a target needs, and which images those need.

mod answers;
mod args;
mod names;
mod options;
mod stages;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use answers::{Image, Images, Remotes};
pub use answers::{Provided, Wanted};
pub(crate) use names::{Origin, StageNames};
use oci::Platform;
pub use options::{NamedContext, Options};
use stages::Planned;

use crate::diagnostic::{Diagnostic, Findings};
use crate::environment::Environment;
use crate::instruction::Instruction;
use crate::limit::{MAX_IMAGES, MAX_TRIGGERS};
use crate::lint;
use crate::lower::{Epoch, Lowered, Making, Shared, StageBuild, Start};
use crate::source::{SourceText, Span};
use crate::syntax::{Dockerfile, parse_trigger};

/// A Dockerfile on its way to a graph.
#[derive(Debug)]
pub struct Plan {
    file: String,
    dockerfile: Dockerfile,
    options: Options,
    /// Global ARGs and the predefined ones.
    globals: Environment,
    epoch: Option<Epoch>,
    names: StageNames,
    stages: Vec<Planned>,
    target: usize,
    images: Images,
    remotes: Remotes,
    /// What is not answered yet, in the order of discovery.
    wanted: Vec<Wanted>,
    warnings: Vec<Diagnostic>,
}

impl Plan {
    /// Chooses the target and finds what it needs.
    ///
    /// # Errors
    /// Everything that is wrong with the stages: names, cycles, expansions.
    pub fn new(dockerfile: Dockerfile, source: &SourceText, options: Options) -> Result<Plan, Vec<Diagnostic>> {
        let mut findings = Findings::default();
        if dockerfile.stages.is_empty() {
            findings.push(Diagnostic::error("NoStage", "there is no stage to build"));
            return Err(findings.finish());
        }
        let globals = args::globals(&dockerfile, &options, &mut findings);
        let epoch = args::epoch(&options, &globals, &mut findings);
        let names = StageNames::new(&dockerfile);
        let stages = stages::plan(&dockerfile, &options, &globals, &names, &mut findings);
        let target = names.target(options.target.as_deref(), &mut findings);
        let mut plan = Plan {
            file: source.name().to_owned(),
            dockerfile,
            options,
            globals,
            epoch,
            names,
            stages,
            target,
            images: Images::default(),
            remotes: Remotes::default(),
            wanted: Vec::new(),
            warnings: Vec::new(),
        };
        // Even where something is wrong already: all errors are told at once.
        plan.read_inherited_triggers(&mut findings);
        plan.survey(&mut findings);
        plan.keep(findings)?;
        plan.want_remotes()?;
        Ok(plan)
    }

    /// What is needed next; `None` when [`Plan::lower`] can run.
    pub fn wanted(&self) -> Option<Wanted> {
        self.wanted.first().cloned()
    }

    /// Answers what [`Plan::wanted`] asked.
    ///
    /// # Errors
    /// The image's `ONBUILD` triggers are wrong.
    pub fn provide(&mut self, wanted: Wanted, provided: Provided) -> Result<(), Vec<Diagnostic>> {
        self.wanted.retain(|open| *open != wanted);
        match (wanted, provided) {
            (Wanted::Image { reference, platform, .. }, Provided::Image { manifest, config }) => {
                self.provide_image(reference, platform, Image { manifest, config: config.into_value() })?;
            }
            (Wanted::Git { url, reference, checksum, .. }, Provided::Git { commit }) => {
                self.remotes.commits.insert((url, reference, checksum), commit);
            }
            (Wanted::Http { url, checksum, .. }, Provided::Http { digest }) => {
                self.remotes.files.insert((url, checksum), digest);
            }
            (wanted, _) => {
                let message = format!("{} was answered with something else", wanted.shown());
                return Err(vec![Diagnostic::error("WrongAnswer", message).at(wanted.span())]);
            }
        }
        self.want_remotes()
    }

    fn provide_image(&mut self, reference: String, platform: Platform, image: Image) -> Result<(), Vec<Diagnostic>> {
        let triggers = image.config.config.on_build.clone();
        self.images.answers.insert((reference.clone(), platform.clone()), image);
        let mut findings = Findings::default();
        if !triggers.is_empty() {
            let starts =
                |stage: &Planned| stage.origin == Origin::Image(reference.clone()) && stage.platform == platform;
            let begun: Vec<usize> = (0..self.stages.len()).filter(|&number| starts(&self.stages[number])).collect();
            for number in begun {
                if self.stages[number].reachable {
                    self.read_triggers(number, &triggers, &mut findings);
                }
            }
        }
        self.survey(&mut findings);
        self.keep(findings)
    }

    /// With all images at hand, finds what ADDs fetch. Their addresses may hold variables of any stage, so that only
    /// lowering tells them: a trial, of which nothing else is kept. What is wrong is told by [`Plan::lower`].
    fn want_remotes(&mut self) -> Result<(), Vec<Diagnostic>> {
        if !self.wanted.is_empty() || !self.may_add_remotes() {
            return Ok(());
        }
        for wanted in self.make().wanted {
            if !self.wanted.contains(&wanted) {
                self.wanted.push(wanted);
            }
        }
        if self.wanted.len() + self.remotes.len() > MAX_IMAGES {
            let message = format!("more than {MAX_IMAGES} repositories and files are asked for");
            return Err(vec![Diagnostic::error("TooManyImages", message)]);
        }
        Ok(())
    }

    fn may_add_remotes(&self) -> bool {
        let reachable = self.stages.iter().zip(&self.dockerfile.stages).filter(|(planned, _)| planned.reachable);
        reachable.flat_map(|(planned, stage)| planned.triggers.iter().chain(&stage.body)).any(|statement| {
            match &statement.instruction {
                Instruction::Add(add) => add.may_be_remote(),
                _ => false,
            }
        })
    }

    /// Makes the graph.
    ///
    /// # Errors
    /// Everything that is wrong with the reachable instructions.
    pub fn lower(self) -> Result<Lowered, Vec<Diagnostic>> {
        // A caller that stops asking too early gets an error, not a wrong graph.
        let missing = |wanted: &Wanted| {
            let message = format!("{} was not provided", wanted.shown());
            Err(vec![Diagnostic::error("ImageMissing", message).at(wanted.span())])
        };
        if let Some(wanted) = self.wanted.first() {
            return missing(wanted);
        }
        let making = self.make();
        match making.wanted.first() {
            Some(wanted) => missing(wanted),
            None => self.finish(making),
        }
    }

    fn make(&self) -> Making {
        let mut making = Making::new(self.stages.len());
        let shared = Shared {
            options: &self.options,
            escape: self.dockerfile.directives.escape,
            file: &self.file,
            globals: &self.globals,
            names: &self.names,
            images: &self.images,
            remotes: &self.remotes,
            proxies: args::proxies(&self.options),
            hostname: self
                .options
                .hostname
                .clone()
                .or_else(|| self.options.build_args.get("BUILDKIT_SANDBOX_HOSTNAME").cloned()),
        };
        for number in 0..self.stages.len() {
            if self.stages[number].reachable && !making.exhausted {
                self.lower_stage(number, &shared, &mut making);
            }
        }
        making
    }

    fn lower_stage(&self, number: usize, shared: &Shared<'_>, making: &mut Making) {
        let planned = &self.stages[number];
        let stage = &self.dockerfile.stages[number];
        let body = if planned.replaced { &[][..] } else { &stage.body[..] };
        let counted =
            planned.triggers.iter().chain(body).filter(|statement| statement.instruction.is_counted()).count();
        let from_image = matches!(planned.origin, Origin::Image(_) | Origin::Directory(_));
        let start = Start {
            number,
            label: self.label(planned),
            stage: planned.label.clone(),
            place: &stage.place,
            origin: &planned.origin,
            platform: &planned.platform,
            total: counted + usize::from(from_image),
            ignore_cache: self.ignores_cache(number),
        };
        let Some(mut build) = StageBuild::begin(shared, making, start) else { return };
        for (trigger, place) in planned.triggers.iter().zip(&planned.trigger_places) {
            build.run(trigger, place, true);
        }
        for statement in body {
            build.run(statement, &statement.place, false);
            if build.making.exhausted {
                return;
            }
        }
        let state = build.state;
        making.finished[number] = Some(state);
    }

    /// What names of a stage's steps begin with: the stage, after its platform where there are several, as BuildKit says it:
    /// `linux/amd64->arm64 build`.
    fn label(&self, planned: &Planned) -> String {
        if !self.options.several {
            return planned.label.clone();
        }
        let (own, target) = (&planned.platform, &self.options.platform);
        let (same_os, same_arch) = (own.os == target.os, own.architecture == target.architecture);
        let meant = match (same_os, same_arch && own.variant == target.variant) {
            (true, true) => String::new(),
            (true, false) if !same_arch => format!("->{}", target.architecture),
            _ => format!("->{target}"),
        };
        format!("{own}{meant} {}", planned.label).trim_end().to_owned()
    }

    fn ignores_cache(&self, number: usize) -> bool {
        let name = self.dockerfile.stages[number].from.name.as_ref().map(|name| name.text.as_str());
        let matches = |wanted: &String| {
            name.is_some_and(|name| name.eq_ignore_ascii_case(wanted))
                || wanted.parse() == Ok(number)
                || wanted.strip_prefix("stage-").and_then(|rest| rest.parse().ok()) == Some(number)
        };
        self.options.no_cache || self.options.no_cache_filter.iter().any(matches)
    }

    fn finish(mut self, mut making: Making) -> Result<Lowered, Vec<Diagnostic>> {
        let state = making.finished[self.target].take();
        let findings = lint::Settings::read(&self.dockerfile.directives).apply(making.findings.finish());
        let (Some(state), false) = (state, findings.iter().any(Diagnostic::is_error)) else {
            let earlier = std::mem::take(&mut self.warnings);
            return Err(earlier.into_iter().chain(findings).collect());
        };
        let mut config = state.config;
        config.config.labels.extend(std::mem::take(&mut self.options.labels));
        let unused_args = args::unused(&self.options, &self.dockerfile, &making.used_args);
        self.warnings.extend(findings);
        Ok(Lowered {
            graph: making.graph,
            root: state.root,
            config,
            warnings: self.warnings,
            used_args: making.used_args,
            unused_args,
            base: state.base,
            epoch: self.epoch,
        })
    }

    /// Keeps warnings for later; gives errors back.
    fn keep(&mut self, findings: Findings) -> Result<(), Vec<Diagnostic>> {
        let list = lint::Settings::read(&self.dockerfile.directives).apply(findings.finish());
        if list.iter().any(Diagnostic::is_error) {
            return Err(list);
        }
        self.warnings.extend(list);
        Ok(())
    }

    /// The tree that is planned.
    pub(crate) fn dockerfile(&self) -> &Dockerfile {
        &self.dockerfile
    }

    /// The number of the stage that is built.
    pub(crate) fn target(&self) -> usize {
        self.target
    }

    /// The numbers of the stages that are needed, in the order of the file.
    pub(crate) fn reachable(&self) -> Vec<usize> {
        (0..self.stages.len()).filter(|&number| self.stages[number].reachable).collect()
    }

    /// Global ARGs and the predefined ones.
    pub(crate) fn globals(&self) -> &Environment {
        &self.globals
    }

    /// The build arguments that were given.
    pub(crate) fn build_args(&self) -> &BTreeMap<String, String> {
        &self.options.build_args
    }

    /// Triggers that a stage leaves for the stages that start from it.
    fn read_inherited_triggers(&mut self, findings: &mut Findings) {
        for number in 0..self.stages.len() {
            let Origin::Stage(base) = self.stages[number].origin else { continue };
            if self.stages[base].replaced {
                continue;
            }
            let triggers: Vec<String> = stages::triggers(&self.dockerfile.stages[base]);
            if !triggers.is_empty() {
                self.read_triggers(number, &triggers, findings);
            }
        }
    }

    fn read_triggers(&mut self, number: usize, triggers: &[String], findings: &mut Findings) {
        let place = &self.dockerfile.stages[number].place;
        let stage = &mut self.stages[number];
        if stage.replaced || !stage.triggers.is_empty() {
            return;
        }
        if triggers.len() > MAX_TRIGGERS {
            let message = format!("the base has {} ONBUILD triggers; at most {MAX_TRIGGERS} are run", triggers.len());
            findings.push(Diagnostic::error("TooManyTriggers", message).at(place.span));
            return;
        }
        for trigger in triggers {
            let mut own = Findings::default();
            let statement = SourceText::new("ONBUILD", trigger.clone().into_bytes())
                .map_err(|error| own.push(error))
                .ok()
                .and_then(|source| parse_trigger(&source, &mut own));
            for finding in own.finish().into_iter().filter(Diagnostic::is_error) {
                let shown: String = trigger.lines().next().unwrap_or_default().chars().take(100).collect();
                let message = format!("in the trigger `ONBUILD {shown}` of the base: {}", finding.message);
                findings.push(Diagnostic { message, span: Some(place.span), ..finding });
            }
            let Some(mut statement) = statement else { continue };
            let text = std::mem::take(&mut statement.place.text);
            stage.trigger_places.push(crate::syntax::Place { text, ..place.clone() });
            stage.triggers.push(statement);
        }
    }

    /// Finds what the target reaches, and the images which that needs.
    fn survey(&mut self, findings: &mut Findings) {
        let reached = stages::Reached::from(self.target, &self.dockerfile, &self.stages, &self.names, &self.options);
        match reached {
            Ok(reached) => {
                for (number, stage) in self.stages.iter_mut().enumerate() {
                    stage.reachable = reached.stages[number];
                }
                self.want(reached.images, findings);
            }
            Err(errors) => errors.into_iter().for_each(|error| findings.push(error)),
        }
    }

    fn want(&mut self, images: Vec<(String, Platform, Span)>, findings: &mut Findings) {
        self.wanted.clear();
        let mut asked = BTreeSet::new();
        for (reference, platform, span) in images {
            let key = (reference, platform);
            if self.images.answers.contains_key(&key) || !asked.insert(key.clone()) {
                continue;
            }
            self.wanted.push(Wanted::Image { reference: key.0, platform: key.1, span });
        }
        if self.wanted.len() + self.images.answers.len() > MAX_IMAGES {
            findings.push(Diagnostic::error("TooManyImages", format!("more than {MAX_IMAGES} images are asked for")));
        }
    }
}
