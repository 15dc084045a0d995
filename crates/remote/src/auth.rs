//! Logging in: challenges answered, tokens remembered.
//! Specification: distribution's token and OAuth2 specifications.

use std::collections::BTreeSet;
use std::fmt;
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
use crate::session::{LEAST_LIFE, MOST_LIFE, MOST_SCOPES, Refresh, Token, Wanted};

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
        for challenge in &challenges {
            if let Challenge::Bearer { realm, service, scopes: named, .. } = challenge {
                let mut all: BTreeSet<String> = scopes.iter().cloned().collect();
                all.extend(named.iter().take(MOST_SCOPES).cloned());
                let login = self.bearer(base, repository, realm, service, all, false).await?;
                // A realm is remembered once it gave a token.
                session.want(Wanted::Bearer { realm: realm.clone(), service: service.clone() });
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
            session.want(Wanted::Basic);
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
            self.endpoint.session.found_credentials();
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
