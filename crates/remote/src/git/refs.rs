//! What a reference of a repository names, asked of the repository.

use std::path::Path;

use super::program::{Git, GitError};

/// What a reference was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The commit's whole id.
    pub commit: String,
    /// The id of the tag that names it, where there is one.
    pub tag: Option<String>,
}

/// Asks the repository what `reference` is; its default branch where there is none. A whole commit id is itself, and
/// nobody is asked. `checksum` is what the commit, or the tag that names it, must begin with. `folder` is any that exists.
///
/// As `git checkout` does, a branch goes before a tag of the same name.
///
/// # Errors
/// [`GitError`].
pub fn resolve(git: &Git, folder: &Path, reference: Option<&str>, checksum: Option<&str>) -> Result<Found, GitError> {
    let found = match reference {
        Some(commit) if is_commit(commit) => Found { commit: commit.to_owned(), tag: None },
        _ => ask(git, folder, reference)?,
    };
    let wanted = checksum.unwrap_or_default();
    if found.commit.starts_with(wanted) || found.tag.as_ref().is_some_and(|tag| tag.starts_with(wanted)) {
        return Ok(found);
    }
    Err(GitError::Checksum {
        remote: git.remote().to_owned(),
        reference: reference.unwrap_or("HEAD").to_owned(),
        found: found.commit,
        wanted: wanted.to_owned(),
    })
}

fn ask(git: &Git, folder: &Path, reference: Option<&str>) -> Result<Found, GitError> {
    let wanted = reference.unwrap_or("HEAD");
    let peeled = format!("{wanted}^{{}}");
    let listing = git.run(folder, ["ls-remote", "--quiet", "--", git.remote(), wanted, &peeled])?;
    choose(&listing, wanted)
        .ok_or_else(|| GitError::NoReference { remote: git.remote().to_owned(), reference: wanted.to_owned() })
}

/// Picks out of `ls-remote`'s lines, which also have names that only end in the one asked for.
fn choose(listing: &str, wanted: &str) -> Option<Found> {
    let lines = || listing.lines().filter_map(|line| line.split_once('\t')).filter(|(id, _)| is_commit(id));
    let of = |name: &str| lines().find(|(_, found)| *found == name).map(|(id, _)| id.to_owned());
    let tag = |name: &str| {
        let id = of(name)?;
        Some(match of(&format!("{name}^{{}}")) {
            Some(commit) => Found { commit, tag: Some(id) },
            None => Found { commit: id, tag: None },
        })
    };
    let partial = if wanted == "HEAD" { wanted.to_owned() } else { under("refs/", wanted) };
    tag(&partial)
        .or_else(|| of(&under("refs/heads/", wanted)).map(|commit| Found { commit, tag: None }))
        .or_else(|| tag(&under("refs/tags/", wanted)))
}

fn under(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

/// Whether a text is a whole commit id.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_chosen_as_git_does() {
        let id = |n: u8| format!("{n:040x}");
        let listing = format!(
            "{}\trefs/heads/v1\n{}\trefs/heads/x/v1\n{}\trefs/tags/v1\n{}\trefs/tags/v1^{{}}\n{}\trefs/tags/v2\n{}\trefs/pull/7/head\n{}\tHEAD\n",
            id(1),
            id(2),
            id(3),
            id(4),
            id(5),
            id(6),
            id(7)
        );
        let commit = |wanted: &str| choose(&listing, wanted).map(|found| (found.commit, found.tag));
        assert_eq!(commit("v1"), Some((id(1), None)));
        assert_eq!(commit("x/v1"), Some((id(2), None)));
        assert_eq!(commit("tags/v1"), Some((id(4), Some(id(3)))));
        assert_eq!(commit("refs/tags/v1"), Some((id(4), Some(id(3)))));
        assert_eq!(commit("v2"), Some((id(5), None)));
        assert_eq!(commit("refs/pull/7/head"), Some((id(6), None)));
        assert_eq!(commit("pull/7/head"), Some((id(6), None)));
        assert_eq!(commit("HEAD"), Some((id(7), None)));
        assert_eq!(commit("v3"), None);
        assert_eq!(choose("warning: something\thead\n", "head"), None);
    }
}
