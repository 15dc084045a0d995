//! Whose name and password: the files that docker and the containers tools write.
//! Formats: containers-auth.json(5), docker's `config.json`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::error::Result;
use crate::quirk::Quirk;

/// What proves who we are. Its `Debug` shows no secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A refresh token, for OAuth2 realms.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Password { user, .. } => write!(f, "Password({user:?}, (hidden))"),
            Credential::IdentityToken(_) => f.write_str("IdentityToken((hidden))"),
        }
    }
}

/// Where credentials come from.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// There are none.
    #[default]
    None,
    /// Given ones, by registry (`docker.io`, `localhost:5000`).
    Given(BTreeMap<String, Credential>),
    /// One for a registry that references name, or for all of them; never for their mirrors.
    One {
        /// The registry; `None`: each that a reference names.
        registry: Option<String>,
        /// What is sent.
        credential: Credential,
    },
    /// The files of docker and the containers tools.
    Files(AuthFiles),
}

impl Credentials {
    /// The credential for a repository of a registry (`mirror`: that no reference names); `None` where there is none.
    ///
    /// # Errors
    /// When a file is unreadable or a helper fails: better said than silently anonymous.
    pub(crate) async fn lookup(&self, registry: &str, repository: &str, mirror: bool) -> Result<Option<Credential>> {
        match self {
            Credentials::None => Ok(None),
            Credentials::Given(given) => Ok(given.get(registry).cloned()),
            Credentials::One { registry: only, credential } => {
                Ok(only.as_deref().map_or(!mirror, |only| only == registry).then(|| credential.clone()))
            }
            Credentials::Files(files) => files.lookup(registry, repository).await,
        }
    }
}

/// What the search for files depends on: the environment, as the caller knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// `$REGISTRY_AUTH_FILE`: if set, the only file.
    pub registry_auth_file: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub runtime_directory: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`, or `~/.config`.
    pub config_directory: Option<PathBuf>,
    /// `$DOCKER_CONFIG`, or `~/.docker`.
    pub docker_directory: Option<PathBuf>,
    /// `$DOCKER_AUTH_CONFIG`: what such a file holds, heard before the files. Build services set it.
    pub docker_auth_config: Option<Content>,
}

/// What a file of credentials holds. Its `Debug` shows no secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(OsString);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content((hidden))")
    }
}

impl Places {
    /// Reads them from variables of the environment.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = set("HOME");
        let at_home = |folder: &str| home.as_ref().map(|home| home.join(folder));
        Self {
            registry_auth_file: set("REGISTRY_AUTH_FILE"),
            runtime_directory: set("XDG_RUNTIME_DIR"),
            config_directory: set("XDG_CONFIG_HOME").or_else(|| at_home(".config")),
            docker_directory: set("DOCKER_CONFIG").or_else(|| at_home(".docker")),
            docker_auth_config: variable("DOCKER_AUTH_CONFIG").filter(|value| !value.is_empty()).map(Content),
        }
    }

    /// The files, first come first heard; `true` where a file that is missing is an error.
    pub(crate) fn files(&self) -> Vec<(PathBuf, bool)> {
        if let Some(file) = &self.registry_auth_file {
            return vec![(file.clone(), true)];
        }
        let below = |folder: &Option<PathBuf>, name: &str| folder.as_ref().map(|folder| (folder.join(name), false));
        [
            below(&self.runtime_directory, "containers/auth.json"),
            below(&self.config_directory, "containers/auth.json"),
            below(&self.docker_directory, "config.json"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Why a file of credentials is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthFileError {
    /// It cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is larger than any such file.
    #[error("{}: larger than {MOST_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    /// It is not JSON of the right shape.
    #[error("{}: {source}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// It cannot be written.
    #[error("{}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No variable of the environment says where credentials are kept.
    #[error("there is no place for credentials: set REGISTRY_AUTH_FILE, or HOME")]
    Nowhere,
    /// A key under which nothing can be kept.
    #[error("`{0}` is neither a registry nor a part of one (registry/namespace)")]
    Key(String),
    /// An entry is not `name:password` in base64.
    #[error("{}: the entry of `{key}` is not a name and a password", .path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Which.
        key: String,
    },
}

/// No file of credentials is larger.
const MOST_BYTES: u64 = 4 << 20;

/// The files, as they were when they were read.
#[derive(Debug, Clone, Default)]
pub struct AuthFiles {
    files: Vec<AuthFile>,
}

/// One such file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AuthFile {
    #[serde(skip)]
    pub(crate) path: PathBuf,
    pub(crate) auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    pub(crate) cred_helpers: BTreeMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry((hidden))")
    }
}

impl AuthFiles {
    /// Reads the files that are there.
    ///
    /// # Errors
    /// When one is unreadable, too large or malformed; and when `$REGISTRY_AUTH_FILE` names none.
    pub fn read(places: &Places) -> Result<Self, AuthFileError> {
        let mut files = Vec::new();
        let only = places.registry_auth_file.is_some();
        if let Some(Content(text)) = places.docker_auth_config.as_ref().filter(|_| !only) {
            files.push(Self::parse(Path::new("$DOCKER_AUTH_CONFIG"), text.as_encoded_bytes())?);
        }
        for (path, required) in places.files() {
            match read(&path) {
                Ok(bytes) => files.push(Self::parse(&path, &bytes)?),
                Err(AuthFileError::Read { source, .. })
                    if !required
                        && matches!(
                            source.kind(),
                            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                        ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { files })
    }

    /// The credential for a repository of a registry; `None` where no file has one.
    ///
    /// # Errors
    /// When an entry is malformed or a helper fails.
    pub async fn credential(&self, registry: &str, repository: &str) -> Result<Option<Credential>> {
        self.lookup(registry, repository).await
    }

    /// Reads what a file holds. `path` stands in errors.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn of_content(path: &Path, bytes: &[u8]) -> Result<Self, AuthFileError> {
        Ok(Self { files: vec![Self::parse(path, bytes)?] })
    }

    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<AuthFile, AuthFileError> {
        let json = |source| AuthFileError::Json { path: path.to_owned(), source };
        // A file that was made and not written is as good as none.
        let blank = bytes.iter().all(u8::is_ascii_whitespace);
        let mut file: AuthFile = serde_json::from_slice(if blank { b"{}" } else { bytes }).map_err(json)?;
        path.clone_into(&mut file.path);
        Ok(file)
    }

    /// The credential for a repository: of each file its helper for the registry, then the most specific entry,
    /// then its store.
    async fn lookup(&self, registry: &str, repository: &str) -> Result<Option<Credential>> {
        let keys = keys(registry, repository);
        for file in &self.files {
            for key in &keys {
                if let Some(helper) = file.cred_helpers.get(key)
                    && let Some(found) = crate::credential_program::get(helper, server(registry)).await?
                {
                    return Ok(Some(found));
                }
            }
            if let Some(found) = file.entry(&keys)? {
                return Ok(Some(found));
            }
            if let Some(store) = file.store()
                && let Some(found) = crate::credential_program::get(store, server(registry)).await?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// What helpers are asked for: docker's own registry has a name of old.
pub(crate) fn server(registry: &str) -> &str {
    Quirk::of(registry).credential_keys.first().copied().unwrap_or(registry)
}

/// The names under which a repository's credential may be kept, the most specific first:
/// `registry/a/b`, `registry/a`, `registry`, then the registry's other names.
fn keys(registry: &str, repository: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = repository;
    while !rest.is_empty() {
        keys.push(format!("{registry}/{rest}"));
        rest = rest.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    keys.push(registry.to_owned());
    keys.extend(Quirk::of(registry).credential_keys.iter().map(ToString::to_string));
    keys
}

/// A key of a file as we compare it: `https://host/v1/` is `host`. Keys with a path of their own stay whole.
pub(crate) fn normal(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key)
}

impl AuthFile {
    /// The helper that keeps all credentials.
    pub(crate) fn store(&self) -> Option<&str> {
        self.creds_store.as_deref().filter(|store| !store.is_empty())
    }

    fn entry(&self, keys: &[String]) -> Result<Option<Credential>, AuthFileError> {
        for key in keys {
            let exact = self.auths.get_key_value(key);
            let found = exact.or_else(|| self.auths.iter().find(|(name, _)| normal(name) == normal(key)));
            if let Some((name, entry)) = found
                && let Some(credential) = entry
                    .credential()
                    .map_err(|()| AuthFileError::Entry { path: self.path.clone(), key: name.clone() })?
            {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }
}

impl Entry {
    /// Whether it is more than a sign that a helper has the credential.
    pub(crate) fn holds_something(&self) -> bool {
        !(self.auth.is_empty() && self.username.is_empty() && self.identitytoken.is_empty())
    }

    /// An entry may be empty: where a store keeps the credential.
    fn credential(&self) -> Result<Option<Credential>, ()> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::IdentityToken(self.identitytoken.clone())));
        }
        if !self.auth.is_empty() {
            let bytes = STANDARD.decode(self.auth.trim()).map_err(|_| ())?;
            let text = String::from_utf8(bytes).map_err(|_| ())?;
            let (user, password) = text.split_once(':').ok_or(())?;
            // docker pads passwords of old with NULs.
            let password = password.trim_end_matches('\0');
            return Ok(Some(Credential::Password { user: user.to_owned(), password: password.to_owned() }));
        }
        let password = || Credential::Password { user: self.username.clone(), password: self.password.clone() };
        Ok((!self.username.is_empty()).then(password))
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, AuthFileError> {
    use std::io::Read as _;
    let failed = |source| AuthFileError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(AuthFileError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> AuthFiles {
        AuthFiles { files: vec![AuthFiles::parse(Path::new("auth.json"), text.as_bytes()).unwrap()] }
    }

    fn password(user: &str, password: &str) -> Option<Credential> {
        Some(Credential::Password { user: user.to_owned(), password: password.to_owned() })
    }

    #[tokio::test]
    async fn the_most_specific_entry_wins() {
        // a:1 b:2 c:3 d:4:5
        let files = files(
            r#"{"auths":{"r.example":{"auth":"YTox"},"r.example/team":{"auth":"Yjoy"},"https://index.docker.io/v1/":{"auth":"Yzoz"},
                "https://old.example/v2/":{"auth":"ZDo0OjU="},"empty.example":{},"token.example":{"auth":"YTox","identitytoken":"t"},
                "plain.example":{"username":"u","password":"p"}}}"#,
        );
        for (registry, repository, expected) in [
            ("r.example", "app", password("a", "1")),
            ("r.example", "team/app", password("b", "2")),
            ("r.example", "teams/app", password("a", "1")),
            ("docker.io", "library/busybox", password("c", "3")),
            ("old.example", "x", password("d", "4:5")),
            ("empty.example", "x", None),
            ("token.example", "x", Some(Credential::IdentityToken("t".into()))),
            ("plain.example", "x", password("u", "p")),
            ("r.example:443", "x", None),
            ("evil.example", "r.example", None),
            ("r.example.evil.example", "x", None),
        ] {
            assert_eq!(files.lookup(registry, repository).await.unwrap(), expected, "{registry}/{repository}");
        }
    }

    #[tokio::test]
    async fn broken_entries_are_said_and_secrets_are_not() {
        for bad in ["!!", "YQ==", "/w=="] {
            let files = files(&format!(r#"{{"auths":{{"r.example":{{"auth":"{bad}"}}}}}}"#));
            let error = files.lookup("r.example", "x").await.unwrap_err().to_string();
            assert!(error.contains("r.example") && !error.contains(bad), "{error}");
        }
        let files = files(r#"{"auths":{"r.example":{"auth":"YTpzZWNyZXQ="}}}"#);
        assert!(!format!("{files:?}").contains("YTpzZWNyZXQ"));
        let found = files.lookup("r.example", "x").await.unwrap();
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[test]
    fn places_in_their_order() {
        let variable = |name: &str| match name {
            "HOME" => Some("/home/me".into()),
            "XDG_RUNTIME_DIR" => Some("/run/user/1".into()),
            "XDG_CONFIG_HOME" => Some("".into()),
            "DOCKER_AUTH_CONFIG" => Some(r#"{"auths":{"env.example":{"auth":"YTox"}}}"#.into()),
            _ => None,
        };
        let names: Vec<_> = Places::from_variables(variable).files().into_iter().map(|(path, _)| path).collect();
        let expected = [
            "/run/user/1/containers/auth.json",
            "/home/me/.config/containers/auth.json",
            "/home/me/.docker/config.json",
        ];
        assert_eq!(names, expected.map(PathBuf::from));
        let only = Places { registry_auth_file: Some("/a".into()), ..Places::from_variables(variable) };
        assert_eq!(only.files(), [(PathBuf::from("/a"), true)]);
        assert!(!format!("{only:?}").contains("YTox"));
        let files = AuthFiles::read(&Places { runtime_directory: None, ..Places::from_variables(variable) }).unwrap();
        assert!(files.files[0].auths.contains_key("env.example"));
        assert!(
            AuthFiles::read(&Places { registry_auth_file: Some("/nowhere/a".into()), ..Places::default() }).is_err()
        );
        assert!(AuthFiles::read(&Places { docker_directory: Some("/nowhere".into()), ..Places::default() }).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn reading_ends_and_finds_its_own_host_alone(text in "(\\{|\\}|\"auths\"|:|,|\"r\\.example\"|\"auth\"|\"YTox\"|\"\"|null|7){0,24}", host in "[a-z]{1,4}\\.[a-z]{1,4}") {
            let path = Path::new("auth.json");
            let _ = AuthFiles::of_content(path, text.as_bytes());
            let kept = format!(r#"{{"auths":{{"{host}":{{"auth":"YTox"}}}}}}"#);
            let files = AuthFiles::of_content(path, kept.as_bytes()).unwrap();
            let found = |name: &str| files.files[0].entry(&keys(name, "x")).unwrap().is_some();
            proptest::prop_assert!(found(&host));
            for other in [format!("{host}:5000"), format!("{host}.evil"), format!("evil{host}"), format!("evil/{host}")] {
                proptest::prop_assert!(!found(&other));
            }
        }
    }
}
