//! What the names in FROM, `--from` and `from=` stand for.

use std::collections::{BTreeMap, HashMap};

use super::NamedContext;
use crate::diagnostic::{Diagnostic, Findings};
use crate::syntax::Dockerfile;
use crate::word::{Expander, NoVariables};

/// A tree that a stage starts from, or that is copied from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing.
    Scratch,
    /// A stage, by number.
    Stage(usize),
    /// An image, by reference.
    Image(String),
    /// A named context that is a directory.
    Directory(String),
}

/// The stages by name.
#[derive(Debug)]
pub(crate) struct StageNames {
    /// All stages of a name; a name in use twice is the later stage's.
    by_name: HashMap<String, Vec<usize>>,
    count: usize,
    escape: char,
}

impl StageNames {
    pub(crate) fn new(dockerfile: &Dockerfile) -> StageNames {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, stage) in dockerfile.stages.iter().enumerate() {
            if let Some(name) = &stage.from.name {
                by_name.entry(name.text.clone()).or_default().push(number);
            }
        }
        StageNames { by_name, count: dockerfile.stages.len(), escape: dockerfile.directives.escape }
    }

    /// The last stage of a name before stage `number`.
    fn before(&self, name: &str, number: usize) -> Option<usize> {
        let stages = self.by_name.get(name)?;
        stages[..stages.partition_point(|&stage| stage < number)].last().copied()
    }

    /// What stage `number` starts from. Names of stages are compared as written.
    pub(super) fn base(
        &self,
        text: &str,
        number: usize,
        contexts: &BTreeMap<String, NamedContext>,
    ) -> Result<Origin, String> {
        if let Some(stage) = self.before(text, number) {
            return Ok(Origin::Stage(stage));
        }
        if text == "scratch" {
            return Ok(Origin::Scratch);
        }
        outside(text, contexts)
    }

    /// What `--from` and `from=` name: a stage by name or number, a named
    /// context, or an image.
    pub(crate) fn origin(&self, text: &str, contexts: &BTreeMap<String, NamedContext>) -> Result<Origin, String> {
        let expanded = Expander::new(self.escape).expand(text, &NoVariables).map_err(|error| error.message)?;
        if expanded.text != text {
            return Err("`--from` takes no variables; begin a stage with FROM, which expands global ARGs".to_owned());
        }
        if let Ok(number) = text.parse::<i64>() {
            return match usize::try_from(number) {
                Ok(number) if number < self.count => Ok(Origin::Stage(number)),
                _ => Err(format!("there is no stage {number}: the stages are 0 to {}", self.count - 1)),
            };
        }
        if let Some(stage) = self.by_name.get(&text.to_lowercase()).and_then(|stages| stages.last()) {
            return Ok(Origin::Stage(*stage));
        }
        if text == "scratch" {
            return Ok(Origin::Scratch);
        }
        outside(text, contexts)
    }

    /// The number of the stage to build: by name, by number, or the last one.
    pub(super) fn target(&self, target: Option<&str>, findings: &mut Findings) -> usize {
        let last = self.count - 1;
        let Some(target) = target.filter(|target| !target.is_empty()) else { return last };
        if let Some(stage) = self.by_name.get(&target.to_lowercase()).and_then(|stages| stages.last()) {
            return *stage;
        }
        match target.parse::<usize>() {
            Ok(number) if number < self.count => return number,
            _ => {}
        }
        let error = Diagnostic::error("NoTarget", format!("there is no stage `{target}`"));
        findings.push(error.suggest(target, self.by_name.keys().map(String::as_str)));
        last
    }

    /// The names, for suggestions.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// A named context or an image.
fn outside(text: &str, contexts: &BTreeMap<String, NamedContext>) -> Result<Origin, String> {
    if let Some(context) = context(text, contexts) {
        return Ok(context);
    }
    if text.starts_with("oci-layout://") {
        return Ok(Origin::Image(text.to_owned()));
    }
    match text.parse::<oci::Reference>() {
        Ok(_) => Ok(Origin::Image(text.to_owned())),
        Err(error) => Err(error.to_string()),
    }
}

/// The named context of a name: compared as written, and as a reference, so
/// that `debian` replaces `docker.io/library/debian:latest` too.
pub(super) fn context(text: &str, contexts: &BTreeMap<String, NamedContext>) -> Option<Origin> {
    let canonical = |text: &str| text.parse::<oci::Reference>().ok().map(|reference| reference.to_string());
    let (name, context) = contexts.get_key_value(text).or_else(|| {
        let wanted = canonical(text)?;
        contexts.iter().find(|(name, _)| canonical(name).as_ref() == Some(&wanted))
    })?;
    Some(match context {
        NamedContext::Directory => Origin::Directory(name.clone()),
        NamedContext::Image(reference) => Origin::Image(reference.clone()),
    })
}
