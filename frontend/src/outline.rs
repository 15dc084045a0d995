//! What a Dockerfile offers, without building it: its targets, and what a target takes. The shapes are those of BuildKit's
//! subrequests `frontend.targets` and `frontend.outline`.

use std::collections::BTreeSet;

use crate::instruction::Instruction;
use crate::lint::describes;
use crate::plan::Plan;
use crate::run_mount::RunMount;
use crate::source::SourceText;
use crate::syntax::{Dockerfile, Place, Statement};
use crate::word::Expander;

/// A stage that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name; empty where it has none.
    pub name: String,
    /// Whether it is built when no target is named.
    pub default: bool,
    /// What the comment above it says.
    pub description: String,
    /// What it starts from, as written.
    pub base: String,
    /// Its `--platform`, as written.
    pub platform: String,
    /// The first and the last line of its FROM.
    pub lines: (u32, u32),
}

/// The stages with a name, and the last one.
pub fn targets(dockerfile: &Dockerfile, source: &SourceText) -> Vec<Target> {
    let last = dockerfile.stages.len().saturating_sub(1);
    let target = |(number, stage): (usize, &crate::syntax::Stage)| {
        let name = stage.from.name.as_ref().map(|name| name.text.clone()).unwrap_or_default();
        let description = if name.is_empty() { "" } else { describes(source, &stage.place, &name) };
        Target {
            default: number == last,
            description: description.to_owned(),
            base: stage.from.base.text.clone(),
            platform: stage.from.platform.as_ref().map(|word| word.text.clone()).unwrap_or_default(),
            lines: stage.place.lines,
            name,
        }
    };
    dockerfile
        .stages
        .iter()
        .enumerate()
        .map(target)
        .filter(|target| target.default || !target.name.is_empty())
        .collect()
}

/// What a target takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The target's name; empty where it has none.
    pub name: String,
    /// What the comment above it says.
    pub description: String,
    /// Its build arguments.
    pub args: Vec<Parameter>,
    /// Its secrets.
    pub secrets: Vec<Parameter>,
    /// Its agents.
    pub ssh: Vec<Parameter>,
    /// Its cache mounts.
    pub caches: Vec<Parameter>,
}

/// One thing that a target takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value with what was given, or its default.
    pub value: String,
    /// What the comment above it says.
    pub description: String,
    /// Whether a build without it fails.
    pub required: bool,
    /// Where it is asked for first.
    pub lines: (u32, u32),
}

impl Plan {
    /// What the plan's target takes, with all stages that it needs.
    pub fn outline(&self, source: &SourceText) -> Outline {
        let stages = self.reachable();
        let mut outline = Outline::default();
        let dockerfile = self.dockerfile();
        if let Some(stage) = dockerfile.stages.get(self.target()) {
            outline.name = stage.from.name.as_ref().map(|name| name.text.clone()).unwrap_or_default();
            if !outline.name.is_empty() {
                outline.description = describes(source, &stage.place, &outline.name).to_owned();
            }
        }
        let body = stages.iter().flat_map(|number| &dockerfile.stages[*number].body);
        let mut declared = BTreeSet::new();
        for statement in body {
            match &statement.instruction {
                Instruction::Arg(_) => self.add_args(statement, source, &mut declared, &mut outline.args),
                Instruction::Run(run) => {
                    run.mounts.iter().for_each(|mount| add_mount(mount, &statement.place, &mut outline));
                }
                _ => {}
            }
        }
        let used_by_from = |name: &str| {
            stages.iter().any(|number| {
                let from = &dockerfile.stages[*number].from;
                [Some(&from.base), from.platform.as_ref()].into_iter().flatten().any(|word| mentions(&word.text, name))
            })
        };
        for statement in &dockerfile.global_args {
            let Instruction::Arg(arg) = &statement.instruction else { continue };
            if arg.args.iter().any(|declared| used_by_from(&declared.name.text)) {
                self.add_args(statement, source, &mut declared, &mut outline.args);
            }
        }
        for list in [&mut outline.args, &mut outline.secrets, &mut outline.ssh, &mut outline.caches] {
            list.sort_by_key(|parameter| parameter.lines);
        }
        outline
    }

    fn add_args(
        &self,
        statement: &Statement,
        source: &SourceText,
        known: &mut BTreeSet<String>,
        to: &mut Vec<Parameter>,
    ) {
        let Instruction::Arg(arg) = &statement.instruction else { return };
        for declared in &arg.args {
            let name = &declared.name.text;
            if !known.insert(name.clone()) {
                continue;
            }
            let (globals, given) = (self.globals(), self.build_args().get(name));
            let default = || {
                let default = declared.default.as_ref()?;
                Expander::new(self.dockerfile().directives.escape).expand(&default.text, globals).ok()
            };
            let value = match given {
                Some(given) => given.clone(),
                None => default().map(|value| value.text).or(globals.get(name).map(str::to_owned)).unwrap_or_default(),
            };
            let description = describes(source, &statement.place, name).to_owned();
            to.push(Parameter {
                name: name.clone(),
                value,
                description,
                lines: statement.place.lines,
                ..Parameter::default()
            });
        }
    }
}

/// Whether a word reads a variable.
fn mentions(word: &str, name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    word.split('$').skip(1).any(|rest| rest.trim_start_matches('{').strip_prefix(name).is_some_and(ends))
}

fn add_mount(mount: &RunMount, place: &Place, outline: &mut Outline) {
    let target = || mount.option(&["target", "dst", "destination"]).unwrap_or_default();
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let (list, name) = match mount.option(&["type"]).unwrap_or("bind") {
        "secret" => {
            let id = mount.option(&["id", "source", "src"]).unwrap_or_else(target);
            (&mut outline.secrets, last(id))
        }
        "ssh" => (&mut outline.ssh, mount.option(&["id"]).unwrap_or("default").to_owned()),
        "cache" => (&mut outline.caches, mount.option(&["id"]).unwrap_or_else(target).to_owned()),
        _ => return,
    };
    let required = mount.is_on("required");
    match list.iter_mut().find(|known| known.name == name) {
        Some(known) => known.required |= required,
        None => list.push(Parameter { name, required, lines: place.lines, ..Parameter::default() }),
    }
}
