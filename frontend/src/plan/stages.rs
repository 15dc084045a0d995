//! The stages with their bases resolved, and what a target reaches.

use oci::Platform;

use super::Options;
use super::names::{self, Origin, StageNames};
use crate::diagnostic::{Diagnostic, Findings};
use crate::environment::Environment;
use crate::instruction::Instruction;
use crate::source::Span;
use crate::syntax::{Dockerfile, Place, Stage, Statement};
use crate::word::{Expanded, Expander, Word};

/// A stage with its base resolved.
#[derive(Debug)]
pub(super) struct Planned {
    /// Its name in messages; empty where it is the only stage.
    pub(super) label: String,
    pub(super) origin: Origin,
    pub(super) platform: Platform,
    /// Whether a named context stands in for it: its instructions do not run.
    pub(super) replaced: bool,
    pub(super) reachable: bool,
    /// The triggers of its base, and where each stands in the file.
    pub(super) triggers: Vec<Statement>,
    pub(super) trigger_places: Vec<Place>,
}

/// Resolves every FROM.
pub(super) fn plan(
    dockerfile: &Dockerfile,
    options: &Options,
    globals: &Environment,
    names: &StageNames,
    findings: &mut Findings,
) -> Vec<Planned> {
    let mut stages: Vec<Planned> = Vec::with_capacity(dockerfile.stages.len());
    for (number, stage) in dockerfile.stages.iter().enumerate() {
        let mut from = FromWords { escape: dockerfile.directives.escape, globals, findings };
        let platform = from.platform(stage);
        let mut origin = from.base(stage, number, names, options);
        let context = stage.from.name.as_ref().and_then(|name| names::context(&name.text, &options.contexts));
        let replaced = context.is_some();
        if let Some(context) = context {
            origin = context;
        }
        let inherited = match origin {
            Origin::Stage(base) => stages.get(base).map(|base| base.platform.clone()),
            _ => None,
        };
        let label = match &stage.from.name {
            _ if dockerfile.stages.len() == 1 => String::new(),
            Some(name) => name.text.clone(),
            None => format!("stage-{number}"),
        };
        let platform = inherited.or(platform).unwrap_or_else(|| options.platform.clone());
        stages.push(Planned {
            label,
            origin,
            platform,
            replaced,
            reachable: false,
            triggers: Vec::new(),
            trigger_places: Vec::new(),
        });
    }
    stages
}

/// The words of a FROM, which see global ARGs alone.
struct FromWords<'a> {
    escape: char,
    globals: &'a Environment,
    findings: &'a mut Findings,
}

impl FromWords<'_> {
    fn expand(&mut self, word: &Word) -> Option<Expanded> {
        match Expander::new(self.escape).expand(&word.text, self.globals) {
            Ok(expanded) => {
                for name in &expanded.missing {
                    if self.findings.is_full_of_warnings() {
                        break;
                    }
                    let message = format!("FROM uses `${name}`, which no ARG before the first FROM declares");
                    let warning = Diagnostic::warning("UndefinedArgInFrom", message).at(word.span);
                    self.findings.push(warning.suggest(name, self.names()));
                }
                Some(expanded)
            }
            Err(error) => {
                self.findings.push(Diagnostic::error("InvalidExpansion", error.message).at(word.span));
                None
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.globals.pairs().iter().map(|(name, _)| name.as_str())
    }

    fn base(&mut self, stage: &Stage, number: usize, names: &StageNames, options: &Options) -> Origin {
        let word = &stage.from.base;
        if let (0, Some(instead)) = (number, &options.first_base) {
            return Origin::Image(instead.clone());
        }
        let Some(base) = self.expand(word) else { return Origin::Scratch };
        if base.text.is_empty() {
            let error = Diagnostic::error("EmptyBase", format!("`{word}` comes to an empty name")).at(word.span);
            let missing = base.missing.first().cloned().unwrap_or_default();
            let error = error.suggest(&missing, self.names());
            self.findings.push(error);
            return Origin::Scratch;
        }
        names.base(&base.text, number, &options.contexts).unwrap_or_else(|message| {
            let error = Diagnostic::error("InvalidBase", message).at(word.span);
            self.findings.push(error.suggest(&base.text, names.all()));
            Origin::Scratch
        })
    }

    fn platform(&mut self, stage: &Stage) -> Option<Platform> {
        let word = stage.from.platform.as_ref()?;
        let text = self.expand(word)?.text;
        if text.is_empty() {
            let message = format!("`--platform={word}` comes to nothing");
            self.findings.push(Diagnostic::error("InvalidPlatform", message).at(word.span));
            return None;
        }
        if word.text == "$TARGETPLATFORM" || word.text == "${TARGETPLATFORM}" {
            let warning = Diagnostic::warning("RedundantTargetPlatform", "the target platform is the default");
            let warning = warning.at(word.span).help("drop `--platform`");
            self.findings.push(warning.fix(word.span, &format!("--platform={word}"), ""));
        }
        match text.parse() {
            Ok(platform) => {
                self.check_constant(stage, word, &platform);
                Some(platform)
            }
            Err(error) => {
                let error: oci::PlatformError = error;
                self.findings.push(Diagnostic::error("InvalidPlatform", error.to_string()).at(word.span));
                None
            }
        }
    }

    /// Warns of a platform that no `--platform` of the build can change, unless the stage's name says it.
    fn check_constant(&mut self, stage: &Stage, word: &Word, platform: &Platform) {
        let name = stage.from.name.as_ref().map_or("", |name| name.text.as_str());
        if word.text.contains('$') || name.contains(&platform.os) || name.contains(&platform.architecture) {
            return;
        }
        let message = format!("the constant `--platform={word}` builds this stage for {platform} alone");
        let warning = Diagnostic::warning("FromPlatformFlagConstDisallowed", message).at(word.span);
        let help = "use $BUILDPLATFORM, drop it, or say the platform in the stage's name, such as `build_amd64`";
        self.findings.push(warning.help(help));
    }
}

/// The triggers that a stage leaves.
pub(super) fn triggers(stage: &Stage) -> Vec<String> {
    let trigger = |statement: &Statement| match &statement.instruction {
        Instruction::Onbuild(onbuild) => Some(onbuild.trigger.clone()),
        _ => None,
    };
    stage.body.iter().filter_map(trigger).collect()
}

/// What a target reaches.
pub(super) struct Reached {
    pub(super) stages: Vec<bool>,
    /// Images, in the order of the file.
    pub(super) images: Vec<(String, Platform, Span)>,
}

/// A stage's reference to a tree.
struct Need {
    origin: Origin,
    span: Span,
}

impl Reached {
    /// Walks from the target. Cycles are errors wherever they are.
    pub(super) fn from(
        target: usize,
        dockerfile: &Dockerfile,
        stages: &[Planned],
        names: &StageNames,
        options: &Options,
    ) -> Result<Reached, Vec<Diagnostic>> {
        let mut errors = Findings::default();
        let needs: Vec<Vec<Need>> = (0..stages.len())
            .map(|number| needs(&dockerfile.stages[number], &stages[number], names, options, &mut errors))
            .collect();
        find_cycle(dockerfile, stages, &needs, &mut errors);
        if errors.errors() > 0 {
            return Err(errors.finish());
        }
        let mut reached = vec![false; stages.len()];
        let mut open = if options.lint { (0..stages.len()).collect() } else { vec![target] };
        while let Some(number) = open.pop() {
            if !std::mem::replace(&mut reached[number], true) {
                open.extend(needs[number].iter().filter_map(stage_of));
            }
        }
        let mut images = Vec::new();
        for (number, stage) in stages.iter().enumerate().filter(|(number, _)| reached[*number]) {
            for (index, need) in needs[number].iter().enumerate() {
                if let Origin::Image(reference) = &need.origin {
                    // The first need is the base.
                    let platform = if index == 0 { &stage.platform } else { &options.platform };
                    images.push((reference.clone(), platform.clone(), need.span));
                }
            }
        }
        Ok(Reached { stages: reached, images })
    }
}

fn stage_of(need: &Need) -> Option<usize> {
    match need.origin {
        Origin::Stage(number) => Some(number),
        _ => None,
    }
}

/// What a stage needs; the base first.
fn needs(stage: &Stage, planned: &Planned, names: &StageNames, options: &Options, errors: &mut Findings) -> Vec<Need> {
    let mut needs = vec![Need { origin: planned.origin.clone(), span: stage.from.base.span }];
    if planned.replaced {
        return needs;
    }
    let mut add = |statement: &Statement, span: Option<Span>| {
        for word in statement.instruction.origins() {
            let span = span.unwrap_or(word.span);
            match names.origin(&word.text, &options.contexts) {
                Ok(origin) => needs.push(Need { origin, span }),
                Err(message) => {
                    let error = Diagnostic::error("InvalidFrom", message).at(span);
                    errors.push(error.suggest(&word.text, names.all()));
                }
            }
        }
    };
    planned.triggers.iter().for_each(|trigger| add(trigger, Some(stage.place.span)));
    stage.body.iter().for_each(|statement| add(statement, None));
    needs
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Reports the first cycle that there is, with its path.
fn find_cycle(dockerfile: &Dockerfile, stages: &[Planned], needs: &[Vec<Need>], errors: &mut Findings) {
    let mut marks = vec![Mark::New; stages.len()];
    for start in 0..stages.len() {
        if marks[start] != Mark::New {
            continue;
        }
        // A stack of its own: a thousand stages may hang on one another.
        let mut path = vec![(start, 0)];
        marks[start] = Mark::Open;
        while let Some((number, at)) = path.last_mut() {
            let number = *number;
            let Some(need) = needs[number].get(*at) else {
                marks[number] = Mark::Done;
                path.pop();
                continue;
            };
            *at += 1;
            let Some(next) = stage_of(need) else { continue };
            match marks[next] {
                Mark::New => {
                    marks[next] = Mark::Open;
                    path.push((next, 0));
                }
                Mark::Open => {
                    let circle = path.iter().map(|(number, _)| *number).skip_while(|number| *number != next);
                    let mut circle: Vec<String> = circle.take(10).map(|number| shown(dockerfile, number)).collect();
                    circle.push(shown(dockerfile, next));
                    let message = format!("stages need each other in a circle: {}", circle.join(" → "));
                    errors.push(Diagnostic::error("CircularStages", message).at(need.span));
                    return;
                }
                Mark::Done => {}
            }
        }
    }
}

fn shown(dockerfile: &Dockerfile, number: usize) -> String {
    match &dockerfile.stages[number].from.name {
        Some(name) => name.text.clone(),
        None => number.to_string(),
    }
}
