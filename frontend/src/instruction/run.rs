//! `RUN [flags] command`, `RUN ["program", "argument"]`, `RUN <<EOF`, with
//! `--mount --network --security --device`.

use graph::{Exec, Mount, MountKind, Network, Op, Security};

use super::command_line::CommandLine;
use super::{Instruction, Request, Spec};
use crate::flag::{FlagKind, FlagSpec};
use crate::heredoc::Heredoc;
use crate::limit::MAX_MOUNTS;
use crate::lower::{StageBuild, absolute};
use crate::run_mount::RunMount;
use crate::word::Word;

pub(super) const SPEC: Spec = Spec {
    name: "RUN",
    flags: &[
        FlagSpec::new("mount", FlagKind::Repeated),
        FlagSpec::new("network", FlagKind::Text),
        FlagSpec::new("security", FlagKind::Text),
        FlagSpec::new("device", FlagKind::Repeated),
    ],
    heredocs: true,
    trigger: true,
    parse,
};

/// Where the file of a heredoc with `#!` is mounted; BuildKit's place.
const SCRIPTS: &str = "/dev/pipes/";

/// Runs a command; what it changes becomes a layer.
#[derive(Clone, Debug)]
pub struct Run {
    /// The command; it does not expand.
    pub command: CommandLine,
    /// Heredocs of the command.
    pub heredocs: Vec<Heredoc>,
    /// What is mounted for it.
    pub mounts: Vec<RunMount>,
    /// Its network.
    pub network: Option<Network>,
    /// How far it is confined.
    pub security: Security,
    /// Devices that it asks for.
    pub devices: Vec<Word>,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    let mounts: Vec<Word> = request.flags.texts("mount").collect();
    if mounts.len() > MAX_MOUNTS {
        return request.fail(format!("{} mounts; a RUN may have at most {MAX_MOUNTS}", mounts.len()));
    }
    let mounts: Vec<Option<RunMount>> =
        mounts.into_iter().map(|word| RunMount::parse(word, request.escape, request.findings)).collect();
    let network = match request.flags.text("network") {
        None => None,
        Some(word) => Some(match word.text.as_str() {
            "default" => Network::Default,
            "none" => Network::None,
            "host" => Network::Host,
            other => return request.fail_at(word.span, format!("`--network` is default, none or host, not `{other}`")),
        }),
    };
    let security = match request.flags.text("security") {
        None => Security::Sandbox,
        Some(word) => match word.text.as_str() {
            "sandbox" => Security::Sandbox,
            "insecure" => Security::Insecure,
            other => {
                return request.fail_at(word.span, format!("`--security` is sandbox or insecure, not `{other}`"));
            }
        },
    };
    request.at_least_one()?;
    let command = CommandLine::parse(request)?;
    if matches!(&command, CommandLine::Exec(words) if words.is_empty()) {
        return request.fail("RUN requires at least one argument");
    }
    let heredocs = std::mem::take(&mut request.heredocs);
    let devices = request.flags.texts("device").collect();
    let mounts = mounts.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Instruction::Run(Run { command, heredocs, mounts, network, security, devices }))
}

impl Run {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        if let Some(device) = self.devices.first() {
            stage.fail(
                device.span,
                "`RUN --device` is not in this version: `estiba build --device PATH` gives a device to every RUN",
            );
        }
        let mut inputs = vec![stage.state.root];
        let mut agents = 0;
        let mounts: Vec<Option<Mount>> =
            self.mounts.iter().map(|mount| mount.lower(stage, &mut inputs, &mut agents)).collect();
        let Some(mut mounts) = mounts.into_iter().collect::<Option<Vec<_>>>() else { return };
        let args = self.args(stage, &mut mounts);
        let env = stage.state.env.pairs().to_vec();
        stage.spend(stage.state.env.weight() + args.iter().map(String::len).sum::<usize>());
        let shown = self.shown(stage, &args);
        let exec = Exec {
            args,
            env,
            proxy_env: stage.shared.proxies.clone(),
            cwd: absolute("/", stage.workdir()),
            user: stage.state.config.config.user.clone(),
            hostname: stage.shared.hostname.clone(),
            network: self
                .network
                .filter(|network| *network != Network::Default)
                .unwrap_or(stage.shared.options.network),
            security: self.security,
            mounts,
        };
        let mut name = stage.vertex_name(true);
        if let Some(heredoc) = self.script() {
            name.push_str(&format!(" ({})", summary(&heredoc.content)));
        }
        stage.state.root = stage.add(Op::Exec(exec), inputs, name);
        stage.history(shown, true);
    }

    /// The command, where it is nothing but one heredoc.
    fn script(&self) -> Option<&Heredoc> {
        let CommandLine::Shell(word) = &self.command else { return None };
        Heredoc::from_word(&word.text)?;
        self.heredocs.first()
    }

    fn args(&self, stage: &StageBuild<'_>, mounts: &mut Vec<Mount>) -> Vec<String> {
        let CommandLine::Shell(word) = &self.command else { return self.command.words(stage) };
        let Some(heredoc) = self.script() else {
            // The shell reads the heredocs itself.
            let mut text = word.text.clone();
            for heredoc in &self.heredocs {
                text.extend(["\n", &heredoc.content, &heredoc.name]);
            }
            return stage.in_shell(&text);
        };
        let text = heredoc.text();
        if !text.starts_with("#!") {
            return stage.in_shell(&text);
        }
        let path = format!("{SCRIPTS}{}", heredoc.name);
        let kind = MountKind::File { data: text.into_bytes(), mode: 0o755 };
        mounts.push(Mount { target: path.clone(), readonly: true, kind });
        vec![path]
    }

    /// The history entry: `RUN |1 A=1 /bin/sh -c make # buildkit`.
    fn shown(&self, stage: &StageBuild<'_>, args: &[String]) -> String {
        let mut text = String::from("RUN ");
        let declared = stage.declared();
        if !declared.is_empty() {
            text.push_str(&format!("|{} ", declared.len()));
            for (name, value) in declared {
                text.extend([name, "=", value, " "]);
            }
        }
        text.push_str(&args.join(" "));
        text.push_str(" # buildkit");
        text
    }
}

/// The first line of a script, for its name.
fn summary(content: &str) -> String {
    let mut lines = content.trim().lines();
    let first: String = lines.next().unwrap_or_default().chars().take(200).collect();
    if lines.next().is_some() { format!("{first}...") } else { first }
}
