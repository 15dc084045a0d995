//! `registries.conf`, version 2: names that lead elsewhere, mirrors, short names.
//! Format: containers-registries.conf(5).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci::{Reference, RepositoryName};
use serde::Deserialize;
use toml::Spanned;

use super::file::{ConfigError, Source};
use super::search::{Location, Places};

/// Sections of all files together; mirrors of one section; registries that short names are looked for in.
const MOST_SECTIONS: usize = 4096;
const MOST_MIRRORS: usize = 64;
const MOST_SEARCHED: usize = 64;

/// All such files together: a later one wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistriesConf {
    /// By prefix.
    pub sections: BTreeMap<String, Section>,
    /// Registries that short names are looked for in, in order.
    pub search: Vec<String>,
    /// What short names stand for.
    pub aliases: BTreeMap<String, String>,
    /// What is done where a short name means several things.
    pub short_names: ShortNames,
    /// The last file that said something of short names.
    pub short_names_file: PathBuf,
    /// Whether there was any file.
    pub found: bool,
}

/// What is said of the names that begin with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What stands in the place of the prefix; empty: the name stays.
    pub location: String,
    /// Certificates are not verified, and plain http will do.
    pub insecure: bool,
    /// Nothing is fetched or pushed.
    pub blocked: bool,
    /// In their order.
    pub mirrors: Vec<Mirror>,
    /// Where it stands.
    pub file: PathBuf,
}

/// Something that has copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// What stands in the place of the prefix.
    pub location: String,
    /// Certificates are not verified, and plain http will do.
    pub insecure: bool,
    /// What it is asked for.
    pub pull: PullFrom,
}

/// What a mirror is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullFrom {
    /// Everything.
    #[default]
    All,
    /// What is named by a digest.
    DigestOnly,
    /// What is named by a tag.
    TagOnly,
}

/// What is done where a short name means several things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShortNames {
    /// All are tried in order.
    #[default]
    Permissive,
    /// It is an error.
    Enforcing,
    /// All are tried in order, and aliases do not count.
    Disabled,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "unqualified-search-registries")]
    search: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    registry: Vec<Entry>,
    #[serde(default)]
    aliases: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(rename = "short-name-mode")]
    short_names: Option<ShortNames>,
    /// Of version 1.
    registries: Option<Spanned<toml::Value>>,
}

#[derive(Deserialize)]
struct Entry {
    prefix: Option<Spanned<String>>,
    location: Option<Spanned<String>>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default, rename = "mirror-by-digest-only")]
    by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<MirrorEntry>,
}

#[derive(Deserialize)]
struct MirrorEntry {
    location: Spanned<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(rename = "pull-from-mirror")]
    pull: Option<Spanned<PullFrom>>,
}

impl RegistriesConf {
    /// Adds what a file says. `path` stands in errors.
    ///
    /// # Errors
    /// Names the line.
    pub fn add(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let source = Source { path, text };
        let file: File = source.parse()?;
        if let Some(old) = &file.registries {
            return Err(
                source.wrong(old.span().start, "version 1 of this file is not read: version 2 has [[registry]]")
            );
        }
        self.found = true;
        if let Some(search) = file.search {
            if search.len() > MOST_SEARCHED {
                return Err(source.wrong(search[MOST_SEARCHED].span().start, "too many registries to search"));
            }
            self.search = search.into_iter().map(|name| host_name(source, name)).collect::<Result<_, _>>()?;
            path.clone_into(&mut self.short_names_file);
        }
        for (name, target) in file.aliases {
            // An alias for nothing takes an earlier one away.
            if target.get_ref().is_empty() {
                self.aliases.remove(name.get_ref());
                continue;
            }
            let target = prefix(source, target)?;
            self.aliases.insert(name.into_inner(), target);
        }
        if let Some(mode) = file.short_names {
            self.short_names = mode;
            path.clone_into(&mut self.short_names_file);
        }
        for entry in file.registry {
            let (prefix, section) = section(source, entry)?;
            self.sections.insert(prefix, section);
        }
        if self.sections.len() > MOST_SECTIONS {
            return Err(source.wrong(0, format!("more than {MOST_SECTIONS} sections")));
        }
        Ok(())
    }

    /// The section that speaks of a reference: the one with the longest prefix.
    pub fn section(&self, reference: &Reference) -> Option<(&str, &Section)> {
        let full = full(reference);
        let matching = self.sections.iter().filter(|(prefix, _)| matched(prefix, &full).is_some());
        matching.max_by_key(|(prefix, _)| prefix.len()).map(|(prefix, section)| (prefix.as_str(), section))
    }

    /// The places of a reference: of its mirrors, and its own. `None` where nothing is said of it.
    pub(crate) fn locate(&self, reference: &Reference) -> Option<Result<Places, String>> {
        let (prefix, section) = self.section(reference)?;
        let place = |location: &str, insecure, mirror| rewritten(reference, prefix, location, insecure, mirror);
        let mirrors = section.mirrors.iter().map(|it| Ok((it.pull, place(&it.location, it.insecure, true)?)));
        let mirrors: Result<Vec<_>, String> = mirrors.collect();
        Some(mirrors.and_then(|mirrors| Ok((mirrors, place(&section.location, section.insecure, false)?))))
    }

    /// What a short name, without tag and digest, may mean; empty where nothing is said of it.
    pub(crate) fn meanings(&self, name: &str) -> Vec<String> {
        if self.short_names != ShortNames::Disabled
            && let Some(alias) = self.aliases.get(name)
        {
            return vec![alias.clone()];
        }
        self.search.iter().map(|registry| format!("{registry}/{name}")).collect()
    }
}

fn section(source: Source<'_>, entry: Entry) -> Result<(String, Section), ConfigError> {
    let at = |text: &Option<Spanned<String>>| text.as_ref().map_or(0, |text| text.span().start);
    let place = at(&entry.prefix).max(at(&entry.location));
    let location = entry.location.map(|location| prefix(source, location)).transpose()?;
    let prefix = match (entry.prefix.filter(|text| !text.get_ref().is_empty()), &location) {
        (Some(text), _) => prefix_or_wildcard(source, text)?,
        (None, Some(location)) => location.clone(),
        (None, None) => return Err(source.wrong(place, "a [[registry]] needs a prefix or a location")),
    };
    let location = match location {
        Some(location) => location,
        // Hosts below stay what they are.
        None if prefix.starts_with("*.") => String::new(),
        None => prefix.clone(),
    };
    if let Some(extra) = entry.mirror.get(MOST_MIRRORS) {
        return Err(source.wrong(extra.location.span().start, format!("more than {MOST_MIRRORS} mirrors")));
    }
    let mut mirrors = Vec::with_capacity(entry.mirror.len());
    for mirror in entry.mirror {
        let pull = match mirror.pull {
            Some(pull) if entry.by_digest_only && *pull.get_ref() != PullFrom::DigestOnly => {
                let problem = "pull-from-mirror contradicts mirror-by-digest-only";
                return Err(source.wrong(pull.span().start, problem));
            }
            Some(pull) => pull.into_inner(),
            None if entry.by_digest_only => PullFrom::DigestOnly,
            None => PullFrom::All,
        };
        mirrors.push(Mirror { location: self::prefix(source, mirror.location)?, insecure: mirror.insecure, pull });
    }
    let file = source.path.to_owned();
    Ok((prefix, Section { location, insecure: entry.insecure, blocked: entry.blocked, mirrors, file }))
}

/// The name of a registry: host and port, perhaps with a path.
fn host_name(source: Source<'_>, name: Spanned<String>) -> Result<String, ConfigError> {
    prefix(source, name)
}

fn prefix_or_wildcard(source: Source<'_>, text: Spanned<String>) -> Result<String, ConfigError> {
    let at = text.span().start;
    match text.get_ref().strip_prefix("*.") {
        Some(rest) if rest.contains('/') => {
            Err(source.wrong(at, "a prefix that begins with `*.` is a host without a path"))
        }
        Some(rest) => check(rest).map_err(|problem| source.wrong(at, problem)).map(|()| text.into_inner()),
        None => prefix(source, text),
    }
}

/// `host[:port][/path…]`, perhaps with a tag or digest.
fn prefix(source: Source<'_>, text: Spanned<String>) -> Result<String, ConfigError> {
    let at = text.span().start;
    let plain = text.into_inner();
    let plain = plain.strip_suffix('/').unwrap_or(&plain);
    check(plain).map_err(|problem| source.wrong(at, problem))?;
    Ok(plain.to_owned())
}

fn check(text: &str) -> Result<(), String> {
    let shown = crate::error::printable(text);
    if text.contains("://") {
        return Err(format!("`{shown}`: a location has no scheme: `host[:port][/path]`"));
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:/@[]".contains(&byte);
    let host = text.split('/').next().unwrap_or("");
    if host.is_empty() || host.contains('@') || !text.bytes().all(good) || text.split('/').any(|part| part.is_empty()) {
        return Err(format!("`{shown}` is not `host[:port][/path]`"));
    }
    Ok(())
}

/// A reference as prefixes are compared with it.
fn full(reference: &Reference) -> String {
    let mut text = reference.name();
    match (reference.tag(), reference.digest()) {
        (_, Some(digest)) => text.push_str(&format!("@{digest}")),
        (Some(tag), None) => text.push_str(&format!(":{tag}")),
        (None, None) => {}
    }
    text
}

/// How much of a name a prefix takes; `None` where it does not fit.
fn matched(prefix: &str, full: &str) -> Option<usize> {
    let host = full.split('/').next().unwrap_or(full);
    if let Some(suffix) = prefix.strip_prefix('*') {
        let bare = if suffix.contains(':') { host } else { host.rsplit_once(':').map_or(host, |(bare, _)| bare) };
        return (bare.len() > suffix.len() && bare.ends_with(suffix)).then_some(host.len());
    }
    let rest = full.strip_prefix(prefix)?;
    // `example.com` takes `example.com/x`, and neither `example.com.evil/x` nor `example.com:5000/x`.
    let ends = match rest.bytes().next() {
        None | Some(b'/') => true,
        Some(b':' | b'@') => prefix.contains('/'),
        _ => false,
    };
    ends.then_some(prefix.len())
}

fn rewritten(
    reference: &Reference,
    prefix: &str,
    location: &str,
    insecure: bool,
    mirror: bool,
) -> Result<Location, String> {
    let name = reference.name();
    let taken = matched(prefix, &full(reference)).unwrap_or(0).min(name.len());
    // A tag at the end of a location is not part of a repository's name; locations seldom have one.
    let text = if location.is_empty() { name } else { format!("{location}{}", &name[taken..]) };
    let (registry, path) = text.split_once('/').ok_or_else(|| format!("{text} names no repository"))?;
    // The default registry keeps its own names below `library/`.
    let path = if registry == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
    let repository: RepositoryName = path.parse().map_err(|error| format!("{text}: {error}"))?;
    Ok(Location { registry: registry.to_owned(), repository, insecure, mirror })
}

#[cfg(test)]
mod tests;
