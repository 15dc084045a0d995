//! Our trees against those of two other parsers.
//!
//! Each tree becomes a list of nodes in one normal form, and the lists must be
//! equal. `testdata/frontend/parse/oracles` says for each case which oracle
//! applies, and why not otherwise; a case that it forgets fails.

use std::collections::BTreeMap;

use dockerfile_parser as dp;
use estiba_frontend::instruction::Instruction;
use estiba_frontend::instruction::command_line::CommandLine;
use estiba_frontend::instruction::pair::Pair;
use estiba_frontend::instruction::transfer::Transfer;
use estiba_frontend::{Dockerfile, Expander, Place, SourceText, Statement};
use parse_dockerfile as pd;

use crate::corpus;

/// A node in normal form: the keyword, and its parts.
type Node = Vec<String>;

fn node(keyword: &str, parts: impl IntoIterator<Item = String>) -> Node {
    std::iter::once(keyword.to_owned()).chain(parts).collect()
}

/// Blanks and line ends count as one blank each: both oracles keep them.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A word without quotes and escapes, variables left alone.
fn bare(text: &str) -> String {
    let escaped = text.replace('$', "\\$");
    Expander::new('\\').expand(&escaped, &BTreeMap::new()).map_or(text.to_owned(), |expanded| expanded.text)
}

// Ours.

/// How much of a node an oracle's tree holds.
#[derive(Clone, Copy, PartialEq)]
enum Oracle {
    DockerfileParser,
    ParseDockerfile,
}

fn ours(dockerfile: &Dockerfile, oracle: Oracle) -> Vec<Node> {
    let mut nodes: Vec<Node> = dockerfile.global_args.iter().map(|statement| our_node(statement, oracle)).collect();
    for stage in &dockerfile.stages {
        let from = &stage.from;
        let name = from.name.as_ref().map(|name| name.text.clone()).unwrap_or_default();
        let platform = from.platform.as_ref().map(|platform| format!("platform={platform}")).unwrap_or_default();
        nodes.push(node("FROM", [platform, from.base.text.clone(), name]));
        nodes.extend(stage.body.iter().map(|statement| our_node(statement, oracle)));
    }
    nodes
}

fn our_node(statement: &Statement, oracle: Oracle) -> Node {
    let place = &statement.place;
    let pairs = |keyword: &str, pairs: &[Pair]| match oracle {
        Oracle::DockerfileParser => {
            node(keyword, pairs.iter().map(|pair| format!("{}={}", bare(&pair.name.text), bare(&pair.value.text))))
        }
        Oracle::ParseDockerfile => node(keyword, [arguments(place)]),
    };
    match &statement.instruction {
        Instruction::Env(env) => pairs("ENV", &env.pairs),
        Instruction::Label(label) => pairs("LABEL", &label.pairs),
        Instruction::Arg(arg) if oracle == Oracle::DockerfileParser => node(
            "ARG",
            arg.args.iter().map(|arg| {
                let default = arg.default.as_ref().map(|default| format!("={}", bare(&default.text)));
                format!("{}{}", arg.name, default.unwrap_or_default())
            }),
        ),
        Instruction::Run(run) => {
            let bodies = run.heredocs.iter().map(|heredoc| heredoc.text());
            let mut command = our_command(&run.command);
            if !run.heredocs.is_empty() {
                // parse-dockerfile takes the words that announce them out of the text.
                let plain =
                    |text: &str| text.split(' ').filter(|word| !word.contains("<<")).collect::<Vec<_>>().join(" ");
                command.iter_mut().for_each(|text| *text = plain(text).trim().to_owned());
            }
            node("RUN", flags(place).into_iter().chain(command).chain(bodies))
        }
        Instruction::Cmd(cmd) => node("CMD", our_command(&cmd.command)),
        Instruction::Entrypoint(entrypoint) => node("ENTRYPOINT", our_command(&entrypoint.command)),
        Instruction::Copy(copy) => our_transfer("COPY", place, &copy.transfer),
        Instruction::Add(add) if oracle == Oracle::ParseDockerfile => our_transfer("ADD", place, &add.transfer),
        Instruction::Healthcheck(check) if oracle == Oracle::ParseDockerfile => {
            let command = check.command.iter().flat_map(our_command);
            node("HEALTHCHECK", flags(place).into_iter().chain(command))
        }
        Instruction::Onbuild(onbuild) if oracle == Oracle::ParseDockerfile => {
            node("ONBUILD", [onbuild.instruction.name().to_owned()])
        }
        Instruction::Volume(volume) if oracle == Oracle::ParseDockerfile => {
            node("VOLUME", volume.paths.iter().map(|path| path.text.clone()))
        }
        Instruction::Shell(shell) if oracle == Oracle::ParseDockerfile => node("SHELL", shell.words.clone()),
        other => node(other.name(), [arguments(place)]),
    }
}

fn arguments(place: &Place) -> String {
    squeeze(place.text.split_once(char::is_whitespace).map_or("", |(_, rest)| rest))
}

fn flags(place: &Place) -> Vec<String> {
    let words = place.text.split_whitespace().skip(1).take_while(|word| word.starts_with("--"));
    words.map(|word| word.trim_start_matches("--").to_owned()).collect()
}

fn our_command(command: &CommandLine) -> Vec<String> {
    match command {
        CommandLine::Shell(word) => vec![format!("shell {}", squeeze(&word.text))],
        CommandLine::Exec(words) => words.iter().map(|word| format!("exec {word}")).collect(),
    }
}

fn our_transfer(keyword: &str, place: &Place, transfer: &Transfer) -> Node {
    let sources = transfer.sources.iter().map(|source| source.text.clone());
    let files = transfer.files.iter().map(|file| format!("{} {}", file.expand, file.text()));
    let parts = flags(place).into_iter().chain(sources).chain(files).chain([transfer.dest.text.clone()]);
    node(keyword, parts)
}

// Theirs.

fn dockerfile_parser(text: &str) -> Vec<Node> {
    let parsed = dp::Dockerfile::parse(text).unwrap_or_else(|error| panic!("dockerfile-parser: {error}"));
    parsed.instructions.iter().map(dp_node).collect()
}

fn dp_node(instruction: &dp::Instruction) -> Node {
    let command = |expr: &dp::ShellOrExecExpr| match expr {
        dp::ShellOrExecExpr::Shell(text) => vec![format!("shell {}", squeeze(&text.to_string()))],
        dp::ShellOrExecExpr::Exec(list) => list.as_str_vec().into_iter().map(|word| format!("exec {word}")).collect(),
    };
    match instruction {
        dp::Instruction::From(from) => {
            let flag = from.flags.first().map(|flag| format!("{}={}", flag.name, flag.value)).unwrap_or_default();
            let alias = from.alias.as_ref().map(ToString::to_string).unwrap_or_default();
            node("FROM", [flag, from.image.to_string(), alias])
        }
        dp::Instruction::Arg(arg) => {
            let default = arg.value.as_ref().map(|value| format!("={value}")).unwrap_or_default();
            node("ARG", [format!("{}{default}", arg.name)])
        }
        dp::Instruction::Label(label) => {
            node("LABEL", label.labels.iter().map(|label| format!("{}={}", label.name, label.value)))
        }
        dp::Instruction::Env(env) => node("ENV", env.vars.iter().map(|var| format!("{}={}", var.key, var.value))),
        dp::Instruction::Run(run) => node("RUN", command(&run.expr)),
        dp::Instruction::Cmd(cmd) => node("CMD", command(&cmd.expr)),
        dp::Instruction::Entrypoint(entrypoint) => node("ENTRYPOINT", command(&entrypoint.expr)),
        dp::Instruction::Copy(copy) => {
            let flags = copy.flags.iter().map(|flag| format!("{}={}", flag.name, flag.value));
            let sources = copy.sources.iter().map(ToString::to_string);
            node("COPY", flags.chain(sources).chain([copy.destination.to_string()]))
        }
        dp::Instruction::Misc(misc) => {
            let keyword = misc.instruction.to_string().to_ascii_uppercase();
            node(&keyword, [squeeze(&misc.arguments.to_string())])
        }
    }
}

fn parse_dockerfile(text: &str) -> Vec<Node> {
    let parsed = pd::parse(text).unwrap_or_else(|error| panic!("parse-dockerfile: {error}"));
    parsed.instructions.iter().map(pd_node).collect()
}

fn pd_flags(flags: &[pd::Flag<'_>]) -> Vec<String> {
    let value = |flag: &pd::Flag<'_>| flag.value.as_ref().map(|value| format!("={}", value.value)).unwrap_or_default();
    flags.iter().map(|flag| format!("{}{}", flag.name.value, value(flag))).collect()
}

fn pd_command(command: &pd::Command<'_>) -> Vec<String> {
    match command {
        pd::Command::Exec(list) => list.value.iter().map(|word| format!("exec {}", word.value)).collect(),
        pd::Command::Shell(text) => vec![format!("shell {}", joined(text.value)).trim().to_owned()],
        other => panic!("{other:?}"),
    }
}

/// That parser leaves continuations and comments in shell forms.
fn joined(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    squeeze(&lines.map(|line| line.trim_end().trim_end_matches(['\\', '`'])).collect::<Vec<_>>().join(" "))
}

fn pd_transfer(keyword: &str, options: &[pd::Flag<'_>], sources: &[pd::Source<'_>], dest: &str) -> Node {
    let mut paths = Vec::new();
    let mut files = Vec::new();
    for source in sources {
        match source {
            pd::Source::Path(path) => paths.push(path.value.to_string()),
            pd::Source::HereDoc(heredoc) => files.push(format!("{} {}", heredoc.expand, heredoc.value)),
            other => panic!("{other:?}"),
        }
    }
    node(keyword, pd_flags(options).into_iter().chain(paths).chain(files).chain([dest.to_owned()]))
}

fn pd_node(instruction: &pd::Instruction<'_>) -> Node {
    use pd::Instruction as I;
    let one = |keyword: &str, text: &str| node(keyword, [joined(text)]);
    match instruction {
        I::From(from) => {
            let flag = pd_flags(&from.options).into_iter().next().unwrap_or_default();
            let alias = from.as_.as_ref().map(|(_, name)| name.value.to_string()).unwrap_or_default();
            node("FROM", [flag, from.image.value.to_string(), alias])
        }
        I::Arg(arg) => one("ARG", &arg.arguments.value),
        I::Env(env) => one("ENV", &env.arguments.value),
        I::Label(label) => one("LABEL", &label.arguments.value),
        I::User(user) => one("USER", &user.arguments.value),
        I::Workdir(workdir) => one("WORKDIR", &workdir.arguments.value),
        I::Stopsignal(signal) => one("STOPSIGNAL", &signal.arguments.value),
        I::Maintainer(maintainer) => one("MAINTAINER", &maintainer.name.value),
        I::Run(run) => {
            let bodies = run.here_docs.iter().map(|heredoc| heredoc.value.to_string());
            node("RUN", pd_flags(&run.options).into_iter().chain(pd_command(&run.arguments)).chain(bodies))
        }
        I::Cmd(cmd) => node("CMD", pd_command(&cmd.arguments)),
        I::Entrypoint(entrypoint) => node("ENTRYPOINT", pd_command(&entrypoint.arguments)),
        I::Copy(copy) => pd_transfer("COPY", &copy.options, &copy.src, &copy.dest.value),
        I::Add(add) => pd_transfer("ADD", &add.options, &add.src, &add.dest.value),
        I::Expose(expose) => {
            let ports: Vec<&str> = expose.arguments.iter().map(|port| port.value.as_ref()).collect();
            one("EXPOSE", &ports.join(" "))
        }
        I::Volume(volume) => {
            let paths = match &volume.arguments {
                pd::JsonOrStringArray::Json(list) => &list.value,
                pd::JsonOrStringArray::String(list) => list,
            };
            node("VOLUME", paths.iter().map(|path| path.value.to_string()))
        }
        I::Shell(shell) => node("SHELL", shell.arguments.iter().map(|word| word.value.to_string())),
        I::Healthcheck(check) => {
            let command = match &check.arguments {
                pd::HealthcheckArguments::Cmd { arguments, .. } => pd_command(arguments),
                _ => Vec::new(),
            };
            node("HEALTHCHECK", pd_flags(&check.options).into_iter().chain(command))
        }
        I::Onbuild(onbuild) => {
            let inner = pd_node(&onbuild.instruction);
            node("ONBUILD", inner.into_iter().take(1))
        }
        other => panic!("{other:?}"),
    }
}

/// `case | dockerfile-parser | parse-dockerfile`; `applies`, or why not.
fn oracles() -> BTreeMap<String, [String; 2]> {
    let text = std::fs::read_to_string(corpus::folder("parse/oracles")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            let [case, first, second] = columns[..] else { panic!("three columns: {line}") };
            (case.to_owned(), [first.to_owned(), second.to_owned()])
        })
        .collect()
}

#[test]
fn trees_are_equal() {
    let oracles = oracles();
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in corpus::cases("parse").into_iter().filter(|case| case.extension().is_some()) {
        let name = case.file_stem().unwrap().to_str().unwrap().to_owned();
        let source: SourceText = corpus::read(&case);
        let tree = corpus::parse(&source);
        let columns = oracles.get(&name).unwrap_or_else(|| panic!("{name} is not in the table of oracles"));
        for (column, oracle) in columns.iter().zip([Oracle::DockerfileParser, Oracle::ParseDockerfile]) {
            if column != "applies" {
                assert!(column.len() > 10, "{name}: say why an oracle does not apply");
                continue;
            }
            let theirs = match oracle {
                Oracle::DockerfileParser => dockerfile_parser(source.text()),
                Oracle::ParseDockerfile => parse_dockerfile(source.text()),
            };
            let ours = ours(&tree, oracle);
            if ours != theirs {
                wrong.push(format!("{name}\n   ours {ours:?}\n theirs {theirs:?}"));
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 24, "only {compared} trees were compared");
}
