//! `[auth]`: who may log in, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{Complaints, Duration};

/// `[auth]`. Without any of it everybody may do everything, and the server then listens on this machine only.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// What everybody may do, logged in or not: `none`, `pull`, `push` (pull, and push new tags), `all`. Rules of the policy add to it, and
    /// its denials take from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<Anonymous>,
    /// Names and passwords: a line `name:hash` each, bcrypt or argon2. Read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub htpasswd: Option<PathBuf>,
    /// The policy file: who may do what where. Without one, whoever has logged in may do everything. Read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PathBuf>,
    /// Names, or groups as `@group`, that may look behind the scenes.
    pub administrators: Vec<String>,
    /// Groups by name, each a list of names of callers.
    pub groups: BTreeMap<String, Vec<String>>,
    /// `[auth.token]`.
    pub token: Token,
    /// `[[auth.issuer]]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuer: Vec<Issuer>,
}

/// What everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Nothing.
    None,
    /// Pull.
    Pull,
    /// Pull and push new tags; not move or delete what is there.
    Push,
    /// Everything.
    All,
}

/// `[auth.token]`: the token endpoint of ours, `/token`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Token {
    /// Whether clients are sent to the token endpoint. Otherwise they send name and password with each request (`Basic`).
    /// Behind a proxy that ends TLS, set `[server] url` too: clients are told where the endpoint is.
    pub enabled: bool,
    /// How long a token holds, 1 minute to 1 day. Clients fetch new ones by themselves; a name taken from the
    /// htpasswd file keeps working for as long as its last token.
    pub lifetime: Duration,
    /// How long a refresh token (`offline_token`) holds. It dies with the password that it was given for.
    pub refresh_lifetime: Duration,
    /// How long after its end a token may still finish uploads that its owner began; nothing else.
    pub upload_grace: Duration,
    /// The name of this registry in tokens; by default the host of `[server] url`, else `estiba-registry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

impl Default for Token {
    fn default() -> Self {
        Self {
            enabled: false,
            lifetime: Duration::seconds(300),
            refresh_lifetime: Duration::days(30),
            upload_grace: Duration::hours(1),
            service: None,
        }
    }
}

/// `[[auth.issuer]]`: somebody else whose tokens (OpenID Connect) are believed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// A short name: `github`. Callers of this issuer are called `NAME:SUBJECT`, their groups `NAME:GROUP`.
    pub name: String,
    /// The issuer, exactly as tokens say it (`iss`): `https://token.actions.githubusercontent.com`.
    pub url: String,
    /// What tokens must be made for (`aud`), one of these: the name of this registry. Tokens made for others are refused.
    pub audience: Vec<String>,
    /// Where its keys are; by default its discovery document says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// A PEM file of authorities for its certificate; by default those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Patterns that claims must match, or the token is refused: `repository_owner = "acme"`. There must be one: issuers of public
    /// services make tokens for everybody. Patterns are those of the policy file.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// Which claim names the caller.
    #[serde(default = "subject")]
    pub user_claim: String,
    /// Which claim lists groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// How its tokens may be signed.
    #[serde(default = "asymmetric")]
    pub algorithms: Vec<String>,
}

fn subject() -> String {
    "sub".to_owned()
}

fn asymmetric() -> Vec<String> {
    ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec()
}

/// Signatures that are checked at all: none with a shared secret.
pub(crate) const ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

impl Auth {
    /// Whether anything at all says who may do what.
    pub fn is_configured(&self) -> bool {
        self.anonymous.is_some() || self.htpasswd.is_some() || self.policy.is_some() || !self.issuer.is_empty()
    }

    /// Says what cannot be.
    pub fn validate(&self, wrong: &mut Complaints) {
        for (group, names) in &self.groups {
            if group.is_empty() || names.iter().any(String::is_empty) {
                wrong.about(&format!("groups.{group}"), "groups and their members need names");
            }
        }
        wrong.section("token", |wrong| self.token.validate(wrong));
        for (at, issuer) in self.issuer.iter().enumerate() {
            wrong.section(&format!("issuer.{at}"), |wrong| issuer.validate(wrong));
            if self.issuer[..at].iter().any(|other| other.name == issuer.name || other.url == issuer.url) {
                wrong.about(&format!("issuer.{at}.name"), "another issuer has this name or this URL");
            }
        }
    }
}

impl Token {
    fn validate(&self, wrong: &mut Complaints) {
        let (minute, day) = (Duration::seconds(60), Duration::hours(24));
        if !(minute..=day).contains(&self.lifetime) {
            wrong.about("lifetime", "it must lie between 1m, as clients expect, and 24h");
        }
        if self.refresh_lifetime > Duration::days(366) || self.refresh_lifetime < minute {
            wrong.about("refresh_lifetime", "it must lie between 1m and 366d");
        }
        if self.upload_grace > day {
            wrong.about("upload_grace", "it must not be longer than 24h");
        }
        if self.service.as_deref().is_some_and(|service| !is_quotable(service)) {
            wrong.about("service", "it stands quoted in a header: letters, digits and -._:/ are allowed");
        }
    }
}

impl Issuer {
    fn validate(&self, wrong: &mut Complaints) {
        let short = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(short) {
            wrong.about("name", "it must be a short word of letters, digits and -._");
        }
        if self.claims.is_empty() {
            wrong.about(
                "claims",
                "public issuers make tokens for everybody: say whose are meant, such as `repository_owner = \"acme\"`; \
                 `sub = \"**\"` takes all of them",
            );
        }
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            wrong
                .about("audience", "without an audience, tokens made for others would be accepted; name this registry");
        }
        for (field, url) in [("url", Some(&self.url)), ("jwks", self.jwks.as_ref())] {
            if let Some(url) = url
                && let Err(reason) = super::issuer::trustworthy(url)
            {
                wrong.about(field, reason);
            }
        }
        for (claim, pattern) in &self.claims {
            if let Err(reason) = super::policy::Pattern::parse(pattern) {
                wrong.about(&format!("claims.{claim}"), reason.to_string());
            }
        }
        for algorithm in &self.algorithms {
            if !ALGORITHMS.contains(&algorithm.as_str()) {
                wrong.about("algorithms", format!("`{algorithm}` is none of {}", ALGORITHMS.join(", ")));
            }
        }
        if self.algorithms.is_empty() {
            wrong.about("algorithms", "without any, no token would be accepted");
        }
    }
}

/// Whether a word may stand between quotes in a header without escapes.
pub(crate) fn is_quotable(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:/[]".contains(&byte))
}
