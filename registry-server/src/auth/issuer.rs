//! Somebody else's tokens: OpenID Connect issuers that the configuration names.
//! Specifications: OpenID Connect Discovery 1.0; RFC 7517 (JWK), 7519 (JWT), 8725.
//!
//! Everything that costs nothing is checked first, so that only a token which claims to be right can make us fetch keys; and
//! keys are fetched at most so often, whatever tokens say (a storm of `kid`s). What was fetched holds while its issuer cannot be reached.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant as Clock};

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::sync::Mutex;
use url::{Host, Url};

use super::config::Issuer as Config;
use super::jwt::{Error, Key, KeySet, Parts, Times, json};
use super::policy::Pattern;
use super::{Method, Principal};
use crate::time::Instant;

/// How long keys are used without asking again.
const FRESH: Duration = Duration::from_secs(600);
/// How long keys are used while their issuer cannot be reached.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Unknown `kid`s make us ask at most so often.
const BETWEEN: Duration = Duration::from_secs(60);
/// Without any keys, at most so often.
const BETWEEN_FAILURES: Duration = Duration::from_secs(5);
/// How long an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest document: a set of three keys has 5 KiB.
const LARGEST: usize = 256 * 1024;
/// The longest name, group, or claim that is kept.
const LONGEST_CLAIM: usize = 1024;
/// The most claims and groups that are kept.
const MOST_CLAIMS: usize = 128;

/// Kinds of tokens that say who somebody is.
const TYPES: &[&str] = &["jwt", "at+jwt", "application/at+jwt"];

#[derive(Debug)]
struct Fetched {
    keys: KeySet,
    at: Clock,
}

/// An issuer, and its keys once they were needed.
#[derive(Debug)]
pub(crate) struct Issuer {
    config: Config,
    conditions: Vec<(String, Pattern)>,
    fetched: ArcSwapOption<Fetched>,
    /// When keys were last asked for; held while they are.
    asked: Mutex<Option<Clock>>,
    client: OnceLock<reqwest::Client>,
}

/// Why keys cannot be had. For the log alone.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    Client(String),
    #[error("GET {url}: {reason}")]
    Http { url: Url, reason: String },
    #[error("{0}: no set of usable keys")]
    Keys(Url),
    #[error("{url}: {reason}")]
    Discovery { url: Url, reason: String },
}

impl Issuer {
    /// An issuer of the configuration. Costs no network.
    pub(crate) fn new(config: &Config) -> Self {
        // Validated by the configuration; a pattern that is none would match nothing, so its token is refused.
        let condition = |(name, pattern): (&String, &String)| Some((name.clone(), Pattern::parse(pattern).ok()?));
        Self {
            conditions: config.claims.iter().filter_map(condition).collect(),
            config: config.clone(),
            fetched: ArcSwapOption::empty(),
            asked: Mutex::new(None),
            client: OnceLock::new(),
        }
    }

    /// What tokens must say in `iss`.
    pub(crate) fn url(&self) -> &str {
        &self.config.url
    }

    /// Its short name.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Whom a token names, and until when (seconds since 1970).
    pub(crate) async fn principal(
        self: &Arc<Self>,
        parts: &Parts<'_>,
        now: Instant,
    ) -> Result<(Principal, i64), Error> {
        if !self.config.algorithms.contains(&parts.algorithm) {
            return Err(Error::Algorithm);
        }
        if parts.r#type.as_deref().is_some_and(|word| !TYPES.contains(&word.to_ascii_lowercase().as_str())) {
            return Err(Error::Type);
        }
        if parts.issuer() != Some(self.url()) {
            return Err(Error::Issuer);
        }
        parts.is_for(&self.config.audience)?;
        let times = Times::of(&parts.claims)?;
        times.check(now, Duration::ZERO)?;
        let principal = self.named(parts)?;
        let key = self.key(parts.kid.as_deref(), &parts.algorithm).await?;
        parts.verify(&key)?;
        Ok((principal, times.expires))
    }

    /// Whom the claims name, where they meet the conditions.
    fn named(&self, parts: &Parts<'_>) -> Result<Principal, Error> {
        let subject = parts.claims.get(&self.config.user_claim).and_then(Value::as_str).filter(|name| is_plain(name));
        let subject = subject.ok_or(Error::Claim("sub"))?;
        let name = format!("{}:{subject}", self.name());
        let mut principal = Principal::known(Method::Issuer(self.name().to_owned()), name);
        for (name, value) in parts.claims.iter().take(MOST_CLAIMS) {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                _ => continue,
            };
            if is_plain(&text) {
                principal.claims.insert(name.clone(), text);
            }
        }
        for (name, pattern) in &self.conditions {
            if !principal.claims.get(name).is_some_and(|value| pattern.matches(value, None)) {
                return Err(Error::Condition(name.clone()));
            }
        }
        if self.conditions.len() != self.config.claims.len() {
            return Err(Error::Condition("claims".to_owned()));
        }
        principal.groups = self.groups(parts);
        Ok(principal)
    }

    fn groups(&self, parts: &Parts<'_>) -> BTreeSet<String> {
        let claim = self.config.groups_claim.as_ref().and_then(|name| parts.claims.get(name));
        let words: Vec<&str> = match claim {
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(word)) => vec![word],
            _ => Vec::new(),
        };
        let plain = words.into_iter().filter(|word| is_plain(word)).take(MOST_CLAIMS);
        plain.map(|word| format!("{}:{word}", self.name())).collect()
    }

    /// The key that a token means.
    async fn key(self: &Arc<Self>, kid: Option<&str>, algorithm: &str) -> Result<Key, Error> {
        if let Some(fetched) = self.fetched.load_full()
            && let Some(key) = fetched.keys.find(kid, algorithm)
            && fetched.at.elapsed() < STALE
        {
            if fetched.at.elapsed() >= FRESH {
                let issuer = Arc::clone(self);
                tokio::spawn(async move { issuer.refresh(FRESH).await });
            }
            return Ok(key.clone());
        }
        self.refresh(BETWEEN).await;
        let fetched = self.fetched.load_full().filter(|fetched| fetched.at.elapsed() < STALE);
        let fetched = fetched.ok_or(Error::Unavailable)?;
        fetched.keys.find(kid, algorithm).cloned().ok_or(Error::UnknownKey)
    }

    /// Fetches the keys, unless they were fetched `within` this time, or asked for in vain just now.
    async fn refresh(&self, within: Duration) {
        let mut asked = self.asked.lock().await;
        let known = self.fetched.load_full();
        if known.as_ref().is_some_and(|fetched| fetched.at.elapsed() < within) {
            return;
        }
        let pause = if known.is_some() { BETWEEN } else { BETWEEN_FAILURES };
        if asked.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        match self.fetch().await {
            Ok(keys) => self.fetched.store(Some(Arc::new(Fetched { keys, at: Clock::now() }))),
            Err(error) => tracing::warn!(issuer = self.name(), %error, "the keys of an issuer cannot be fetched"),
        }
        *asked = Some(Clock::now());
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let url = match &self.config.jwks {
            Some(url) => trustworthy(url).map_err(FetchError::Client)?,
            None => self.discover().await?,
        };
        let bytes = self.get(&url).await?;
        KeySet::parse(&bytes).ok_or(FetchError::Keys(url))
    }

    /// Where the issuer says that its keys are.
    async fn discover(&self) -> Result<Url, FetchError> {
        let url = format!("{}/.well-known/openid-configuration", self.url().trim_end_matches('/'));
        let url = trustworthy(&url).map_err(FetchError::Client)?;
        let wrong = |reason: &str| FetchError::Discovery { url: url.clone(), reason: reason.to_owned() };
        let document = json::object(&self.get(&url).await?).map_err(|error| wrong(&error.to_string()))?;
        if document.get("issuer").and_then(Value::as_str) != Some(self.url()) {
            return Err(wrong("the document is of another issuer"));
        }
        let keys = document.get("jwks_uri").and_then(Value::as_str).ok_or_else(|| wrong("it names no jwks_uri"))?;
        let keys = trustworthy(keys).map_err(|reason| wrong(&reason))?;
        if url.scheme() == "https" && keys.scheme() != "https" {
            return Err(wrong("its jwks_uri is not https"));
        }
        Ok(keys)
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let failed = |reason: String| FetchError::Http { url: url.clone(), reason };
        let mut response =
            self.client()?.get(url.clone()).send().await.map_err(|error| failed(error.without_url().to_string()))?;
        // Redirects are not followed: an issuer that moves says so in its configuration.
        if response.status() != http::StatusCode::OK {
            return Err(failed(response.status().to_string()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(error.without_url().to_string()))? {
            if bytes.len() + chunk.len() > LARGEST {
                return Err(failed(format!("the answer is larger than {LARGEST} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Made when it is first needed: reading the system's certificates takes 20 ms.
    fn client(&self) -> Result<&reqwest::Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let failed = |error: &dyn std::fmt::Display| FetchError::Client(error.to_string());
        let own = self.config.ca.as_deref().map(remote::Pem::read).transpose().map_err(|error| failed(&error))?;
        let added: Vec<_> = own.into_iter().collect();
        let tls = remote::tls_config(added.is_empty(), &added, None, true).map_err(|error| failed(&error))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .user_agent(concat!("estiba-registry/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(&error))?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// Whether text may stand in names and logs.
fn is_plain(text: &str) -> bool {
    (1..=LONGEST_CLAIM).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether a URL may be believed: nobody on the way can have changed what it answers.
pub(crate) fn trustworthy(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(format!("`{text}` names no host")),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if local => Ok(url),
        _ => Err(format!("`{text}`: keys that arrive in the clear prove nothing; use https")),
    }
}

#[cfg(test)]
pub(in crate::auth) mod tests;
