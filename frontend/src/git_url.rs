//! Addresses of git repositories in ADD: `url#ref:subdir` and `url?ref=…`.

/// A git repository and what of it is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GitUrl {
    pub(crate) remote: String,
    pub(crate) reference: Option<String>,
    pub(crate) subdir: Option<String>,
    pub(crate) checksum: Option<String>,
    pub(crate) keep_git_dir: Option<bool>,
}

impl GitUrl {
    /// Reads a source of ADD; `None` where it is no git address.
    /// http(s) addresses are git's when their path ends in `.git`.
    pub(crate) fn parse(text: &str) -> Option<Result<GitUrl, String>> {
        let (rest, fragment) = match text.split_once('#') {
            Some((rest, fragment)) => (rest, fragment),
            None => (text, ""),
        };
        let (remote, query) = match rest.split_once('?') {
            Some((remote, query)) => (remote, query),
            None => (rest, ""),
        };
        let is_git = match remote.split_once("://") {
            Some(("http" | "https", path)) => path.ends_with(".git"),
            Some(("git" | "ssh", _)) => true,
            Some(_) => false,
            None => is_scp_like(remote),
        };
        if !is_git {
            return None;
        }
        let mut url = GitUrl { remote: remote.to_owned(), ..GitUrl::default() };
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        url.reference = (!reference.is_empty()).then(|| reference.to_owned());
        url.subdir = (!subdir.is_empty()).then(|| subdir.to_owned());
        Some(url.read_query(query))
    }

    fn read_query(mut self, query: &str) -> Result<GitUrl, String> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if value.is_empty() && !matches!(name, "keep-git-dir" | "submodules") {
                return Err(format!("query `{name}` has no value"));
            }
            match name {
                "ref" => set(&mut self.reference, "ref", value.to_owned())?,
                "tag" => set(&mut self.reference, "ref", full_name("refs/tags/", value))?,
                "branch" => set(&mut self.reference, "ref", full_name("refs/heads/", value))?,
                "subdir" => set(&mut self.subdir, "subdir", value.to_owned())?,
                "checksum" | "commit" => self.checksum = Some(value.to_owned()),
                "keep-git-dir" => self.keep_git_dir = Some(flag(name, value)?),
                "submodules" if !flag(name, value)? => {
                    return Err("`submodules=false` is not supported; submodules are always fetched".to_owned());
                }
                "submodules" => {}
                _ => return Err(format!("unexpected query `{name}`")),
            }
        }
        if self.reference.is_none() {
            self.reference.clone_from(&self.checksum);
        }
        Ok(self)
    }
}

/// `user@host:path`.
fn is_scp_like(remote: &str) -> bool {
    let Some((host, path)) = remote.split_once(':') else { return false };
    let Some((user, host)) = host.split_once('@') else { return false };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    word(user) && word(host) && !path.is_empty()
}

fn full_name(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    if value.is_empty() {
        return Ok(true);
    }
    crate::go_text::parse_bool(value).ok_or_else(|| format!("invalid {name} value `{value}`"))
}

fn set(slot: &mut Option<String>, what: &str, value: String) -> Result<(), String> {
    match slot {
        Some(old) if *old != value => Err(format!("{what} conflicts: `{old}` and `{value}`")),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_addresses() {
        let parse = |text: &str| GitUrl::parse(text).unwrap().unwrap();
        let url = parse("https://h/o/r.git#v1:docs");
        assert_eq!((url.remote.as_str(), url.reference.as_deref()), ("https://h/o/r.git", Some("v1")));
        assert_eq!(url.subdir.as_deref(), Some("docs"));
        assert_eq!(parse("git@h:o/r").remote, "git@h:o/r");
        assert_eq!(parse("git://h/r").reference, None);
        let url = parse("https://h/r.git?tag=v1&keep-git-dir&checksum=ab");
        assert_eq!(url.reference.as_deref(), Some("refs/tags/v1"));
        assert_eq!((url.keep_git_dir, url.checksum.as_deref()), (Some(true), Some("ab")));
        assert!(GitUrl::parse("https://h/r.git?x=1").unwrap().is_err());
        assert!(GitUrl::parse("https://h/r.git?ref=a#b").unwrap().is_err());
        for other in ["https://h/r.tgz", "file", "./a:b", "a@b", "dir/x@y:z"] {
            assert_eq!(GitUrl::parse(other), None, "{other}");
        }
    }
}
