//! `ADD [flags] source … dest`, `ADD [flags] ["source", "dest"]`, with
//! `--chown --chmod --link --exclude --keep-git-dir --checksum --unpack`.
//! A local tar unpacks, a URL does not unless `--unpack`.

use graph::{Git, Http, Source, Unpack};
use oci::Digest;

use super::transfer::{self, Origin, Transfer, pattern};
use super::{Instruction, Request, Spec};
use crate::flag::{FlagKind, FlagSpec};
use crate::git_url::{GitUrl, check_commit, shown_url};
use crate::lower::StageBuild;
use crate::plan::Wanted;
use crate::source::Span;
use crate::word::Word;

pub(super) const SPEC: Spec = Spec {
    name: "ADD",
    flags: &[
        FlagSpec::new("chown", FlagKind::Text),
        FlagSpec::new("chmod", FlagKind::Text),
        FlagSpec::new("link", FlagKind::Boolean),
        FlagSpec::new("exclude", FlagKind::Repeated),
        FlagSpec::new("keep-git-dir", FlagKind::Boolean),
        FlagSpec::new("checksum", FlagKind::Text),
        FlagSpec::new("unpack", FlagKind::Boolean),
    ],
    heredocs: true,
    trigger: true,
    parse,
};

/// Copies files from the context, unpacks archives, fetches URLs.
#[derive(Clone, Debug)]
pub struct Add {
    /// What is copied where.
    pub transfer: Transfer,
    /// What the one http or git source must be.
    pub checksum: Option<Word>,
    /// Whether `.git` stays.
    pub keep_git_dir: Option<bool>,
    /// Whether archives unpack; local ones alone where absent.
    pub unpack: Option<bool>,
}

fn parse(request: &mut Request<'_>) -> Option<Instruction> {
    let transfer = transfer::parse(request)?;
    Some(Instruction::Add(Add {
        transfer,
        checksum: request.flags.text("checksum").filter(|checksum| !checksum.text.is_empty()),
        keep_git_dir: request.flags.boolean("keep-git-dir"),
        unpack: request.flags.boolean("unpack"),
    }))
}

impl Add {
    pub(super) fn lower(&self, stage: &mut StageBuild<'_>) {
        let Some(checksum) = stage.expand_optional(&self.checksum) else { return };
        if let (Some(word), true) = (&self.checksum, self.transfer.sources.len() != 1) {
            stage.fail(word.span, "`--checksum` takes exactly one source");
            return;
        }
        let checksum = checksum.as_deref();
        let mut read = |stage: &mut StageBuild<'_>, word: &Word, source: &str| self.read(stage, word, source, checksum);
        let unpack = unpack(self.unpack.unwrap_or(true));
        let tree = stage.context();
        let plan = transfer::Plan { keyword: "ADD", tree, parents: false, unpack, read: &mut read };
        self.transfer.lower(stage, plan);
    }

    /// Whether a source may be something to fetch, once it is expanded.
    pub(crate) fn may_be_remote(&self) -> bool {
        self.transfer.sources.iter().any(|source| source.text.contains("://") || source.text.contains(['@', '$']))
    }

    fn read(&self, stage: &mut StageBuild<'_>, word: &Word, source: &str, checksum: Option<&str>) -> Option<Origin> {
        let result = if let Some(url) = GitUrl::parse(source) {
            url.and_then(|url| self.git(stage, word.span, url, checksum))
        } else if source.starts_with("http://") || source.starts_with("https://") {
            self.http(stage, word.span, source, checksum)
        } else if checksum.is_some() {
            Err("`--checksum` needs an http, https or git source".to_owned())
        } else {
            Ok(Origin::Pattern(pattern(source, false)))
        };
        result.map_err(|message| stage.fail(word.span, message)).ok()
    }

    fn git(
        &self,
        stage: &mut StageBuild<'_>,
        span: Span,
        url: GitUrl,
        checksum: Option<&str>,
    ) -> Result<Origin, String> {
        let keep_git_dir = match (self.keep_git_dir, url.keep_git_dir) {
            (Some(flag), Some(query)) if flag != query => {
                return Err("`--keep-git-dir` and the address contradict each other".to_owned());
            }
            (flag, query) => flag.or(query).unwrap_or(false),
        };
        let checksum = match (checksum, url.checksum.as_deref()) {
            (Some(flag), Some(query)) if flag != query => {
                return Err(format!("`--checksum` says {flag}, the address {query}"));
            }
            (flag, query) => flag.or(query),
        };
        checksum.map_or(Ok(()), check_commit)?;
        let commit = stage.shared.remotes.commit(&url, checksum).cloned();
        if commit.is_none() {
            stage.making.wanted.push(Wanted::Git {
                url: url.remote.clone(),
                reference: url.reference.clone(),
                checksum: checksum.map(str::to_owned),
                span,
            });
        }
        let git = Git {
            url: url.shown(),
            reference: url.reference,
            commit: commit.unwrap_or_default(),
            subdir: url.subdir,
            keep_git_dir,
            submodules: url.submodules,
        };
        Ok(Origin::Tree(Box::new(Source::Git(git)), ".".to_owned(), Unpack::Never))
    }

    fn http(
        &self,
        stage: &mut StageBuild<'_>,
        span: Span,
        url: &str,
        checksum: Option<&str>,
    ) -> Result<Origin, String> {
        let checksum: Option<Digest> =
            checksum.map(str::parse).transpose().map_err(|error: oci::DigestError| error.to_string())?;
        let filename = file_name(url);
        let digest = stage.shared.remotes.file(url, checksum).copied();
        if digest.is_none() {
            stage.making.wanted.push(Wanted::Http { url: url.to_owned(), checksum, filename: filename.clone(), span });
        }
        // A trial lowering needs some digest.
        let digest = digest.unwrap_or_else(|| Digest::sha256(b""));
        let source = Source::Http(Http { url: shown_url(url), digest, filename: filename.clone() });
        Ok(Origin::Tree(Box::new(source), filename, unpack(self.unpack.unwrap_or(false))))
    }
}

fn unpack(wanted: bool) -> Unpack {
    if wanted { Unpack::Archives } else { Unpack::Never }
}

/// The last part of an address's path: the file's name in an image.
pub fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = path.split_once('/').map_or("", |(_, path)| path).trim_end_matches('/');
    match name.rsplit('/').next() {
        Some(name) if !name.is_empty() && name != "." && name != ".." => name.to_owned(),
        _ => "__unnamed__".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        for (url, name) in [
            ("https://h/a/b.tgz?x=/y", "b.tgz"),
            ("https://h/a/", "a"),
            ("https://h", "__unnamed__"),
            ("https://h/", "__unnamed__"),
            ("https://h/..", "__unnamed__"),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }
}
