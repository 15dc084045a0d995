//! Checks: warnings under the names that users know, and ours.
//!
//! A check is a row of [`TABLE`] and a page of why in `frontend/pages/`. Where it is noticed differs: what the parser, the
//! plan or an instruction comes by is reported there under the row's name; what must look at the whole tree is a function of
//! the row. A build runs the language's own; the others run in [`check`], and where `# check=experimental=…` names them.

mod add;
mod apt;
mod casing;
mod check;
mod description;
mod fix;
mod from;
mod habit;
mod order;
mod package_cache;
mod secret_name;
mod settings;
mod shell;
mod stage_names;
mod waste;

use std::cell::OnceCell;

pub use check::check;
pub(crate) use description::describes;
pub use fix::{apply, fix};
pub(crate) use secret_name::secret_name;
pub use settings::Settings;
use shell::Command;

use crate::diagnostic::Findings;
use crate::instruction::Instruction;
use crate::instruction::run::Run;
use crate::source::SourceText;
use crate::syntax::{Dockerfile, Place, Statement};

/// Who a rule comes from, and so who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// The language's own: every build.
    Language,
    /// The language's own on trial: `# check=experimental=…`, and the linter.
    Experimental,
    /// Ours: the linter, and `# check=experimental=…`.
    Estiba,
}

/// A row of [`TABLE`].
#[derive(Debug)]
pub struct Rule {
    /// Its public name.
    pub name: &'static str,
    /// Who it comes from.
    pub set: Set,
    /// What it asks for, in one line.
    pub description: &'static str,
    /// The page of why.
    pub page: &'static str,
    /// Whether there are places that can be fixed safely.
    pub fixable: bool,
    tree: Option<fn(&File<'_>, &mut Findings)>,
}

impl Rule {
    const fn fixable(mut self) -> Rule {
        self.fixable = true;
        self
    }

    const fn on_tree(mut self, check: fn(&File<'_>, &mut Findings)) -> Rule {
        self.tree = Some(check);
        self
    }

    /// The language's page on the web, for those rules that have one.
    pub fn url(&self) -> Option<String> {
        let is_theirs = self.set != Set::Estiba;
        is_theirs.then(|| format!("https://docs.docker.com/go/dockerfile/rule/{}/", kebab(self.name)))
    }
}

/// `FromAsCasing` → `from-as-casing`; capitals in a row are one word.
fn kebab(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut out = String::new();
    for (at, c) in name.char_indices() {
        let begins = c.is_ascii_uppercase()
            && at > 0
            && (!bytes[at - 1].is_ascii_uppercase() || bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase));
        if begins {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

macro_rules! rule {
    ($set:ident $name:literal $description:literal) => {
        Rule {
            name: $name,
            set: Set::$set,
            description: $description,
            page: include_str!(concat!("../../pages/", $name, ".md")),
            fixable: false,
            tree: None,
        }
    };
}

/// Every check.
pub static TABLE: [Rule; 37] = [
    rule!(Language "StageNameCasing" "Stage names should be lowercase").fixable(),
    rule!(Language "FromAsCasing" "The 'as' keyword should match the case of the 'from' keyword")
        .fixable()
        .on_tree(casing::from_as),
    rule!(Language "NoEmptyContinuation" "Empty continuation lines will become errors in a future release").fixable(),
    rule!(Language "ConsistentInstructionCasing" "All commands within the Dockerfile should use the same casing (either upper or lower)")
        .fixable()
        .on_tree(casing::instructions),
    rule!(Language "DuplicateStageName" "Stage names should be unique").on_tree(stage_names::duplicate),
    rule!(Language "ReservedStageName" "Reserved words should not be used as stage names"),
    rule!(Language "JSONArgsRecommended" "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals"),
    rule!(Language "MaintainerDeprecated" "The MAINTAINER instruction is deprecated, use a label instead to define an image author"),
    rule!(Language "UndefinedArgInFrom" "FROM command must use declared ARGs"),
    rule!(Language "WorkdirRelativePath" "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes"),
    rule!(Language "UndefinedVar" "Variables should be defined before their use"),
    rule!(Language "MultipleInstructionsDisallowed" "Multiple instructions of the same type should not be used in the same stage"),
    rule!(Language "LegacyKeyValueFormat" "Legacy key/value format with whitespace separator should not be used").fixable(),
    rule!(Language "InvalidBaseImagePlatform" "Base image platform does not match expected target platform"),
    rule!(Language "RedundantTargetPlatform" "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior")
        .fixable(),
    rule!(Language "SecretsUsedInArgOrEnv" "Sensitive data should not be used in the ARG or ENV commands"),
    rule!(Language "InvalidDefaultArgInFrom" "Default value for global ARG results in an empty or invalid base image name")
        .on_tree(from::default_args),
    rule!(Language "FromPlatformFlagConstDisallowed" "FROM --platform flag should not use a constant value"),
    rule!(Language "CopyIgnoredFile" "Attempting to Copy file that is excluded by .dockerignore"),
    rule!(Experimental "InvalidDefinitionDescription" "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`")
        .fixable()
        .on_tree(description::invalid),
    rule!(Language "ExposeProtoCasing" "Protocol in EXPOSE instruction should be lowercase").fixable(),
    rule!(Language "ExposeInvalidFormat" "IP address and host-port mapping should not be used in EXPOSE instruction"),
    rule!(Estiba "AptListsLeft" "Package lists should not stay in a layer").on_tree(apt::lists_left),
    rule!(Estiba "AptUpdateAlone" "apt-get update belongs into the RUN that installs").on_tree(apt::update_alone),
    rule!(Estiba "AptRecommends" "apt-get install should not bring recommended packages along").on_tree(apt::recommends),
    rule!(Estiba "AptAsks" "apt-get install should not ask").on_tree(apt::asks),
    rule!(Estiba "PackageCacheLeft" "Caches of package managers should not stay in a layer").on_tree(package_cache::check),
    rule!(Estiba "CopyBeforeInstall" "What changes often should be copied after what is slow to install").on_tree(order::check),
    rule!(Estiba "UnpinnedBase" "Base images should name a version").on_tree(from::unpinned),
    rule!(Estiba "RemovedLater" "What one layer brings, a later one cannot take away").on_tree(waste::removed_later),
    rule!(Estiba "OwnerChangedLater" "Owners and permissions should be set where files come in").on_tree(waste::owner_changed),
    rule!(Estiba "AddForCopy" "Plain files should be copied with COPY").on_tree(add::for_copy),
    rule!(Estiba "AddUnverified" "What is fetched should be compared with a digest").on_tree(add::unverified),
    rule!(Estiba "LostShellState" "A RUN should not end with cd or export").on_tree(habit::lost_state),
    rule!(Estiba "PipeHidesFailure" "A download that fails should fail the RUN").on_tree(habit::hidden_failure),
    rule!(Estiba "CredentialInUrl" "Passwords should not stand in URLs").on_tree(habit::credential_in_url),
    rule!(Estiba "NotJSON" "What looks like a JSON array should be one"),
];

/// The row of a name, in any case.
pub fn find(name: &str) -> Option<&'static Rule> {
    TABLE.iter().find(|rule| rule.name.eq_ignore_ascii_case(name))
}

/// The checks that look at the whole tree: those that `settings` let a build run, or all.
pub(crate) fn tree(
    dockerfile: &Dockerfile,
    source: &SourceText,
    settings: &Settings,
    all: bool,
    findings: &mut Findings,
) {
    let file = File { dockerfile, source, runs: OnceCell::new() };
    for rule in TABLE.iter().filter(|rule| all || settings.runs(rule)) {
        if let Some(check) = rule.tree {
            check(&file, findings);
        }
    }
}

/// A file as the checks see it.
pub(crate) struct File<'a> {
    dockerfile: &'a Dockerfile,
    source: &'a SourceText,
    runs: OnceCell<Vec<Seen<'a>>>,
}

/// A RUN with its commands told apart.
struct Seen<'a> {
    stage: usize,
    run: &'a Run,
    place: &'a Place,
    commands: Vec<Command>,
}

impl Seen<'_> {
    /// Whether a cache or a tmpfs is mounted at or above a path, or below it.
    fn mounts_over(&self, path: &str) -> bool {
        self.run.mounts.iter().any(|mount| {
            let kind = mount.option(&["type"]).unwrap_or("bind");
            let target = mount.option(&["target", "dst", "destination"]).unwrap_or_default();
            matches!(kind, "cache" | "tmpfs")
                && (target.starts_with(path) || path.starts_with(target.trim_end_matches('/')))
        })
    }
}

impl<'a> File<'a> {
    /// Every instruction's place, in order.
    fn places(&self) -> impl Iterator<Item = &'a Place> + use<'a> {
        let dockerfile: &'a Dockerfile = self.dockerfile;
        let stages = dockerfile
            .stages
            .iter()
            .flat_map(|stage| std::iter::once(&stage.place).chain(stage.body.iter().map(|statement| &statement.place)));
        dockerfile.global_args.iter().map(|statement| &statement.place).chain(stages)
    }

    /// The instructions of all stages, without their FROMs.
    fn statements(&self) -> impl Iterator<Item = &'a Statement> + use<'a> {
        let dockerfile: &'a Dockerfile = self.dockerfile;
        dockerfile.stages.iter().flat_map(|stage| &stage.body)
    }

    /// The RUNs.
    fn runs(&self) -> impl Iterator<Item = &Seen<'a>> {
        let all = self.runs.get_or_init(|| {
            let mut all = Vec::new();
            for (stage, body) in self.dockerfile.stages.iter().map(|stage| &stage.body).enumerate() {
                for statement in body {
                    if let Instruction::Run(run) = &statement.instruction {
                        all.push(Seen { stage, run, place: &statement.place, commands: shell::commands(run) });
                    }
                }
            }
            all
        });
        all.iter()
    }

    /// The SHELL in force at a place of a stage.
    fn shell_before(&self, stage: usize, place: &Place) -> Option<&'a [String]> {
        let dockerfile: &'a Dockerfile = self.dockerfile;
        let earlier =
            dockerfile.stages[stage].body.iter().take_while(|statement| statement.place.span.start < place.span.start);
        let shells = earlier.filter_map(|statement| match &statement.instruction {
            Instruction::Shell(shell) => Some(shell.words.as_slice()),
            _ => None,
        });
        shells.last()
    }

    /// Whether a stage sets a variable.
    fn environment_has(&self, stage: usize, name: &str) -> bool {
        self.dockerfile.stages[stage].body.iter().any(|statement| match &statement.instruction {
            Instruction::Env(env) => env.pairs.iter().any(|pair| pair.name.text == name),
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests;
