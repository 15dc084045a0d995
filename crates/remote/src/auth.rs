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
use crate::{hop, scope};

/// What a registry was found to want, and the tokens that it takes.
#[derive(Default)]
pub(crate) struct Session {
    wanted: Mutex<Wanted>,
    tokens: Mutex<HashMap<BTreeSet<String>, Token>>,
    /// A refresh token that came with a token: asked with instead of the password, as long as the realm takes it.
    refresh: Mutex<Option<Refresh>>,
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
    life: Duration,
}

impl Token {
    /// Whether it holds at `now`, and, for what is sent once and takes long, not only just.
    fn holds(&self, now: Instant, once: bool) -> bool {
        let least = if once { (self.life / 2).min(SOON) } else { Duration::ZERO };
        self.until.saturating_duration_since(now) > least
    }
}

#[derive(Clone)]
struct Refresh {
    value: String,
    realm: Url,
    service: String,
    /// Credentials may differ between repositories.
    repository: String,
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
/// A token that ends within this time is renewed before a stream begins, which cannot be sent twice.
const SOON: Duration = Duration::from_secs(30);
/// Scopes of one token.
const MOST_SCOPES: usize = 16;

impl Wanted {
    /// What challenges want: a token rather than a password.
    fn of(challenges: &[Challenge]) -> Option<Self> {
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service, .. } => {
                Some(Wanted::Bearer { realm: realm.clone(), service: service.clone() })
            }
            Challenge::Basic => None,
        });
        bearer.or_else(|| challenges.contains(&Challenge::Basic).then_some(Wanted::Basic))
    }
}

impl Session {
    pub(crate) fn had_credentials(&self) -> bool {
        self.had_credentials.load(Ordering::Relaxed)
    }

    fn wanted(&self) -> Wanted {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what an answer to nobody says of logins.
    pub(crate) fn learn(&self, response: &reqwest::Response) {
        if response.status() != StatusCode::UNAUTHORIZED {
            return;
        }
        let values = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenges = challenge::parse(values.iter().map(HeaderValue::as_bytes));
        if let Some(wanted) = Wanted::of(&challenges) {
            *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        }
    }

    fn token(&self, scopes: &BTreeSet<String>, once: bool) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let valid =
            |entry: &(&BTreeSet<String>, &Token)| entry.1.holds(now, once) && scope::all_covered(entry.0, scopes);
        tokens.iter().find(valid).map(|(_, token)| token.value.clone())
    }

    fn refresh(&self, realm: &Url, service: &str, repository: &str) -> Option<String> {
        let kept = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &&Refresh| kept.realm == *realm && kept.service == service && kept.repository == repository;
        kept.as_ref().filter(same).map(|kept| kept.value.clone())
    }

    fn keep_refresh(&self, refresh: Option<Refresh>) {
        *self.refresh.lock().unwrap_or_else(PoisonError::into_inner) = refresh;
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
    /// `once`: for a body that cannot be sent twice.
    pub(crate) async fn login_for(&self, base: &Url, repository: &str, scopes: &[String], once: bool) -> Result<Login> {
        match self.endpoint.session.wanted() {
            Wanted::Nothing => Ok(Login::Anonymous),
            Wanted::Basic => Ok(self.basic(base, repository).await?.unwrap_or(Login::Anonymous)),
            Wanted::Bearer { realm, service } => {
                let scopes: BTreeSet<String> = scopes.iter().cloned().collect();
                self.bearer(base, repository, &realm, &service, scopes, once).await
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
                let login = self.bearer(base, repository, realm, service, all, false).await?;
                // A realm is remembered once it gave a token.
                set(Wanted::Bearer { realm: realm.clone(), service: service.clone() });
                return Ok(Some(login));
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
        let found = self.shared.options.credentials.lookup(self.name(), repository, self.is_mirror()).await?;
        if found.is_some() {
            self.endpoint.session.had_credentials.store(true, Ordering::Relaxed);
        }
        Ok(found)
    }

    fn may_send_secrets(&self, target: &Url) -> Result<()> {
        if target.scheme() == "https" || hop::is_local(target) || self.is_insecure(target) {
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
        once: bool,
    ) -> Result<Login> {
        let session = &self.endpoint.session;
        let token = match session.token(&scopes, once) {
            Some(token) => token,
            None => {
                let _one = session.fetching.lock().await;
                match session.token(&scopes, once) {
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
        let session = &self.endpoint.session;
        let kept = session.refresh(&realm, service, repository);
        if credential.is_some() || kept.is_some() {
            self.may_send_secrets(&realm)?;
        }
        let pool = self.pool(base, &realm, false)?;
        let mut answer = None;
        if let Some(kept) = kept {
            let request = by_refresh_token(&pool, &realm, service, &scopes, &kept);
            match self.token_of(&realm, request).await {
                Ok(found) => answer = Some(found),
                Err(error) => {
                    // What was taken once is not taken any more: back to the password.
                    tracing::debug!(registry = self.name(), %error, "the refresh token was refused");
                    session.keep_refresh(None);
                }
            }
        }
        let (token, refresh) = match answer {
            Some(found) => found,
            None => {
                let request = match &credential {
                    Some(Credential::IdentityToken(token)) => by_refresh_token(&pool, &realm, service, &scopes, token),
                    other => by_name(&pool, &realm, service, &scopes, other.as_ref()),
                };
                self.token_of(&realm, request).await?
            }
        };
        if let Some(value) = refresh {
            let (service, repository) = (service.to_owned(), repository.to_owned());
            session.keep_refresh(Some(Refresh { value, realm, service, repository }));
        }
        let value = token.value.clone();
        session.remember(scopes, token);
        Ok(value)
    }

    async fn token_of(&self, realm: &Url, request: reqwest::RequestBuilder) -> Result<(Token, Option<String>)> {
        let policy = self.retry();
        let mut failures = 0;
        loop {
            let Some(again) = request.try_clone() else {
                return Err(self.token_error(realm, "could not be asked"));
            };
            let outcome = match again.send().await {
                Ok(response) => self.read_token(realm, response).await,
                Err(error) => Err(self.transport_error("", "a token", error)),
            };
            failures += 1;
            let error = match outcome {
                Err(error) if error.is_temporary() => error,
                other => return other,
            };
            let Some(wait) = policy.wait(failures, error.retry_after(), crate::retry::dice()) else {
                return Err(error);
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// The realm of a challenge, by the rules for hops.
    fn realm(&self, base: &Url, text: &str) -> Result<Url> {
        let refused =
            |target: String, rule| Error::Hop { place: self.place(""), kind: "the token realm", target, rule };
        let realm = base.join(text).map_err(|_| refused(printable(text), hop::Refused::Malformed))?;
        hop::check(base, &realm, |url| self.is_insecure(url)).map_err(|rule| refused(hop::origin(&realm), rule))?;
        Ok(realm)
    }

    async fn read_token(&self, realm: &Url, response: reqwest::Response) -> Result<(Token, Option<String>)> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            token: Option<String>,
            #[serde(default)]
            access_token: Option<String>,
            #[serde(default)]
            refresh_token: Option<String>,
            #[serde(default)]
            expires_in: Option<f64>,
        }
        let status = response.status();
        if status != StatusCode::OK {
            if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                let had_credentials = self.endpoint.session.had_credentials();
                let errors = self.explanation(response).await;
                return Err(Error::Unauthorized {
                    place: self.place(""),
                    what: "a token".to_owned(),
                    had_credentials,
                    errors,
                });
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
        let refresh = answer.refresh_token.filter(|value| !value.is_empty());
        // Given up a little early, so that it does not end on its way.
        Ok((Token { value, until: Instant::now() + life - life / 10, life }, refresh))
    }
}

/// OAuth2: by a token that stands for a password.
fn by_refresh_token(
    pool: &reqwest::Client,
    realm: &Url,
    service: &str,
    scopes: &BTreeSet<String>,
    token: &str,
) -> reqwest::RequestBuilder {
    let scope = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token")
        .append_pair("service", service)
        .append_pair("client_id", "estiba")
        .append_pair("scope", &scope)
        .append_pair("refresh_token", token);
    pool.post(realm.clone()).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
}

/// By name and password, or as nobody.
fn by_name(
    pool: &reqwest::Client,
    realm: &Url,
    service: &str,
    scopes: &BTreeSet<String>,
    credential: Option<&Credential>,
) -> reqwest::RequestBuilder {
    let mut asked = realm.clone();
    {
        let mut query = asked.query_pairs_mut();
        if !service.is_empty() {
            query.append_pair("service", service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
        if let Some(Credential::Password { user, .. }) = credential {
            query.append_pair("account", user);
        }
    }
    let request = pool.get(asked);
    match credential {
        Some(Credential::Password { user, password }) => request.basic_auth(user, Some(password)),
        _ => request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_wants_a_token_that_lasts() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        for (left, life, plain, once) in [
            (0, 300, false, false),
            (1, 300, true, false),
            (30, 300, true, false),
            (31, 300, true, true),
            // A short token that is fresh is the best there is.
            (54, 60, true, true),
            (5, 8, true, true),
            (3, 8, true, false),
        ] {
            let token = Token { value: String::new(), until: now + seconds(left), life: seconds(life) };
            assert_eq!((token.holds(now, false), token.holds(now, true)), (plain, once), "{left} of {life}");
        }
    }
}
