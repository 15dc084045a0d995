//! Our own tokens: made at the token endpoint, shown with every request.
//!
//! An access token says who somebody is and what they asked for and may do. What it grants is checked against the policy
//! when it is made and again when it is used, so a policy that changes holds at once. A name that leaves the
//! htpasswd file keeps working for the rest of its last token (`[auth.token] lifetime`).
//!
//! **A token that ends during a push.** A request that has begun is finished. A request that begins later than the token's end gets 401
//! and a challenge, with which clients fetch a new one and go on, except for one kind: requests that go on with an upload
//! (`PATCH`, `PUT`, `GET`, `DELETE` of `/blobs/uploads/<id>`) are let through for `[auth.token] upload_grace` longer. Their bodies
//! are large and often cannot be sent twice; the upload is bound to the one who began it, and all else, its manifest first, takes
//! a token that holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use oci::RepositoryName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::Token as Config;
use super::jwt::{self, Error, Parts, Times};
use super::keys::{self, Keys};
use super::{Action, Grant, Method, Principal, Scope};
use crate::time::Instant;

/// The name of a registry that nobody named.
const SERVICE: &str = "estiba-registry";
/// The `typ` of what is shown with requests.
const ACCESS: &str = "JWT";
/// The `typ` of what is shown at the token endpoint alone.
const REFRESH: &str = "refresh+jwt";

/// Makes tokens and reads them.
#[derive(Debug)]
pub(crate) struct Tokens {
    keys: Keys,
    pub(crate) service: Arc<str>,
    lifetime: Duration,
    refresh_lifetime: Duration,
    upload_grace: Duration,
}

/// An access token, as the endpoint gives it.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) lifetime: Duration,
}

#[derive(Serialize, Deserialize)]
struct Access {
    r#type: String,
    name: String,
    actions: BTreeSet<String>,
}

/// How a token's subject had proven itself.
#[derive(Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase")]
enum Via {
    Anonymous,
    Password,
    Certificate {
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        groups: BTreeSet<String>,
    },
    Issuer {
        issuer: String,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        groups: BTreeSet<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        claims: BTreeMap<String, String>,
    },
}

impl Tokens {
    /// Opens the folder of keys.
    pub(crate) fn open(
        config: &Config,
        keys: &std::path::Path,
        url: Option<&str>,
        now: Instant,
    ) -> Result<Self, keys::Error> {
        let host = url.and_then(|url| url::Url::parse(url).ok()).and_then(|url| url.host_str().map(str::to_owned));
        let service = config.service.clone().or(host).unwrap_or_else(|| SERVICE.to_owned());
        let longest = config.refresh_lifetime.get().max(config.lifetime.get() + config.upload_grace.get());
        Ok(Self {
            keys: Keys::open(keys, longest, now)?,
            service: service.into(),
            lifetime: config.lifetime.get(),
            refresh_lifetime: config.refresh_lifetime.get(),
            upload_grace: config.upload_grace.get(),
        })
    }

    /// Whether a token says that it is one of ours.
    pub(crate) fn claims_to_be_ours(&self, parts: &Parts<'_>) -> bool {
        parts.issuer() == Some(&*self.service)
    }

    /// Makes an access token; `until` (seconds since 1970) is when the credentials end that it is made for.
    pub(crate) fn access(
        &self,
        principal: &Principal,
        grant: &Grant,
        until: Option<i64>,
        now: Instant,
    ) -> Result<Issued, keys::Error> {
        let seconds = now.0 / 1000;
        let left = until.map_or(self.lifetime, |until| {
            self.lifetime.min(Duration::from_secs(u64::try_from(until - seconds).unwrap_or_default()))
        });
        let mut claims = self.claims(&principal.name, left, now)?;
        claims["access"] = serde_json::to_value(access(grant)).unwrap_or_default();
        claims["via"] = serde_json::to_value(via(principal)).unwrap_or_default();
        Ok(Issued { token: self.sign(ACCESS, &claims, now)?, lifetime: left })
    }

    /// Makes a refresh token for a name and what stands for its password today.
    pub(crate) fn refresh(&self, name: &str, fingerprint: &str, now: Instant) -> Result<String, keys::Error> {
        let mut claims = self.claims(name, self.refresh_lifetime, now)?;
        claims["password"] = fingerprint.into();
        self.sign(REFRESH, &claims, now)
    }

    /// Whom an access token names, and until when it holds (seconds since 1970). `late`: whether it may be over by the grace for uploads.
    pub(crate) fn read(&self, parts: &Parts<'_>, late: bool, now: Instant) -> Result<(Principal, i64), Error> {
        let grace = if late { self.upload_grace } else { Duration::ZERO };
        let expires = self.verify(parts, ACCESS, grace, now)?;
        let via = parts.claims.get("via").cloned().and_then(|via| serde_json::from_value(via).ok());
        let access = parts.claims.get("access").cloned().and_then(|list| serde_json::from_value(list).ok());
        let name = parts.text("sub")?;
        let mut principal = named(name, via.ok_or(Error::Claim("via"))?);
        principal.grant = Some(grant(access.ok_or(Error::Claim("access"))?));
        Ok((principal, expires))
    }

    /// The name in a refresh token, and what stood for its password when it was made.
    pub(crate) fn read_refresh(&self, token: &str, now: Instant) -> Result<(String, String), Error> {
        let parts = Parts::parse(token)?;
        self.verify(&parts, REFRESH, Duration::ZERO, now)?;
        Ok((parts.text("sub")?.to_owned(), parts.text("password")?.to_owned()))
    }

    fn verify(&self, parts: &Parts<'_>, r#type: &str, grace: Duration, now: Instant) -> Result<i64, Error> {
        if parts.r#type.as_deref() != Some(r#type) {
            return Err(Error::Type);
        }
        if !self.claims_to_be_ours(parts) {
            return Err(Error::Issuer);
        }
        let key = parts.kid.as_deref().and_then(|kid| self.keys.find(kid)).ok_or(Error::UnknownKey)?;
        parts.verify(&key)?;
        parts.is_for(&[self.service.to_string()])?;
        let times = Times::of(&parts.claims)?;
        times.check(now, grace)?;
        Ok(times.expires)
    }

    fn claims(&self, subject: &str, lifetime: Duration, now: Instant) -> Result<Value, keys::Error> {
        let mut id = [0_u8; 16];
        getrandom::fill(&mut id).map_err(|_| keys::Error::Random)?;
        let seconds = now.0 / 1000;
        Ok(serde_json::json!({
            "iss": &*self.service,
            "aud": &*self.service,
            "sub": subject,
            "iat": seconds,
            "nbf": seconds,
            "exp": seconds + i64::try_from(lifetime.as_secs()).unwrap_or_default(),
            "jti": jwt::encode(&id),
        }))
    }

    fn sign(&self, r#type: &str, claims: &Value, now: Instant) -> Result<String, keys::Error> {
        if self.keys.is_old(now)
            && let Err(error) = self.keys.rotate(now)
        {
            tracing::error!(%error, "no new key for tokens can be made; the old one goes on");
        }
        self.keys.sign(r#type, claims)
    }
}

fn access(grant: &Grant) -> Vec<Access> {
    let one = |scope: &Scope| Access {
        r#type: "repository".to_owned(),
        name: scope.repository.to_string(),
        actions: scope.actions.iter().map(|action| action.word().to_owned()).collect(),
    };
    let catalog = || Access {
        r#type: "registry".to_owned(),
        name: "catalog".to_owned(),
        actions: BTreeSet::from(["*".to_owned()]),
    };
    grant.scopes.iter().map(one).chain(grant.catalog.then(catalog)).collect()
}

fn grant(list: Vec<Access>) -> Grant {
    let catalog = list.iter().any(|one| one.r#type == "registry" && one.name == "catalog");
    let scope = |one: Access| {
        let repository: RepositoryName = one.name.parse().ok().filter(|_| one.r#type == "repository")?;
        Some(Scope { repository, actions: one.actions.iter().filter_map(|word| Action::parse(word)).collect() })
    };
    Grant { scopes: list.into_iter().filter_map(scope).collect(), catalog }
}

fn via(principal: &Principal) -> Via {
    match &principal.method {
        Method::Anonymous => Via::Anonymous,
        // The socket's own callers have no use for tokens.
        Method::Password | Method::Local => Via::Password,
        Method::Certificate => Via::Certificate { groups: principal.groups.clone() },
        Method::Issuer(issuer) => {
            Via::Issuer { issuer: issuer.clone(), groups: principal.groups.clone(), claims: principal.claims.clone() }
        }
    }
}

fn named(name: &str, via: Via) -> Principal {
    let known = |method, groups, claims| {
        let mut principal = Principal::known(method, name.to_owned());
        principal.groups = groups;
        principal.claims = claims;
        principal
    };
    match via {
        Via::Anonymous => Principal::anonymous(),
        Via::Password => known(Method::Password, BTreeSet::new(), BTreeMap::new()),
        Via::Certificate { groups } => known(Method::Certificate, groups, BTreeMap::new()),
        Via::Issuer { issuer, groups, claims } => known(Method::Issuer(issuer), groups, claims),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scope;
    use crate::config;

    fn tokens(folder: &tempfile::TempDir) -> Tokens {
        Tokens::open(&Config::default(), folder.path(), None, Instant(0)).unwrap()
    }

    fn principal() -> Principal {
        let mut principal = Principal::known(Method::Issuer("ci".to_owned()), "ci:repo".to_owned());
        principal.groups.insert("ci:dev".to_owned());
        principal.claims.insert("ref".to_owned(), "refs/heads/main".to_owned());
        principal
    }

    #[test]
    fn what_goes_in_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens(&folder);
        let grant = scope::parse(["repository:a:pull,push registry:catalog:*"]);
        let now = Instant(1_000_000_000);
        let issued = tokens.access(&principal(), &grant, None, now).unwrap();
        let (read, expires) = tokens.read(&Parts::parse(&issued.token).unwrap(), false, now).unwrap();
        assert_eq!(read.actor(), "token:ci:repo");
        assert_eq!((read.groups, read.claims), (principal().groups, principal().claims));
        assert_eq!(read.grant, Some(grant));
        assert_eq!(expires, 1_000_300);
        let refresh = tokens.refresh("alice", "print", now).unwrap();
        assert_eq!(tokens.read_refresh(&refresh, now), Ok(("alice".to_owned(), "print".to_owned())));
    }

    #[test]
    fn a_token_made_for_short_credentials_is_short() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens(&folder);
        let issued = tokens.access(&principal(), &Grant::default(), Some(100), Instant(40_000)).unwrap();
        assert_eq!(issued.lifetime, Duration::from_secs(60));
        let over = tokens.access(&principal(), &Grant::default(), Some(10), Instant(40_000)).unwrap();
        assert_eq!(over.lifetime, Duration::ZERO);
    }

    #[test]
    fn neither_kind_is_the_other_and_neither_is_another_registrys() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (tokens, others) = (tokens(&folder), tokens(&other));
        let now = Instant(1_000_000_000);
        let access = tokens.access(&principal(), &Grant::default(), None, now).unwrap().token;
        let refresh = tokens.refresh("alice", "print", now).unwrap();
        assert_eq!(tokens.read_refresh(&access, now), Err(Error::Type));
        assert_eq!(tokens.read(&Parts::parse(&refresh).unwrap(), false, now).unwrap_err(), Error::Type);
        assert_eq!(others.read(&Parts::parse(&access).unwrap(), false, now).unwrap_err(), Error::UnknownKey);
        let config = Config { service: Some("elsewhere".to_owned()), ..Config::default() };
        let renamed = Tokens::open(&config, folder.path(), None, Instant(0)).unwrap();
        assert_eq!(renamed.read(&Parts::parse(&access).unwrap(), false, now).unwrap_err(), Error::Issuer);
    }

    #[test]
    fn tokens_end_and_end_later_for_uploads() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens(&folder);
        let now = Instant(1_000_000_000);
        let token = tokens.access(&principal(), &Grant::default(), None, now).unwrap().token;
        let parts = Parts::parse(&token).unwrap();
        let after = |minutes: u64| now.after(config::Duration::seconds(minutes * 60).get());
        for (minutes, late, expected) in [
            (0, false, true),
            (5, false, true),
            (7, false, false),
            (7, true, true),
            (64, true, true),
            (67, true, false),
        ] {
            assert_eq!(tokens.read(&parts, late, after(minutes)).is_ok(), expected, "{minutes} {late}");
        }
        assert_eq!(tokens.read(&parts, false, Instant(now.0 - 120_000)).unwrap_err(), Error::Early);
    }
}
