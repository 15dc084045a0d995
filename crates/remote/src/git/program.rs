//! The `git` program, started so that nothing but what we say decides what it does.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::login::Login;

/// What git may see of our own environment: where programs and keys are, and how the network is reached.
const KEPT: [&str; 19] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SYSTEMROOT",
    "XDG_RUNTIME_DIR",
];

/// Configuration that holds for every command, stronger than what a repository brings.
const SETTINGS: [(&str, &str); 19] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.symlinks", "true"),
    ("core.fileMode", "true"),
    ("core.protectNTFS", "true"),
    ("core.protectHFS", "true"),
    ("credential.helper", ""),
    ("protocol.version", "2"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
    // Nothing in `.git` tells when and by whom it was made.
    ("core.logAllRefUpdates", "false"),
    ("pack.threads", "1"),
    // A server that sends nothing for a minute is gone.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
];

/// Lines of what git said that an error carries.
const MOST_SAID: usize = 12;

/// How git is called for one repository.
#[derive(Debug, Clone)]
pub struct Git {
    login: Login,
    /// Where an ssh agent listens, instead of the one of our environment.
    agent: Option<PathBuf>,
}

/// Why git could not do it.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no such program.
    #[error("the program `git` is not installed, and {remote} needs it")]
    NoProgram {
        /// The repository.
        remote: String,
    },
    /// It could not be started, or a file of its repository not be written.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// It failed.
    #[error("git {command} of {remote} failed: {said}")]
    Failed {
        /// The command.
        command: String,
        /// The repository.
        remote: String,
        /// What it said.
        said: String,
    },
    /// The repository lacks what was asked for.
    #[error("{remote} has no branch, tag or commit `{reference}`")]
    NoReference {
        /// The repository.
        remote: String,
        /// What was asked for.
        reference: String,
    },
    /// The commit is another one than it had to be.
    #[error("{remote}: `{reference}` is commit {found}, not {wanted}")]
    Checksum {
        /// The repository.
        remote: String,
        /// What was asked for.
        reference: String,
        /// What it is.
        found: String,
        /// What it had to be.
        wanted: String,
    },
}

impl Git {
    /// Git for a repository, whose login is taken out of its address.
    pub fn new(login: Login) -> Self {
        Self { login, agent: None }
    }

    /// With an ssh agent of its own.
    #[must_use]
    pub fn with_agent(mut self, socket: PathBuf) -> Self {
        self.agent = Some(socket);
        self
    }

    /// The repository's address, without a login.
    pub fn remote(&self) -> &str {
        &self.login.remote
    }

    /// Whether the repository is reached through ssh.
    pub fn is_ssh(&self) -> bool {
        !self.login.is_http() && !self.login.remote.starts_with("git://")
    }

    /// Runs `git` in a folder; gives what it wrote.
    pub(super) fn run<I, S>(&self, folder: &Path, arguments: I) -> Result<String, GitError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let arguments: Vec<OsString> = arguments.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let output = self.command(folder, &arguments).output().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => GitError::NoProgram { remote: self.remote().to_owned() },
            _ => GitError::Io { what: "start git".to_owned(), source },
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let command = arguments.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        Err(GitError::Failed { command, remote: self.remote().to_owned(), said: said(&output) })
    }

    fn command(&self, folder: &Path, arguments: &[OsString]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(folder).args(arguments).stdin(Stdio::null()).env_clear();
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(agent) = &self.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        for (name, value) in [
            ("LC_ALL", "C"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            // No file of this machine and no program (`ext::`) is a repository, least of all for a submodule.
            ("GIT_ALLOW_PROTOCOL", "http:https:git:ssh"),
            ("GIT_PROTOCOL_FROM_USER", "0"),
            ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=15"),
        ] {
            command.env(name, value);
        }
        self.configure(&mut command);
        command
    }

    /// Settings go through the environment: git hands them on to what it starts for submodules, and no argument list has a
    /// login in it.
    fn configure(&self, command: &mut Command) {
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let mut settings: Vec<(String, String)> = SETTINGS.into_iter().map(own).collect();
        match self.login.configuration() {
            Some(login) => {
                settings.push(login);
                // A login must not follow a redirect to somebody else.
                settings.push(own(("http.followRedirects", "false")));
            }
            None => settings.push(own(("http.followRedirects", "initial"))),
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (at, (key, value)) in settings.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
    }
}

/// What git wrote of its failure: the lines that say something, without control characters.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(MOST_SAID)..].join("; ");
    if last.is_empty() {
        return output.status.to_string();
    }
    last.chars().filter(|c| !c.is_control()).take(2_000).collect()
}
