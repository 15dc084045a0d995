//! The program: its arguments, variables, user, terminal.

use std::path::PathBuf;

use containers::ContainerId;
use containers::config::Process;
use oci::ContainerConfig;

use crate::error::{Error, Result};
use crate::verb::run::environment::Environment;

/// The program.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Pass standard input on
    #[arg(short, long)]
    pub(in crate::verb) interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub(in crate::verb) tty: bool,
    /// Set a variable; without a value it comes from the environment
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Set the variables of a file, one a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// The working folder
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The user: name or number, with :group
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// The program instead of the image's entry point
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// The container's host name
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,
    /// The keys that leave its terminal and let it go on [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS", value_parser = keys)]
    detach_keys: Option<String>,
    /// Let process 1 be an init that reaps orphans and passes signals on
    #[arg(long)]
    init: bool,
}

fn keys(written: &str) -> std::result::Result<String, String> {
    crate::session::detach::Keys::parse(written).map(|_| written.to_owned()).map_err(|error| error.message().to_owned())
}

impl Options {
    pub(super) fn settle(&self, id: &ContainerId, command: &[String], defaults: &ContainerConfig) -> Result<Process> {
        let hostname = self.hostname.clone().unwrap_or_else(|| id.short().to_owned());
        check_hostname(&hostname)?;
        let cwd = self.workdir.clone().unwrap_or_else(|| defaults.working_dir.clone());
        if !cwd.is_empty() && !cwd.starts_with('/') {
            return Err(Error::usage(format!("--workdir {cwd}: the path must be absolute")));
        }
        let (args, entrypoint) = arguments(self.entrypoint.as_deref(), command, defaults)?;
        Ok(Process {
            args,
            entrypoint,
            env: self.environment(defaults, &hostname)?,
            cwd,
            user: self.user.clone().unwrap_or_else(|| defaults.user.clone()),
            groups: Vec::new(),
            hostname: Some(hostname),
            init: self.init,
            terminal: self.tty,
            stdin: self.interactive,
            detach_keys: self.detach_keys.clone(),
        })
    }

    fn environment(&self, defaults: &ContainerConfig, hostname: &str) -> Result<Vec<(String, String)>> {
        let mut environment = Environment::default();
        environment.set("HOSTNAME", hostname);
        if self.tty {
            environment.set("TERM", "xterm");
        }
        for written in &defaults.env {
            let (name, value) = written.split_once('=').unwrap_or((written, ""));
            environment.set(name, value);
        }
        for path in &self.env_file {
            environment.read_file(path)?;
        }
        for written in &self.env {
            environment.set_written(written)?;
        }
        Ok(environment.variables)
    }
}

/// The program and its arguments, by docker's rules; and how many of them are the entry point.
fn arguments(entrypoint: Option<&str>, command: &[String], defaults: &ContainerConfig) -> Result<(Vec<String>, usize)> {
    let mut all = match entrypoint {
        Some("") => Vec::new(),
        Some(program) => vec![program.to_owned()],
        None => defaults.entrypoint.clone().unwrap_or_default(),
    };
    let words = all.len();
    match (command, entrypoint.is_some()) {
        // The image's arguments belong to the image's entry point.
        ([], true) => {}
        ([], false) => all.extend(defaults.cmd.clone().unwrap_or_default()),
        (given, _) => all.extend(given.iter().cloned()),
    }
    if all.is_empty() {
        return Err(Error::usage("the image names no program to start").hint("give one: estiba run IMAGE PROGRAM"));
    }
    Ok((all, words))
}

fn check_hostname(name: &str) -> Result {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
    if name.is_empty() || name.len() > 63 || name.starts_with('-') || !name.bytes().all(word) {
        return Err(Error::usage(format!("--hostname {name}: not a host name")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(
        given: Option<&str>,
        command: &[&str],
        entrypoint: Option<&[&str]>,
        cmd: Option<&[&str]>,
    ) -> Vec<String> {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let config =
            ContainerConfig { entrypoint: entrypoint.map(list), cmd: cmd.map(list), ..ContainerConfig::default() };
        arguments(given, &list(command), &config).unwrap_or_default().0
    }

    #[test]
    fn entry_point_and_command_combine_as_in_docker() {
        assert_eq!(started(None, &[], Some(&["e"]), Some(&["c"])), ["e", "c"]);
        assert_eq!(started(None, &["x", "-y"], Some(&["e"]), Some(&["c"])), ["e", "x", "-y"]);
        assert_eq!(started(Some("p"), &[], Some(&["e"]), Some(&["c"])), ["p"]);
        assert_eq!(started(Some("p"), &["a", "--rm"], Some(&["e"]), Some(&["c"])), ["p", "a", "--rm"]);
        assert_eq!(started(Some(""), &["a"], Some(&["e"]), None), ["a"]);
        assert!(started(None, &[], None, None).is_empty());
    }

    #[test]
    fn the_environment_is_the_images_and_then_the_users() {
        let options =
            Options { env: vec!["A=2".to_owned()], tty: true, user: Some("5".to_owned()), ..Options::default() };
        let config = ContainerConfig { env: vec!["A=1".to_owned()], ..ContainerConfig::default() };
        let id = ContainerId::random().unwrap();
        let process = options.settle(&id, &["x".to_owned()], &config).unwrap();
        for pair in [("A", "2"), ("TERM", "xterm"), ("HOSTNAME", id.short())] {
            assert!(process.env.contains(&(pair.0.to_owned(), pair.1.to_owned())), "{pair:?}");
        }
        assert_eq!((process.user.as_str(), process.hostname.as_deref()), ("5", Some(id.short())));
    }
}
