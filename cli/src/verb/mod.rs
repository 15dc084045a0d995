//! THE TABLE of verbs, and the way from a command line to one of them.
//!
//! A verb is a file: its arguments, its help, and its function. Its line below drives the parser,
//! the help, the man pages and the completions.

mod attach;
mod attestation;
pub(crate) mod build;
mod builds;
mod commit;
mod completions;
mod config;
mod container;
mod copy;
mod cp;
mod create;
mod delete;
mod df;
mod diff;
mod doctor;
mod events;
mod exec;
mod export;
mod generate;
mod group;
mod history;
mod ignore;
mod images;
mod import;
mod info;
mod inspect;
mod kill;
mod later;
mod lint;
mod load;
mod lock;
mod login;
mod logout;
mod logs;
mod man;
mod manifest;
mod network;
mod pause;
mod port;
mod prune;
mod ps;
pub(crate) mod pull;
pub(crate) mod push;
mod referrers;
mod registry;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
mod save;
mod sbom;
mod start;
mod stats;
mod stop;
mod tag;
mod tags;
mod top;
mod unpause;
mod update;
mod version;
mod volume;
mod wait;

pub(crate) use build::report::Report;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, FromArgMatches as _};

use crate::context::Context;
use crate::error::{Error, Result, code};

/// One verb.
struct Verb {
    name: &'static str,
    about: &'static str,
    arguments: fn(Command) -> Command,
    run: fn(&ArgMatches, &Context) -> Result<u8>,
}

macro_rules! verb {
    ($name:ident, $about:literal) => {
        Verb {
            name: stringify!($name),
            about: $about,
            // The documentation of `Args` would take the place of the verb's.
            arguments: |command| $name::Args::augment_args(command).about($about).long_about(None),
            run: |matches, context| $name::run($name::Args::from_arg_matches(matches)?, context),
        }
    };
}

/// A verb with verbs of its own.
macro_rules! verbs {
    ($name:ident, $about:literal) => {
        Verb { name: stringify!($name), about: $about, arguments: $name::arguments, run: $name::run }
    };
}

const VERBS: &[Verb] = &[
    verb!(build, "Build an image from a Dockerfile"),
    verb!(lint, "Check Dockerfiles, and mend them"),
    verbs!(builds, "List builds, and look at what each left"),
    verb!(logs, "Print what a container said, or the steps of a build"),
    verb!(events, "Show what happens to containers, volumes and networks"),
    verb!(run, "Run a command in a new container"),
    verb!(create, "Make a container without starting it"),
    verb!(start, "Start containers that do not run"),
    verb!(stop, "Ask containers to end, and end them"),
    verb!(restart, "End containers and start them again"),
    verb!(kill, "Send containers a signal"),
    verb!(rm, "Remove containers"),
    verb!(wait, "Wait until containers end, and print their exit codes"),
    verb!(port, "Show where the published ports of a container are"),
    verb!(rename, "Give a container another name"),
    verb!(stats, "Show what containers use, again and again"),
    verb!(update, "Change the limits of containers, and when they are started again"),
    verb!(pause, "Stop all processes of containers, without ending them"),
    verb!(unpause, "Let the processes of paused containers go on"),
    verbs!(container, "Remove containers that have ended; other names of the verbs for containers"),
    verb!(cp, "Copy files between a container and this machine"),
    verb!(diff, "List what a container changed in its image's files"),
    verb!(commit, "Make an image of a container's changes"),
    verb!(export, "Write a container's file tree as a tar"),
    verbs!(volume, "Make, list and remove volumes: folders that containers share"),
    verb!(ps, "List containers"),
    verb!(exec, "Run a command in a container that runs"),
    verb!(top, "List the processes of a container"),
    verbs!(network, "Make networks in which containers find each other by name, and look after them"),
    verb!(pull, "Fetch images from a registry"),
    verb!(push, "Send an image to a registry"),
    verb!(lock, "Write down what the names in a Dockerfile mean, for builds that keep to it"),
    verb!(ignore, "Say why files are, or are not, part of a build context"),
    verb!(images, "List images"),
    verb!(tag, "Give an image another name"),
    verb!(rmi, "Remove names of images, and what no name needs any more"),
    verb!(inspect, "Show everything about containers and images"),
    verb!(history, "Show what each layer of an image came from"),
    verb!(save, "Write images into an archive"),
    verb!(load, "Read images from an archive or an OCI layout"),
    verb!(import, "Make an image of one layer from a tar file"),
    verb!(login, "Log in at a registry"),
    verb!(logout, "Forget a login"),
    verb!(copy, "Copy an image between registries, layouts, archives and the store"),
    verb!(tags, "List the tags of a repository"),
    verbs!(manifest, "Look at manifests; make and push indexes of several platforms"),
    verb!(referrers, "List what refers to an image: signatures, bills of materials"),
    verb!(attestation, "Show what is attached to an image: how it was made, what is in it"),
    verb!(sbom, "List the packages in an image, as SPDX"),
    verb!(attach, "Attach to a container that runs; or files to an image in a registry"),
    verb!(delete, "Delete tags and images from a registry"),
    verb!(prune, "Remove build cache and images that nothing needs"),
    verb!(df, "Show how much space the store takes"),
    verb!(config, "Show and set what holds for the store: its limit on disk"),
    verbs!(generate, "Make units of systemd, of containers and of files that describe them"),
    verbs!(registry, "Serve images to other machines, and look after what is stored"),
    verb!(info, "Show how this machine builds and runs"),
    verb!(doctor, "Say what works here, what does not, and how to mend it"),
    verb!(version, "Show the version"),
    verb!(completions, "Print a shell's completion script"),
    verb!(man, "Write the manual pages"),
];

/// Other names of verbs, as docker has them; some with an option.
const ALIASES: &[(&[&str], &str)] = &[
    (&["buildx", "build"], "build"),
    (&["image", "build"], "build"),
    (&["buildx", "history"], "builds"),
    (&["image", "history"], "history"),
    (&["image", "import"], "import"),
    (&["image", "inspect"], "inspect --type=image"),
    (&["container", "inspect"], "inspect --type=container"),
    (&["image", "load"], "load"),
    (&["image", "ls"], "images"),
    (&["image", "list"], "images"),
    (&["image", "prune"], "prune"),
    (&["image", "pull"], "pull"),
    (&["image", "push"], "push"),
    (&["image", "rm"], "rmi"),
    (&["image", "save"], "save"),
    (&["image", "tag"], "tag"),
    (&["list-tags"], "tags"),
    (&["ls"], "tags"),
    (&["container", "run"], "run"),
    (&["container", "create"], "create"),
    (&["container", "start"], "start"),
    (&["container", "stop"], "stop"),
    (&["container", "restart"], "restart"),
    (&["container", "kill"], "kill"),
    (&["container", "rm"], "rm"),
    (&["container", "remove"], "rm"),
    (&["container", "wait"], "wait"),
    (&["container", "rename"], "rename"),
    (&["container", "exec"], "exec"),
    (&["container", "top"], "top"),
    (&["container", "logs"], "logs"),
    (&["container", "attach"], "attach"),
    (&["container", "ls"], "ps"),
    (&["container", "list"], "ps"),
    (&["container", "ps"], "ps"),
    (&["container", "stats"], "stats"),
    (&["container", "update"], "update"),
    (&["container", "pause"], "pause"),
    (&["container", "unpause"], "unpause"),
    (&["container", "port"], "port"),
    (&["container", "export"], "export"),
    (&["container", "commit"], "commit"),
    (&["container", "cp"], "cp"),
    (&["container", "diff"], "diff"),
    (&["builder", "prune"], "prune"),
    (&["buildx", "prune"], "prune"),
    (&["buildx", "du"], "df"),
    (&["builder", "du"], "df"),
    (&["system", "prune"], "prune"),
    (&["system", "df"], "df"),
    (&["system", "info"], "info"),
];

const EXAMPLES: &str = "\
Examples:
  estiba build -t app .            Build the Dockerfile here and name the image
  estiba run --rm app              Run it
  estiba run --rm -it app sh       Look around in it
  estiba push app HOST/team/app    Send it to a registry
  estiba pull debian:bookworm      Fetch one from a registry
  estiba doctor                    See what this machine allows

`estiba VERB --help` says more about a verb.";

/// Parses the command line and runs its verb. Gives the exit code.
pub(crate) fn dispatch(arguments: Vec<OsString>) -> Result<u8> {
    let mut arguments = generate::as_generator(arguments);
    let at = verb_position(&arguments);
    expand_alias(&mut arguments, at);
    let chosen = arguments.get(at).and_then(|word| word.to_str()).map(str::to_owned);
    let verb = VERBS.iter().find(|verb| Some(verb.name) == chosen.as_deref());
    if let (None, Some(word)) = (verb, chosen.as_deref())
        && word != "help"
        && !word.starts_with('-')
    {
        return Err(unknown_verb(word));
    }
    let matches = match parse(&mut arguments, verb, chosen.as_deref() == Some("help"))? {
        Parsed::Matches(matches) => matches,
        Parsed::Shown(code) => return Ok(code),
    };
    let context = Context::new(matches.get_one::<PathBuf>("root").cloned())?;
    match (verb, matches.subcommand()) {
        (Some(verb), Some((_, matches))) => (verb.run)(matches, &context),
        _ => Ok(code::USAGE),
    }
}

/// Where the verb stands: the first word that is neither an option nor `--root`'s value.
fn verb_position(arguments: &[OsString]) -> usize {
    let mut at = 1;
    while let Some(word) = arguments.get(at).and_then(|word| word.to_str()) {
        match word {
            "--root" => at += 2,
            "--" => return at + 1,
            word if word.starts_with('-') => at += 1,
            _ => break,
        }
    }
    at
}

fn expand_alias(arguments: &mut Vec<OsString>, at: usize) {
    let matches = |words: &[&str]| {
        words.iter().enumerate().all(|(i, word)| arguments.get(at + i).is_some_and(|given| given == word))
    };
    if let Some((words, name)) = ALIASES.iter().find(|(words, _)| matches(words)) {
        arguments.splice(at..at + words.len(), name.split(' ').map(OsString::from));
    }
}

enum Parsed {
    Matches(ArgMatches),
    /// Help or version was printed.
    Shown(u8),
}

/// Parses with the one verb that is meant: the others' arguments are not even built.
fn parse(arguments: &mut Vec<OsString>, verb: Option<&Verb>, everything: bool) -> Result<Parsed> {
    loop {
        let command = if everything { full_command() } else { command_with(verb) };
        let error = match command.try_get_matches_from(arguments.iter()) {
            Ok(matches) => return Ok(Parsed::Matches(matches)),
            Err(error) => error,
        };
        if drop_boolean_value(arguments, &error) {
            continue;
        }
        return match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                let shown = error.render();
                let styled = std::io::IsTerminal::is_terminal(&std::io::stdout()) && crate::ui::style::coloured();
                crate::ui::out(&if styled { shown.ansi().to_string() } else { shown.to_string() })?;
                Ok(Parsed::Shown(0))
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                crate::ui::err(&error.render().to_string());
                Ok(Parsed::Shown(code::USAGE))
            }
            _ => Err(usage_error(&error, verb)),
        };
    }
}

/// docker's switches take `=true` and `=false`. clap's do not, so the word that it stumbled over is
/// replaced: the common command line pays nothing.
fn drop_boolean_value(arguments: &mut Vec<OsString>, error: &clap::Error) -> bool {
    if error.kind() != ErrorKind::TooManyValues {
        return false;
    }
    let (Some(flag), Some(value)) = (said(error, ContextKind::InvalidArg), said(error, ContextKind::InvalidValue))
    else {
        return false;
    };
    let flag = flag.split([' ', '=']).next().unwrap_or_default();
    let Some(at) = arguments.iter().position(|word| word.to_str() == Some(&format!("{flag}={value}"))) else {
        return false;
    };
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" => arguments[at] = OsString::from(flag),
        "false" | "0" | "f" => drop(arguments.remove(at)),
        _ => return false,
    }
    true
}

fn said(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

fn usage_error(error: &clap::Error, verb: Option<&Verb>) -> Error {
    let name = verb.map_or("", |verb| verb.name);
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(flag) = said(error, ContextKind::InvalidArg)
    {
        let refused = (name == "build").then(|| build::refused::flag(&flag)).flatten();
        if let Some(words) = refused.or_else(|| later::flag(name, &flag)) {
            return words;
        }
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let tips = rest.lines().filter_map(|line| line.trim_start().strip_prefix("tip: "));
    let mut out = Error::usage(message.trim_end().to_owned());
    for tip in tips {
        out = out.hint(tip.to_owned());
    }
    out.hint(format!("`estiba {name}{}--help` lists what there is", if name.is_empty() { "" } else { " " }))
}

fn unknown_verb(word: &str) -> Error {
    if let Some(later) = later::verb(word) {
        return later;
    }
    let error = Error::usage(format!("`{word}` is not a verb of estiba"));
    match crate::near::nearest(word, VERBS.iter().map(|verb| verb.name)) {
        Some(near) => error.hint(format!("did you mean `estiba {near}`?")),
        None => error.hint("`estiba --help` lists the verbs"),
    }
}

/// The whole command line: what help, man pages and completions are made from.
pub(crate) fn full_command() -> Command {
    VERBS.iter().fold(root(), |command, verb| command.subcommand((verb.arguments)(bare(verb))))
}

/// The command line with the arguments of one verb.
fn command_with(verb: Option<&Verb>) -> Command {
    match verb {
        Some(verb) => root().subcommand((verb.arguments)(bare(verb))),
        None => VERBS.iter().fold(root(), |command, verb| command.subcommand(bare(verb))),
    }
}

fn bare(verb: &Verb) -> Command {
    Command::new(verb.name).about(verb.about)
}

fn root() -> Command {
    let styles = Styles::styled()
        .header(AnsiColor::Yellow.on_default().bold())
        .usage(AnsiColor::Yellow.on_default().bold())
        .literal(AnsiColor::Green.on_default())
        .placeholder(AnsiColor::Cyan.on_default());
    Command::new("estiba")
        .about("Builds and runs container images: no daemon, no root, no other engine")
        .version(env!("CARGO_PKG_VERSION"))
        .styles(styles)
        .max_term_width(110)
        // The last one counts, as in docker: aliases and wrappers begin with their own.
        .args_override_self(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(root_option())
        .after_help(EXAMPLES)
}

fn root_option() -> Arg {
    Arg::new("root")
        .long("root")
        .value_name("DIR")
        .value_parser(clap::value_parser!(PathBuf))
        .action(ArgAction::Set)
        .global(true)
        .help("The store's folder [default: $ESTIBA_ROOT, else $XDG_DATA_HOME/estiba; root: /var/lib/estiba]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed> {
        let mut arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let at = verb_position(&arguments);
        expand_alias(&mut arguments, at);
        let verb = VERBS.iter().find(|verb| arguments.get(at).is_some_and(|word| word == verb.name));
        parse(&mut arguments, verb, false)
    }

    #[test]
    fn the_table_is_sound() {
        full_command().debug_assert();
        for verb in VERBS {
            command_with(Some(verb)).debug_assert();
        }
    }

    #[test]
    fn what_people_type_parses() {
        for line in [
            "estiba build -t app .",
            "estiba --root /x build -t a -t b:1 -f Dockerfile.x --build-arg K=V --build-arg K --target t --no-cache=true .",
            "estiba buildx build --load --provenance=false --progress=plain .",
            "estiba build --print=graph .",
            "estiba build --print=graph=json .",
            "estiba run --rm -it -e A=1 -v /a:/b:ro -w /w -u 1:2 --init app sh -c --rm",
            "estiba run --rm=true --read-only=false app --root x -e",
            "estiba image ls -q",
            "estiba images --format {{.ID}}",
            "estiba prune -af --filter until=24h",
            "estiba copy -a --src-tls-verify=false docker://a/b:1 oci:dir:1",
            "estiba list-tags --limit 3 docker://app",
            "estiba manifest inspect --verbose app:1",
            "estiba manifest create --amend l a b",
            "estiba attach --artifact-type a/b --annotation x=y app:1 sbom.json:application/json",
            "estiba man pages",
            "estiba pull -q --platform linux/arm64 --tls-verify=false --creds a:b busybox debian:12",
            "estiba pull -a --tls-verify --retry 3 localhost:5000/app",
            "estiba image push --compression zstd --compression-level 3 --digestfile d app localhost:5000/app",
            "estiba login -u ann --password-stdin localhost:5000",
            "estiba logout --all",
            "estiba build --pull --push -t localhost:5000/app .",
            "estiba build --pull=newer -o type=registry,name=localhost:5000/app .",
            "estiba run --pull=always --rm app true",
            "estiba save --format oci-archive -o a.tar app",
        ] {
            match parsed(line) {
                Ok(Parsed::Matches(_)) => {}
                Ok(Parsed::Shown(_)) => panic!("{line}: shown"),
                Err(error) => panic!("{line}: {}", error.message()),
            }
        }
    }

    #[test]
    fn mistakes_get_a_next_step() {
        assert!(unknown_verb("buidl").message().contains("buidl"));
        for (line, expected) in [("estiba build --hooks-dir x .", "is refused"), ("estiba build --tagg x .", "--tagg")]
        {
            match parsed(line) {
                Err(error) => assert!(error.message().contains(expected), "{line}: {}", error.message()),
                Ok(_) => panic!("{line} parsed"),
            }
        }
    }
}
