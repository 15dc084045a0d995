//! Logging in: challenges answered, tokens remembered.
//! Specification: distribution's token and OAuth2 specifications.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use url::Url;

use crate::challenge::{self, Challenge};
use crate::client::Registry;
use crate::credentials::Credential;
use crate::error::{Error, Result, printable};
use crate::hop;

/// What a registry was found to want, and the tokens that it takes.
#[derive(Default)]
pub(crate) struct Session {
    wanted: Mutex<Wanted>,
    tokens: Mutex<HashMap<BTreeSet<String>, Token>>,
    /// One token is fetched at a time: those who wait find it remembered.
    fetching: tokio::sync::Mutex<()>,
    had_credentials: AtomicBool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Wanted {
    /// Nothing so far.
    #[default]
    Nothing,
    Basic,
    Bearer {
        realm: String,
        service: String,
    },
}

#[derive(Clone)]
struct Token {
    value: String,
    until: Instant,
}

/// What goes into `Authorization`.
#[derive(Clone)]
pub(crate) enum Login {
    Anonymous,
    Sent(HeaderValue),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Login::Sent(_)) { "Sent((hidden))" } else { "Anonymous" })
    }
}

impl Login {
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        match self {
            Login::Anonymous => None,
            Login::Sent(value) => Some(value.clone()),
        }
    }

    fn secret(scheme: &str, word: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("{scheme} {word}")).ok()?;
        value.set_sensitive(true);
        Some(Login::Sent(value))
    }
}

/// Tokens that are remembered for one registry; beyond, all are forgotten.
const MOST_TOKENS: usize = 1000;
/// What a token that says nothing lasts (the specification's default), and what is the least we believe.
const LEAST_LIFE: Duration = Duration::from_secs(60);
/// No token is remembered for longer, whatever it says.
const MOST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Scopes of one token.
const MOST_SCOPES: usize = 16;

impl Session {
    pub(crate) fn had_credentials(&self) -> bool {
        self.had_credentials.load(Ordering::Relaxed)
    }

    fn wanted(&self) -> Wanted {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn token(&self, scopes: &BTreeSet<String>) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let valid = |entry: &(&BTreeSet<String>, &Token)| entry.1.until > now && scopes.is_subset(entry.0);
        tokens.iter().find(valid).map(|(_, token)| token.value.clone())
    }

    fn remember(&self, scopes: BTreeSet<String>, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        tokens.retain(|_, token| token.until > now);
        if tokens.len() >= MOST_TOKENS {
            tokens.clear();
        }
        tokens.insert(scopes, token);
    }

    fn forget(&self, login: &Login) {
        let Login::Sent(value) = login else { return };
        let Some(word) = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")) else { return };
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, token| token.value != word);
    }
}

impl Registry {
    /// What to send before anything is asked: what this registry wanted last time.
    pub(crate) async fn login_for(&self, base: &Url, repository: &str, scopes: &[String]) -> Result<Login> {
        match self.endpoint.session.wanted() {
            Wanted::Nothing => Ok(Login::Anonymous),
            Wanted::Basic => Ok(self.basic(base, repository).await?.unwrap_or(Login::Anonymous)),
            Wanted::Bearer { realm, service } => {
                let scopes: BTreeSet<String> = scopes.iter().cloned().collect();
                self.bearer(base, repository, &realm, &service, scopes).await
            }
        }
    }

    /// What to send after a 401; `None` where there is nothing better than what was sent.
    pub(crate) async fn answer_challenge(
        &self,
        base: &Url,
        repository: &str,
        scopes: &[String],
        sent: &Login,
        response: &reqwest::Response,
    ) -> Result<Option<Login>> {
        let session = &self.endpoint.session;
        session.forget(sent);
        let values = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenges = challenge::parse(values.iter().map(HeaderValue::as_bytes));
        let set = |wanted| *session.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        for challenge in &challenges {
            if let Challenge::Bearer { realm, service, scopes: named, .. } = challenge {
                let mut all: BTreeSet<String> = scopes.iter().cloned().collect();
                all.extend(named.iter().take(MOST_SCOPES).cloned());
                set(Wanted::Bearer { realm: realm.clone(), service: service.clone() });
                return self.bearer(base, repository, realm, service, all).await.map(Some);
            }
        }
        if challenges.contains(&Challenge::Basic) {
            let login = self.basic(base, repository).await?;
            if let (Some(Login::Sent(new)), Login::Sent(old)) = (&login, sent)
                && new == old
            {
                return Ok(None);
            }
            set(Wanted::Basic);
            return Ok(login);
        }
        Ok(None)
    }

    async fn basic(&self, base: &Url, repository: &str) -> Result<Option<Login>> {
        let Some(Credential::Password { user, password }) = self.credential(repository).await? else { return Ok(None) };
        self.may_send_secrets(base)?;
        Ok(Login::secret("Basic", &STANDARD.encode(format!("{user}:{password}"))))
    }

    async fn credential(&self, repository: &str) -> Result<Option<Credential>> {
        let found = self.shared.options.credentials.lookup(self.name(), repository).await?;
        if found.is_some() {
            self.endpoint.session.had_credentials.store(true, Ordering::Relaxed);
        }
        Ok(found)
    }

    fn may_send_secrets(&self, target: &Url) -> Result<()> {
        if target.scheme() == "https" || hop::is_local(target) || self.shared.options.is_insecure(target) {
            return Ok(());
        }
        Err(Error::Plaintext { place: self.place(""), target: hop::origin(target) })
    }

    async fn bearer(
        &self,
        base: &Url,
        repository: &str,
        realm: &str,
        service: &str,
        scopes: BTreeSet<String>,
    ) -> Result<Login> {
        let session = &self.endpoint.session;
        let token = match session.token(&scopes) {
            Some(token) => token,
            None => {
                let _one = session.fetching.lock().await;
                match session.token(&scopes) {
                    Some(token) => token,
                    None => self.fetch_token(base, repository, realm, service, scopes).await?,
                }
            }
        };
        self.may_send_secrets(base)?;
        Login::secret("Bearer", &token).ok_or_else(|| self.token_error(base, "sent a token that no header can hold"))
    }

    fn token_error(&self, realm: &Url, problem: &str) -> Error {
        Error::Token { place: self.place(""), realm: hop::origin(realm), problem: problem.to_owned() }
    }

    async fn fetch_token(
        &self,
        base: &Url,
        repository: &str,
        realm: &str,
        service: &str,
        scopes: BTreeSet<String>,
    ) -> Result<String> {
        let realm = self.realm(base, realm)?;
        let credential = self.credential(repository).await?;
        if credential.is_some() {
            self.may_send_secrets(&realm)?;
        }
        let pool = self.shared.transport.pool(&self.shared.options, base, &realm)?;
        let request = match &credential {
            Some(Credential::IdentityToken(token)) => {
                let scope = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", "refresh_token")
                    .append_pair("service", service)
                    .append_pair("client_id", "estiba")
                    .append_pair("scope", &scope)
                    .append_pair("refresh_token", token);
                pool.post(realm.clone())
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form.finish())
            }
            other => {
                let mut asked = realm.clone();
                {
                    let mut query = asked.query_pairs_mut();
                    if !service.is_empty() {
                        query.append_pair("service", service);
                    }
                    for scope in &scopes {
                        query.append_pair("scope", scope);
                    }
                    if let Some(Credential::Password { user, .. }) = other {
                        query.append_pair("account", user);
                    }
                }
                let request = pool.get(asked);
                match other {
                    Some(Credential::Password { user, password }) => request.basic_auth(user, Some(password)),
                    _ => request,
                }
            }
        };
        let response = request.send().await.map_err(|error| self.transport_error("", "a token", error))?;
        let token = self.read_token(&realm, response).await?;
        let value = token.value.clone();
        self.endpoint.session.remember(scopes, token);
        Ok(value)
    }

    /// The realm of a challenge, by the rules for hops.
    fn realm(&self, base: &Url, text: &str) -> Result<Url> {
        let refused =
            |target: String, rule| Error::Hop { place: self.place(""), kind: "the token realm", target, rule };
        let realm = base.join(text).map_err(|_| refused(printable(text), hop::Refused::Malformed))?;
        hop::check(base, &realm, |url| self.shared.options.is_insecure(url))
            .map_err(|rule| refused(hop::origin(&realm), rule))?;
        Ok(realm)
    }

    async fn read_token(&self, realm: &Url, response: reqwest::Response) -> Result<Token> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            token: Option<String>,
            #[serde(default)]
            access_token: Option<String>,
            #[serde(default)]
            expires_in: Option<f64>,
        }
        let status = response.status();
        if status != StatusCode::OK {
            if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                let had_credentials = self.endpoint.session.had_credentials();
                return Err(Error::Unauthorized { place: self.place(""), what: "a token".to_owned(), had_credentials });
            }
            // A redirect of a realm is not followed: nobody needs one, and credentials would go along.
            return Err(self.refusal(response, "", "a token").await);
        }
        let body = self.read(response, "", "a token", self.shared.options.limits.token).await?;
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| self.token_error(realm, "answered with something else"))?;
        let value = [answer.token, answer.access_token].into_iter().flatten().find(|value| !value.is_empty());
        let value = value.ok_or_else(|| self.token_error(realm, "answered without a token"))?;
        let life = answer.expires_in.filter(|seconds| seconds.is_finite() && *seconds > 0.0).unwrap_or(60.0);
        let life = Duration::from_secs_f64(life.min(MOST_LIFE.as_secs_f64())).max(LEAST_LIFE);
        // Given up a little early, so that it does not end on its way.
        Ok(Token { value, until: Instant::now() + life - life / 10 })
    }
}
