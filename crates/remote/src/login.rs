//! Credentials that are kept: written after the registry took them, taken away again.
//!
//! They are written where lookups find them first ([`crate::Places`]): into the first file that already has an entry for the
//! key, or to the first credential helper that a file names for it. Where there is neither: into `--authfile` or
//! `$REGISTRY_AUTH_FILE`; else `$XDG_RUNTIME_DIR/containers/auth.json`, which does not outlive the session; else
//! `~/.config/containers/auth.json`; else docker's `config.json`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::credential_program;
use crate::credentials::{AuthFile, AuthFileError, AuthFiles, Credential, Places, normal, read, server};
use crate::error::Result;
use crate::quirk::Quirk;
use crate::setup::Setup;

/// Where a credential is kept, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In a file.
    File(PathBuf),
    /// By `docker-credential-NAME`.
    Helper(String),
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kept::File(path) => path.display().fmt(f),
            Kept::Helper(name) => write!(f, "docker-credential-{name}"),
        }
    }
}

/// Asks the registry whether it takes name and password, and keeps them under `key`: a registry, or a part of one
/// (`registry/namespace`).
///
/// # Errors
/// When the registry refuses them ([`crate::Error::Unauthorized`]) or cannot be asked, and when they cannot be kept.
pub async fn login(
    setup: &Setup,
    variable: impl Fn(&str) -> Option<OsString>,
    key: &str,
    user: &str,
    password: &str,
) -> Result<Kept> {
    let key = Key::parse(key)?;
    let places = setup.places(&variable);
    let files = existing(&places)?;
    let kept = key.place(&files, &places)?;
    let asking = Setup {
        credentials: Some((user.to_owned(), password.to_owned())),
        credentials_for: Some(key.registry.clone()),
        anonymous: false,
        ..setup.clone()
    };
    asking.client(&variable)?.for_login(&key.registry)?.ping().await?;
    match &kept.helper {
        Some(helper) => {
            credential_program::store(helper, server(&key.registry), user, password).await?;
            // As docker does: the empty entry tells who is logged in.
            crate::auth_file::put(&kept.file, key.written_in(&kept.file).as_str(), None)?;
            Ok(Kept::Helper(helper.clone()))
        }
        None => {
            let name = key.written_in(&kept.file);
            crate::auth_file::put(&kept.file, &name, Some((user, password)))?;
            Ok(Kept::File(kept.file))
        }
    }
}

/// Forgets the credential of `key`, or with `None` all. Gives what was forgotten; nothing if there was none.
///
/// # Errors
/// When a file or helper fails.
pub async fn logout(
    setup: &Setup,
    variable: impl Fn(&str) -> Option<OsString>,
    key: Option<&str>,
) -> Result<Vec<(String, Kept)>> {
    let wanted = key.map(Key::parse).transpose()?;
    let mut forgotten = Vec::new();
    for file in existing(&setup.places(variable))? {
        let keys = match &wanted {
            Some(key) => vec![key.clone()],
            // What cannot be read as a key was not written by a login.
            None => {
                file.auths.keys().chain(file.cred_helpers.keys()).filter_map(|name| Key::parse(name).ok()).collect()
            }
        };
        for key in keys {
            let mut found = Vec::new();
            for helper in key.helpers(&file) {
                if credential_program::get(helper, server(&key.registry)).await?.is_some() {
                    credential_program::erase(helper, server(&key.registry)).await?;
                    found.push(Kept::Helper(helper.to_owned()));
                }
            }
            let mut in_file = false;
            for name in key.names() {
                let had =
                    file.auths.iter().any(|(other, entry)| normal(other) == normal(&name) && entry.holds_something());
                in_file |= crate::auth_file::take(&file.path, &name)? && had;
            }
            if in_file {
                found.push(Kept::File(file.path.clone()));
            }
            forgotten.extend(found.into_iter().map(|kept| (key.text(), kept)));
        }
    }
    Ok(forgotten)
}

/// The name under which one is logged in at `key`; `None` where one is not. `<token>` stands for an identity token.
///
/// # Errors
/// When a file or helper fails.
pub async fn get_login(
    setup: &Setup,
    variable: impl Fn(&str) -> Option<OsString>,
    key: &str,
) -> Result<Option<String>> {
    let key = Key::parse(key)?;
    let places = setup.places(variable);
    // A file that is named and not there holds nothing.
    if places.registry_auth_file.as_ref().is_some_and(|path| !path.exists()) {
        return Ok(None);
    }
    let found = AuthFiles::read(&places)?.credential(&key.registry, &key.namespace).await?;
    Ok(found.map(|credential| match credential {
        Credential::Password { user, .. } => user,
        Credential::IdentityToken(_) => "<token>".to_owned(),
    }))
}

/// The files that are there, in the order of lookups.
fn existing(places: &Places) -> Result<Vec<AuthFile>, AuthFileError> {
    let mut files = Vec::new();
    for (path, _) in places.files() {
        match read(&path) {
            Ok(bytes) => files.push(AuthFiles::parse(&path, &bytes)?),
            Err(AuthFileError::Read { source, .. }) if crate::hosts::is_absent(&source) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Under what a credential is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    registry: String,
    /// Empty: the whole registry.
    namespace: String,
}

struct Place {
    file: PathBuf,
    helper: Option<String>,
}

impl Key {
    fn parse(text: &str) -> Result<Self, AuthFileError> {
        let wrong = || AuthFileError::Key(crate::error::printable(text));
        let plain = normal(text.trim());
        let (registry, namespace) = plain.split_once('/').unwrap_or((plain, ""));
        // The other names of docker's registry.
        let registry = if Quirk::of("docker.io").credential_keys.contains(&registry) { "docker.io" } else { registry };
        let host = url::Url::parse(&format!("https://{registry}/")).map_err(|_| wrong())?;
        let is_host = !registry.is_empty()
            && host.path() == "/"
            && host.username().is_empty()
            && !registry.contains(['?', '#', '@']);
        if !is_host || (!namespace.is_empty() && namespace.parse::<oci::RepositoryName>().is_err()) {
            return Err(wrong());
        }
        Ok(Self { registry: registry.to_owned(), namespace: namespace.to_owned() })
    }

    fn text(&self) -> String {
        if self.namespace.is_empty() { self.registry.clone() } else { format!("{}/{}", self.registry, self.namespace) }
    }

    /// As it stands in a file: docker has names of its own for its registry.
    fn written_in(&self, file: &Path) -> String {
        let dockers = file.file_name().is_some_and(|name| name == "config.json");
        if dockers && self.namespace.is_empty() { server(&self.registry).to_owned() } else { self.text() }
    }

    /// All names under which a file may have it.
    fn names(&self) -> Vec<String> {
        let mut names = vec![self.text()];
        if self.namespace.is_empty() {
            names.extend(Quirk::of(&self.registry).credential_keys.iter().map(ToString::to_string));
        }
        names
    }

    fn is_in(&self, file: &AuthFile) -> bool {
        self.names().iter().any(|name| file.auths.keys().any(|other| normal(other) == normal(name)))
    }

    /// The helpers of a file that keep it, the registry's own first. They know registries, and no parts of them.
    fn helpers<'a>(&self, file: &'a AuthFile) -> Vec<&'a str> {
        if !self.namespace.is_empty() {
            return Vec::new();
        }
        let names = self.names();
        let own = file.cred_helpers.iter().filter(|(name, _)| names.iter().any(|other| normal(other) == normal(name)));
        own.map(|(_, helper)| helper.as_str()).chain(file.store()).collect()
    }

    /// Where it is to be written: see the head of this file.
    fn place(&self, files: &[AuthFile], places: &Places) -> Result<Place, AuthFileError> {
        for file in files {
            let helper = self.helpers(file).first().map(ToString::to_string);
            if helper.is_some() || self.is_in(file) {
                return Ok(Place { file: file.path.clone(), helper });
            }
        }
        let first = places.files().into_iter().next().ok_or(AuthFileError::Nowhere)?;
        Ok(Place { file: first.0, helper: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (text, registry, namespace) in [
            ("r.example", "r.example", ""),
            ("https://r.example/", "r.example", ""),
            ("localhost:5000/team/app", "localhost:5000", "team/app"),
            ("https://index.docker.io/v1/", "docker.io", ""),
            ("[::1]:5000", "[::1]:5000", ""),
        ] {
            let expected = Key { registry: registry.to_owned(), namespace: namespace.to_owned() };
            assert_eq!(Key::parse(text).unwrap(), expected, "{text}");
        }
        for bad in ["", " ", "/x", "a b", "r.example/Team", "me@r.example", "r.example/../x", "r.example?x", "r:port"] {
            assert!(Key::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn written_where_lookups_find_it_first() {
        let file = |path: &str, text: &str| AuthFiles::parse(Path::new(path), text.as_bytes()).unwrap();
        let places = Places {
            runtime_directory: Some("/run".into()),
            config_directory: Some("/cfg".into()),
            docker_directory: Some("/docker".into()),
            ..Places::default()
        };
        let docker = |text: &str| file("/docker/config.json", text);
        for (files, key, path, helper) in [
            (vec![], "r.example", "/run/containers/auth.json", None),
            (vec![docker("{}")], "r.example", "/run/containers/auth.json", None),
            (vec![docker(r#"{"credsStore":"box"}"#)], "r.example", "/docker/config.json", Some("box")),
            (vec![docker(r#"{"credsStore":"box"}"#)], "r.example/team", "/run/containers/auth.json", None),
            (
                vec![docker(r#"{"credsStore":"box","credHelpers":{"r.example":"ecr"}}"#)],
                "r.example",
                "/docker/config.json",
                Some("ecr"),
            ),
            (
                vec![
                    file("/run/containers/auth.json", r#"{"auths":{"r.example":{"auth":"YTox"}}}"#),
                    docker(r#"{"credsStore":"box"}"#),
                ],
                "r.example",
                "/run/containers/auth.json",
                None,
            ),
            (
                vec![docker(r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTox"}}}"#)],
                "docker.io",
                "/docker/config.json",
                None,
            ),
        ] {
            let place = Key::parse(key).unwrap().place(&files, &places).unwrap();
            assert_eq!((place.file, place.helper.as_deref()), (PathBuf::from(path), helper), "{key} {files:?}");
        }
        assert!(matches!(Key::parse("r.example").unwrap().place(&[], &Places::default()), Err(AuthFileError::Nowhere)));
        let hub = Key::parse("docker.io").unwrap();
        assert_eq!(hub.written_in(Path::new("/docker/config.json")), "https://index.docker.io/v1/");
        assert_eq!(hub.written_in(Path::new("/run/containers/auth.json")), "docker.io");
    }
}
