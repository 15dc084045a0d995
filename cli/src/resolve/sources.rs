//! Commits, files of the web and checkouts: asked for while a Dockerfile is planned, fetched before it is built.
//!
//! All of it happens as the user who started us, with that user's keys and known hosts. Logins come from addresses and from
//! secrets, as BuildKit names them: `GIT_AUTH_TOKEN`, `GIT_AUTH_HEADER`, `HTTP_AUTH_TOKEN_…` and `HTTP_AUTH_HEADER_…`; in the
//! graph and in the store no address has one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use builder::Secrets;
use builder::sources::{self, SourceError, WebSource};
use frontend::GitUrl;
use frontend::git_url::shown_url;
use graph::Source;
use oci::Digest;
use remote::git::{Git, GitError, Login};

use super::{Resolver, Step};
use crate::error::{Error, Result, While};
use crate::lockfile;

/// What fetching needs besides the network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    /// The build's secrets.
    pub(crate) secrets: Secrets,
    /// Where an ssh agent listens that the user named.
    pub(crate) agent: Option<PathBuf>,
}

/// Full addresses by what the graph says instead: repositories by their address without a login, files by digest and name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    repositories: BTreeMap<String, String>,
    files: BTreeMap<(Digest, String), String>,
}

/// What was answered already: a build asks each thing once, whatever moves meanwhile.
#[derive(Debug, Default)]
pub(super) struct Answers {
    commits: BTreeMap<(String, Option<String>, Option<String>), String>,
    files: BTreeMap<String, Digest>,
}

impl Resolver<'_> {
    /// With what fetching needs.
    pub(crate) fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// With addresses that another resolver met.
    pub(crate) fn with_addresses(mut self, addresses: Addresses) -> Self {
        self.addresses = addresses;
        self
    }

    /// The addresses that were met.
    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// The commit that a repository's reference names.
    pub(crate) fn commit(&mut self, url: &str, reference: Option<&str>, checksum: Option<&str>) -> Result<String> {
        self.addresses.repositories.insert(shown_url(url), url.to_owned());
        let question = (url.to_owned(), reference.map(str::to_owned), checksum.map(str::to_owned));
        if let Some(commit) = self.answers.commits.get(&question) {
            return Ok(commit.clone());
        }
        if let Some(commit) = self.locked.commit(&shown_url(url), reference)? {
            self.answers.commits.insert(question, commit.clone());
            return Ok(commit);
        }
        let git = self.git(url)?;
        let what = format!("{}{}", shown_url(url), reference.map(|name| format!("#{name}")).unwrap_or_default());
        let step = Step::begin(self.mode, self.shown + 1, &format!("resolve {what}"));
        self.shown += 1;
        let found = sources::find(self.store, &git, reference, checksum);
        step.end(found.as_ref().map(drop).map_err(drop));
        let commit = found.map_err(|error| explain(error, &git))?.commit;
        self.answers.commits.insert(question, commit.clone());
        Ok(commit)
    }

    /// The digest of a file. With a checksum nobody is asked now.
    pub(crate) fn file(&mut self, url: &str, checksum: Option<&Digest>, filename: &str) -> Result<Digest> {
        let digest = match (checksum, self.answers.files.get(url)) {
            (Some(checksum), _) => *checksum,
            (None, Some(known)) => *known,
            (None, None) => match self.locked.file(&lockfile::file_name(url))? {
                Some(digest) => digest,
                None => self.bring_file(url, None, filename)?,
            },
        };
        if checksum.is_none() {
            self.answers.files.insert(url.to_owned(), digest);
        }
        self.addresses.files.insert((digest, filename.to_owned()), url.to_owned());
        Ok(digest)
    }

    /// Fetches what the graph needs.
    pub(crate) fn fetch(&mut self, wanted: &[Source]) -> Result {
        for source in wanted {
            match source {
                Source::Git(git) => {
                    let url = self.addresses.repositories.get(&git.url).unwrap_or(&git.url).clone();
                    self.checkout(&url, git)?;
                }
                Source::Http(http) => {
                    let known = self.addresses.files.get(&(http.digest, http.filename.clone()));
                    let url = known.unwrap_or(&http.url).clone();
                    self.bring_file(&url, Some(&http.digest), &http.filename)?;
                }
                Source::Scratch | Source::Image { .. } | Source::Local { .. } => {}
            }
        }
        Ok(())
    }

    /// What the main context that was brought is: a commit, or the digest of a file.
    pub(crate) fn brought(&self) -> Option<(&'static str, String)> {
        self.brought.clone()
    }

    /// A checkout as a folder.
    pub(crate) fn checkout_of(&mut self, url: &GitUrl, keep_git_dir: bool) -> Result<PathBuf> {
        let commit = self.commit(&url.remote, url.reference.as_deref(), url.checksum.as_deref())?;
        self.brought = Some((if commit.len() == 64 { "sha256" } else { "sha1" }, commit.clone()));
        let git = graph::Git {
            url: url.shown(),
            reference: url.reference.clone(),
            commit,
            subdir: url.subdir.clone(),
            keep_git_dir: url.keep_git_dir.unwrap_or(keep_git_dir),
            submodules: url.submodules,
        };
        self.checkout(&url.remote, &git)
    }

    /// A file of the web as a folder with one entry.
    pub(crate) fn file_of(&mut self, url: &str, filename: &str) -> Result<PathBuf> {
        let digest = self.file(url, None, filename)?;
        self.brought = Some(("sha256", digest.hex()));
        if sources::file_tree(self.store, &digest, filename)?.is_none() {
            self.bring_file(url, Some(&digest), filename)?;
        }
        let tree = sources::file_tree(self.store, &digest, filename)?;
        tree.ok_or_else(|| Error::failed(format!("{} was collected while it was wanted", shown_url(url))))
    }

    fn checkout(&mut self, url: &str, git: &graph::Git) -> Result<PathBuf> {
        let program = self.git(url)?;
        let short = git.commit.get(..12).unwrap_or(&git.commit);
        let step = Step::begin(self.mode, self.shown + 1, &format!("fetch {}#{short}", git.url));
        self.shown += 1;
        let tree = sources::bring_checkout(self.store, &program, git);
        step.end(tree.as_ref().map(drop).map_err(drop));
        tree.map_err(|error| explain(error, &program))
    }

    fn bring_file(&mut self, url: &str, checksum: Option<&Digest>, filename: &str) -> Result<Digest> {
        let authorization = self.web_login(url)?;
        let wanted = WebSource { url, authorization: authorization.as_deref(), checksum, filename };
        let step = Step::begin(self.mode, self.shown + 1, &format!("fetch {}", shown_url(url)));
        self.shown += 1;
        let store = std::sync::Arc::clone(self.store);
        let link = self.link()?;
        let bar = step.spinner.clone();
        let progress = move |done: u64, _: Option<u64>| {
            if let Some(bar) = &bar {
                bar.set_position(done);
                bar.tick();
            }
        };
        let brought = link.runtime.block_on(sources::bring_file(&store, &link.client, &wanted, &progress));
        step.end(brought.as_ref().map(drop).map_err(drop));
        brought.map_err(|error| match &error {
            SourceError::Checksum { .. } => {
                Error::failed(error.to_string()).hint("the file has changed, or the checksum is another file's")
            }
            _ => Error::failed(error.to_string()),
        })
    }

    /// Git for a repository, with the login that is for it.
    fn git(&self, url: &str) -> Result<Git> {
        let mut login = Login::of(url);
        if let Some(host) = login.host().filter(|_| login.is_http()) {
            if let Some(header) = self.secret(&[&format!("GIT_AUTH_HEADER.{host}"), "GIT_AUTH_HEADER"])? {
                login = login.or_header(&header);
            } else if let Some(token) = self.secret(&[&format!("GIT_AUTH_TOKEN.{host}"), "GIT_AUTH_TOKEN"])? {
                login = login.or_token(&token);
            }
        }
        let git = Git::new(login);
        Ok(match &self.access.agent {
            Some(agent) => git.with_agent(agent.clone()),
            None => git,
        })
    }

    /// The `Authorization` of a file, if the build has a secret for its host.
    fn web_login(&self, url: &str) -> Result<Option<String>> {
        let shown = shown_url(url);
        let host = shown.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?', '#', ':']).next();
        let host = host.unwrap_or_default();
        if let Some(header) = self.secret(&[&format!("HTTP_AUTH_HEADER_{host}")])? {
            return Ok(Some(header));
        }
        let token = self.secret(&[&format!("HTTP_AUTH_TOKEN_{host}")])?;
        Ok(token.map(|token| format!("Bearer {token}")))
    }

    /// The first of these secrets that there is, as one line of text.
    fn secret(&self, ids: &[&str]) -> Result<Option<String>> {
        for id in ids {
            if let Some(secret) = self.access.secrets.get(id).map_err(|error| Error::failed(error.to_string()))? {
                let text = std::str::from_utf8(&secret).during(format!("secret {id} is no text"))?.trim().to_owned();
                if text.chars().any(char::is_control) {
                    return Err(Error::failed(format!("secret {id} has more than one line: it cannot be a login")));
                }
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}

fn explain(error: SourceError, git: &Git) -> Error {
    let SourceError::Git(failed) = &error else { return Error::failed(error.to_string()) };
    let plain = Error::failed(error.to_string());
    match failed {
        GitError::NoProgram { .. } => plain.hint("install git; sources at http addresses need none"),
        GitError::Failed { said, .. } if said.contains("Host key verification failed") => plain
            .hint("make the host known first: `ssh-keyscan HOST >> ~/.ssh/known_hosts`, and compare its fingerprint"),
        GitError::Failed { said, .. } if said.contains("Permission denied") && git.is_ssh() => {
            plain.hint("ssh runs as you: it needs your key, or an agent (`--ssh default`)")
        }
        GitError::Failed { said, .. }
            if said.contains("Authentication failed") || said.contains("could not read Username") =>
        {
            plain.hint("give a token as a secret: `--secret id=GIT_AUTH_TOKEN,env=NAME`")
        }
        GitError::Failed { said, .. } if said.contains("unable to update url base from redirection") => {
            plain.hint("a login is not sent on to where a server redirects: use the new address")
        }
        _ => plain,
    }
}
