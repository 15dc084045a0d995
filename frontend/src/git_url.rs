//! Addresses of git repositories: `url#ref:subdir` and `url?ref=…&subdir=…`.
//!
//! The forms are BuildKit's: `git://`, `ssh://`, `user@host:path`, http(s) whose path ends in `.git`, and, for build contexts
//! alone, `github.com/owner/name`. What an address asks for is checked here, before any program sees it: a reference or a
//! folder can be no option, and leads nowhere but into the repository.

/// A git repository and what of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitUrl {
    /// The repository, a login included.
    pub remote: String,
    /// Branch, tag or commit; the default branch where absent.
    pub reference: Option<String>,
    /// The folder that is wanted: relative and clean.
    pub subdir: Option<String>,
    /// What the commit must be, or begin with.
    pub checksum: Option<String>,
    /// Whether `.git` stays, where the address says so.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are checked out too.
    pub submodules: bool,
}

/// The shortest commit that is compared: git's own abbreviation.
const MIN_COMMIT: usize = 7;

impl GitUrl {
    /// Reads a source of ADD; `None` where it is no git address.
    pub fn parse(text: &str) -> Option<Result<GitUrl, String>> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (remote, query) = rest.split_once('?').unwrap_or((rest, ""));
        let is_git = match remote.split_once("://") {
            Some(("http" | "https", path)) => path.ends_with(".git"),
            Some(("git" | "ssh", _)) => true,
            Some(_) => false,
            None => is_scp_like(remote),
        };
        is_git.then(|| Self::read(remote, query, fragment))
    }

    /// Reads a build context, which may also be `github.com/owner/name`; `None` where it is no git address.
    pub fn parse_context(text: &str) -> Option<Result<GitUrl, String>> {
        match text.strip_prefix("github.com/") {
            Some(rest) => {
                let end = rest.find(['?', '#']).unwrap_or(rest.len());
                let (path, wanted) = rest.split_at(end);
                let path = path.trim_end_matches('/').trim_end_matches(".git");
                Self::parse(&format!("https://github.com/{path}.git{wanted}"))
            }
            None => Self::parse(text),
        }
    }

    /// The repository without its login: what may be shown and kept.
    pub fn shown(&self) -> String {
        shown_url(&self.remote)
    }

    fn read(remote: &str, query: &str, fragment: &str) -> Result<GitUrl, String> {
        check_remote(remote)?;
        let mut url = GitUrl {
            remote: remote.to_owned(),
            reference: None,
            subdir: None,
            checksum: None,
            keep_git_dir: None,
            submodules: true,
        };
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        url.reference = (!reference.is_empty()).then(|| reference.to_owned());
        url.subdir = (!subdir.is_empty()).then(|| subdir.to_owned());
        url.read_query(query)?;
        url.check()
    }

    fn read_query(&mut self, query: &str) -> Result<(), String> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = &decoded(value).ok_or_else(|| format!("query `{name}` is not well encoded"))?;
            if value.is_empty() && !matches!(name, "keep-git-dir" | "submodules") {
                return Err(format!("query `{name}` has no value"));
            }
            match name {
                "ref" => set(&mut self.reference, "ref", value.to_owned())?,
                "tag" => set(&mut self.reference, "ref", full_name("refs/tags/", value))?,
                "branch" => set(&mut self.reference, "ref", full_name("refs/heads/", value))?,
                "subdir" => set(&mut self.subdir, "subdir", value.to_owned())?,
                "checksum" | "commit" => set(&mut self.checksum, "checksum", value.to_owned())?,
                "keep-git-dir" => self.keep_git_dir = Some(flag(name, value)?),
                "submodules" => self.submodules = flag(name, value)?,
                _ => {
                    return Err(format!(
                        "unexpected query `{name}`: it may be ref, branch, tag, subdir, checksum, commit, keep-git-dir, submodules"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Refuses what a program might take for something else.
    fn check(mut self) -> Result<GitUrl, String> {
        if let Some(commit) = &self.checksum {
            check_commit(commit)?;
        }
        if self.reference.is_none() {
            self.reference = self.checksum.clone().filter(|checksum| is_commit(checksum));
        }
        if let Some(reference) = &self.reference {
            check_reference(reference)?;
        }
        if let Some(subdir) = self.subdir.take() {
            self.subdir = clean_subdir(&subdir)?;
        }
        Ok(self)
    }
}

/// Whether a text is a whole commit id.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// An address as it may be shown and kept: without user name and password, and, where it is a file of the web, without its
/// query, which may be a signature or a token. The query of a git address says what is wanted, and stays.
pub fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = match query(url) {
        Some(query) => path.replacen(&format!("?{query}"), "", 1),
        None => path.to_owned(),
    };
    match authority.rsplit_once('@') {
        // The name alone is no secret where ssh needs it.
        Some((login, host)) if scheme == "ssh" => {
            let name = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}@{host}{path}")
        }
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => format!("{scheme}://{authority}{path}"),
    }
}

/// The query of a file of the web, which [`shown_url`] leaves out. What stands before the scheme, such as the bracket of a
/// list, does not matter.
pub fn query(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if !(scheme.ends_with("http") || scheme.ends_with("https")) || matches!(GitUrl::parse(url), Some(Ok(_))) {
        return None;
    }
    let (_, query) = rest.split('#').next()?.split_once('?')?;
    Some(query)
}

/// What a commit may be compared with.
pub(crate) fn check_commit(text: &str) -> Result<(), String> {
    let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if hex && (MIN_COMMIT..=64).contains(&text.len()) {
        return Ok(());
    }
    Err(format!("checksum `{text}` is no commit: {MIN_COMMIT} to 64 lower-case hexadecimal digits"))
}

fn check_remote(remote: &str) -> Result<(), String> {
    if remote.starts_with('-') {
        return Err(format!("`{remote}` is an option, not a repository"));
    }
    if remote.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'\\') {
        return Err("the address of the repository has a blank, a backslash or a control character in it".to_owned());
    }
    let authority = match remote.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
        None => remote.split(':').next().unwrap_or_default(),
    };
    let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        return Err("the address of the repository has no host".to_owned());
    }
    if host.starts_with('-') || login.starts_with('-') {
        return Err(format!("host `{host}` is an option, not a host"));
    }
    Ok(())
}

/// `git check-ref-format`, and no option.
fn check_reference(reference: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("`{reference}` is no branch, tag or commit: {why}"));
    if reference.starts_with('-') {
        return wrong("it begins with `-`");
    }
    if reference.bytes().any(|b| b <= b' ' || b == 0x7f || b"~^:?*[\\".contains(&b)) {
        return wrong("it has a character that references cannot have");
    }
    if reference.contains("..") || reference.contains("@{") || reference.contains("//") {
        return wrong("`..`, `//` and `@{` cannot be in it");
    }
    let part = |part: &str| part.starts_with('.') || part.ends_with(".lock");
    if reference.starts_with('/') || reference.ends_with(['/', '.']) || reference.split('/').any(part) {
        return wrong("a part of it begins or ends as no reference does");
    }
    Ok(())
}

/// A folder inside the repository; `None` for all of it.
fn clean_subdir(subdir: &str) -> Result<Option<String>, String> {
    if subdir.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Err("the folder of the repository has a control character in it".to_owned());
    }
    let parts: Vec<&str> = subdir.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(format!("folder `{subdir}` leads out of the repository"));
    }
    if parts.iter().any(|part| part.eq_ignore_ascii_case(".git")) {
        return Err(format!("folder `{subdir}` is git's own"));
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

/// `user@host:path`.
fn is_scp_like(remote: &str) -> bool {
    let Some((host, path)) = remote.split_once(':') else { return false };
    let Some((user, host)) = host.split_once('@') else { return false };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    word(user) && word(host) && !path.is_empty() && !path.starts_with("//")
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

/// A query's value without its percent signs.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> GitUrl {
        GitUrl::parse_context(text)
            .unwrap_or_else(|| panic!("{text}"))
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn git_addresses() {
        for (text, remote, reference, subdir) in [
            ("https://h/o/r.git#v1:docs", "https://h/o/r.git", Some("v1"), Some("docs")),
            ("https://h/o/r.git#:docs", "https://h/o/r.git", None, Some("docs")),
            ("https://h/o/r.git#:/", "https://h/o/r.git", None, None),
            ("https://h/o/r.git#feature/x:/a/./b/", "https://h/o/r.git", Some("feature/x"), Some("a/b")),
            ("http://u:p@h:8080/r.git", "http://u:p@h:8080/r.git", None, None),
            ("git@h:o/r", "git@h:o/r", None, None),
            ("git@h:o/r.git#main:d", "git@h:o/r.git", Some("main"), Some("d")),
            ("ssh://git@h:22/o/r", "ssh://git@h:22/o/r", None, None),
            ("git://h/r", "git://h/r", None, None),
            ("github.com/o/r", "https://github.com/o/r.git", None, None),
            ("github.com/o/r.git#x", "https://github.com/o/r.git", Some("x"), None),
            ("https://h/r.git?ref=v1&subdir=a%2Fb", "https://h/r.git", Some("v1"), Some("a/b")),
            ("https://h/r.git?branch=x", "https://h/r.git", Some("refs/heads/x"), None),
            ("https://h/r.git?tag=v1&keep-git-dir&checksum=abcdef0", "https://h/r.git", Some("refs/tags/v1"), None),
        ] {
            let url = parse(text);
            assert_eq!(
                (url.remote.as_str(), url.reference.as_deref(), url.subdir.as_deref()),
                (remote, reference, subdir)
            );
        }
        let url = parse("https://h/r.git?tag=v1&keep-git-dir&checksum=abcdef0&submodules=false");
        assert_eq!((url.keep_git_dir, url.checksum.as_deref(), url.submodules), (Some(true), Some("abcdef0"), false));
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(parse(&format!("https://h/r.git?commit={commit}")).reference.as_deref(), Some(commit));
        for other in
            ["https://h/r.tgz", "file", "./a:b", "a@b", "dir/x@y:z", "file:///x.git", "ext::sh -c x", "github.com/o/r"]
        {
            assert_eq!(GitUrl::parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_refused() {
        for text in [
            "https://h/r.git?x=1",
            "https://h/r.git?ref=a#b",
            "https://h/r.git#--upload-pack=touch /tmp/x",
            "https://h/r.git#--upload-pack=x",
            "https://h/r.git?ref=--output%3Dx",
            "https://h/r.git?ref=a%0Ab",
            "https://h/r.git#refs/heads/../../x",
            "https://h/r.git#a:../x",
            "https://h/r.git#a:x/../../y",
            "https://h/r.git#a:.git/hooks",
            "https://h/r.git?subdir=..%2F..",
            "https://h/r.git#+refs/*",
            "https://h/r.git#a..b",
            "https://h/r.git#a^{commit}",
            "https://h/r.git?checksum=xyz",
            "https://h/r.git?checksum=abc",
            "ssh://-oProxyCommand=touch%20x/r.git",
            "ssh://-oProxyCommand=x@h/r.git",
            "git@-oProxyCommand=x:r",
            "git://h/r r",
            "git:///r",
        ] {
            if let Some(Ok(url)) = GitUrl::parse_context(text) {
                panic!("{text}: {url:?}");
            }
        }
    }

    #[test]
    fn logins_and_signatures_are_not_shown() {
        for (url, shown) in [
            ("https://u:p@h/r.git?ref=main", "https://h/r.git?ref=main"),
            ("https://u:p@h/r.git?x=1", "https://h/r.git"),
            ("https://h/f.tgz?X-Amz-Signature=s&a=b?c#part", "https://h/f.tgz#part"),
            ("https://u@h?token=t", "https://h"),
            ("HTTP://h/f?token=t", "HTTP://h/f"),
            ("[https://u:p@h/f?token=t,", "[https://h/f"),
            ("https://h/f#a?b", "https://h/f#a?b"),
            ("https://h/f", "https://h/f"),
            ("dir/file?.txt", "dir/file?.txt"),
            ("https://t@h", "https://h"),
            ("https://h/a@b", "https://h/a@b"),
            ("ssh://git:secret@h/r", "ssh://git@h/r"),
            ("git@h:r", "git@h:r"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
