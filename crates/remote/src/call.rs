//! One call from end to end: login, redirects, tries, and what the answer's status means.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use url::Url;

use crate::auth::Login;
use crate::client::{Registry, Repository};
use crate::error::{ApiError, Distrust, Error, RateLimit, Result, chain, parse_errors};
use crate::{hop, retry};

/// What is sent along.
pub(crate) enum Payload {
    /// Nothing.
    Empty,
    /// Bytes that can be sent again.
    Bytes(Bytes),
    /// Bytes that come once: no second try, no redirect.
    Once(Option<reqwest::Body>),
}

/// How long a call that sends may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// As long as whoever sends it allows.
    Watched,
    /// As long as a chunk takes.
    Chunk,
    /// As long as a registry takes to put a large blob in its place: some copy it.
    Finish,
}

/// A chunk may take as long as this many times without a sign of life, and a blob's end as many.
const CHUNK_WAITS: u32 = 5;
const FINISH_WAITS: u32 = 10;

/// A call to be made.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    /// How long an answer may take, where the call sends a part of an upload: such calls are not repeated by
    /// themselves where they carry bytes, since these may have come.
    pub(crate) sending: Option<Wait>,
    /// What the token must allow: `repository:NAME:pull`.
    pub(crate) scopes: Vec<String>,
    pub(crate) repository: String,
    /// For errors: `manifest latest`.
    pub(crate) what: String,
}

impl Call {
    pub(crate) fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        // Values are made of checked words and numbers; one that is not is left out rather than sent otherwise.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    pub(crate) fn sending(mut self, wait: Wait) -> Self {
        self.sending = Some(wait);
        self
    }

    pub(crate) fn also(mut self, scope: String) -> Self {
        self.scopes.push(scope);
        self
    }
}

impl Repository {
    /// A call about this repository; `actions` are what the token must allow: `pull`, `pull,push`, `delete`.
    pub(crate) async fn call(&self, method: Method, path: &str, actions: &str, what: String) -> Result<Call> {
        Ok(self.call_at(method, self.url(path).await?, actions, what))
    }

    pub(crate) fn call_at(&self, method: Method, url: Url, actions: &str, what: String) -> Call {
        let mut call = self.registry.call(method, url, &what);
        call.scopes.push(format!("repository:{}:{actions}", self.name.as_str()));
        self.name.as_str().clone_into(&mut call.repository);
        call
    }

    /// Sends a call, and makes every status but those of `wanted` an error.
    pub(crate) async fn ask(&self, call: Call, wanted: &[StatusCode]) -> Result<reqwest::Response> {
        let what = call.what.clone();
        let response = self.registry.send(call).await?;
        self.registry.expect(response, self.name.as_str(), &what, wanted).await
    }
}

impl Registry {
    pub(crate) fn call(&self, method: Method, url: Url, what: &str) -> Call {
        Call {
            method,
            url,
            headers: HeaderMap::new(),
            payload: Payload::Empty,
            sending: None,
            scopes: Vec::new(),
            repository: String::new(),
            what: what.to_owned(),
        }
    }

    /// Sends a call until it gets an answer that another try would not change.
    pub(crate) async fn send(&self, mut call: Call) -> Result<reqwest::Response> {
        let policy = self.retry();
        let mut failures = 0;
        loop {
            let outcome = self.follow(&mut call).await;
            failures += 1;
            let (asked, again) = match &outcome {
                Ok(response) => {
                    (retry::retry_after(response.headers(), SystemTime::now()), retry::is_temporary(response.status()))
                }
                Err(error) => (error.retry_after(), error.is_temporary()),
            };
            let part = call.sending.is_some() && !matches!(call.payload, Payload::Empty);
            let repeatable = !part && !matches!(call.payload, Payload::Once(_)) && call.method != Method::POST;
            // A POST may have begun something; only where it was refused for now, nothing was.
            let refused = matches!(&outcome, Ok(response) if matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE));
            let may = again && (repeatable || (refused && !matches!(call.payload, Payload::Once(_))));
            let wait = if may { policy.wait(failures, asked, retry::dice()) } else { None };
            let Some(wait) = wait else { return outcome };
            tracing::debug!(registry = self.name(), what = call.what, ?wait, failures, "trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// One try: logs in where the registry asks for it, and follows its redirects.
    async fn follow(&self, call: &mut Call) -> Result<reqwest::Response> {
        let mut first = self.first(call).await?;
        let base = self.base().await?.clone();
        let mut url = call.url.clone();
        // What is sent once must not meet the end of its token: one that ends soon is renewed before.
        let once = matches!(call.payload, Payload::Once(_));
        let mut login = match &first {
            Some(_) => Login::Anonymous,
            None => self.login_for(&base, &call.repository, &call.scopes, once).await?,
        };
        let (mut redirects, mut logins) = (0, 0);
        loop {
            let own = hop::same_origin(&base, &url);
            let response = match first.take() {
                Some(response) => response,
                None => self.once(call, &base, &url, own.then_some(&login)).await?,
            };
            if response.status() == StatusCode::UNAUTHORIZED && own && logins < MOST_LOGINS {
                logins += 1;
                let again = self.answer_challenge(&base, &call.repository, &call.scopes, &login, &response).await?;
                match again {
                    Some(better) if !matches!(call.payload, Payload::Once(None)) => login = better,
                    _ => return Ok(response),
                }
                continue;
            }
            let Some(target) = redirect(&url, call, &response) else { return Ok(response) };
            let forbidden = |rule, target: &Url| Error::Hop {
                place: self.place(&call.repository),
                kind: "a redirect",
                target: hop::origin(target),
                rule,
            };
            let target = target.map_err(|rule| forbidden(rule, &url))?;
            redirects += 1;
            if redirects > self.shared.options.limits.redirects {
                return Err(forbidden(hop::Refused::TooMany, &target));
            }
            // Neither from the registry nor from where we are now: a hop through another host loosens nothing.
            for from in [&base, &url] {
                hop::check(from, &target, |url| self.is_insecure(url)).map_err(|rule| forbidden(rule, &target))?;
            }
            url = target;
        }
    }

    /// The first question to a loopback host is asked as if it spoke plain http. What sounds like an answer is one, and saves
    /// the probe; after anything else, and before anything that changes something, the host is probed.
    async fn first(&self, call: &mut Call) -> Result<Option<reqwest::Response>> {
        let Some(guess) = self.guess().cloned() else {
            self.settle(call).await?;
            return Ok(None);
        };
        if matches!(call.method, Method::GET | Method::HEAD) && hop::same_origin(&guess, &call.url) {
            let url = call.url.clone();
            let answer = self.once(call, &guess, &url, Some(&Login::Anonymous)).await;
            if let Ok(response) = answer
                && response.status() != StatusCode::BAD_REQUEST
            {
                self.guessed();
                return Ok(Some(response));
            }
        }
        self.base().await?;
        self.settle(call).await?;
        Ok(None)
    }

    /// The address of a call that was made of a wrong guess.
    async fn settle(&self, call: &mut Call) -> Result<()> {
        let base = self.base().await?;
        let same = base.host() == call.url.host() && base.port() == call.url.port();
        if same && base.scheme() == "https" && call.url.scheme() == "http" {
            // Both are special schemes, so that one takes the place of the other.
            let _ = call.url.set_scheme("https");
        }
        Ok(())
    }

    async fn once(&self, call: &mut Call, base: &Url, url: &Url, login: Option<&Login>) -> Result<reqwest::Response> {
        let pool = self.pool(base, url, call.sending.is_some())?;
        let mut request = pool.request(call.method.clone(), url.clone()).headers(call.headers.clone());
        if login.is_some() {
            request = request.headers(self.endpoint.headers.clone());
        }
        if let Some(value) = login.and_then(Login::header) {
            request = request.header(header::AUTHORIZATION, value);
        }
        request = match &mut call.payload {
            Payload::Empty if matches!(call.method, Method::POST | Method::PUT | Method::PATCH) => {
                request.header(header::CONTENT_LENGTH, 0)
            }
            Payload::Empty => request,
            Payload::Bytes(bytes) => request.body(bytes.clone()),
            Payload::Once(body) => match body.take() {
                Some(body) => request.body(body),
                None => {
                    return Err(Error::Malformed {
                        place: self.place(&call.repository),
                        what: call.what.clone(),
                        problem: "the registry asked for a stream twice".to_owned(),
                    });
                }
            },
        };
        let idle = self.shared.options.idle_timeout;
        let limit = match call.sending {
            None | Some(Wait::Watched) => None,
            Some(Wait::Chunk) => Some(idle * CHUNK_WAITS),
            Some(Wait::Finish) => Some(idle * FINISH_WAITS),
        };
        let sent = match limit {
            None => request.send().await,
            Some(limit) => match tokio::time::timeout(limit, request.send()).await {
                Ok(sent) => sent,
                Err(_) => return Err(self.stalled(&call.repository, &call.what, limit)),
            },
        };
        sent.map_err(|error| self.transport_error(&call.repository, &call.what, error))
    }

    /// Nothing came for too long.
    pub(crate) fn stalled(&self, repository: &str, what: &str, limit: std::time::Duration) -> Error {
        Error::Transport {
            place: self.place(repository),
            what: what.to_owned(),
            message: format!("no sign of life for {} s", limit.as_secs_f32()),
            connect: false,
        }
    }

    pub(crate) fn transport_error(&self, repository: &str, what: &str, error: reqwest::Error) -> Error {
        let (place, what) = (self.place(repository), what.to_owned());
        match Distrust::of(&error) {
            Some(distrust) => Error::Certificate { place, what, distrust, message: chain(error) },
            None => Error::Transport { place, what, connect: error.is_connect(), message: chain(error) },
        }
    }

    /// Makes every status but those of `wanted` an error, with what the body says of it.
    pub(crate) async fn expect(
        &self,
        response: reqwest::Response,
        repository: &str,
        what: &str,
        wanted: &[StatusCode],
    ) -> Result<reqwest::Response> {
        if wanted.contains(&response.status()) {
            return Ok(response);
        }
        Err(self.refusal(response, repository, what).await)
    }

    /// What an answer that is not wanted says.
    pub(crate) async fn refusal(&self, response: reqwest::Response, repository: &str, what: &str) -> Error {
        let status = response.status();
        let (place, what) = (self.place(repository), what.to_owned());
        let retry_after = retry::retry_after(response.headers(), SystemTime::now());
        let rate_limit = RateLimit::of(response.headers());
        let errors = self.explanation(response).await;
        if status == StatusCode::UNAUTHORIZED {
            let had_credentials = self.endpoint.session.had_credentials();
            return Error::Unauthorized { place, what, had_credentials, errors };
        }
        Error::Status { place, what, status, errors, retry_after, rate_limit }
    }

    /// What an answer's body says of a failure; one that does not come is as good as none.
    pub(crate) async fn explanation(&self, response: reqwest::Response) -> Vec<ApiError> {
        let options = &self.shared.options;
        let body = tokio::time::timeout(options.idle_timeout, head_of(response, options.limits.error)).await;
        parse_errors(&body.unwrap_or_default())
    }

    /// Sends a call and reads the answer's body into memory. An answer that breaks off is asked for again: `call` makes the
    /// call, for each try.
    pub(crate) async fn fetch(
        &self,
        call: impl Fn() -> Call,
        wanted: &[StatusCode],
        limit: u64,
    ) -> Result<(HeaderMap, Bytes)> {
        let policy = self.retry();
        let mut failures = 0;
        loop {
            let call = call();
            let (repository, what) = (call.repository.clone(), call.what.clone());
            let response = self.send(call).await?;
            let response = self.expect(response, &repository, &what, wanted).await?;
            let headers = response.headers().clone();
            let error = match self.read(response, &repository, &what, limit).await {
                Err(error @ Error::Transport { .. }) => error,
                other => return other.map(|body| (headers, body)),
            };
            failures += 1;
            let Some(wait) = policy.wait(failures, None, retry::dice()) else { return Err(error) };
            tracing::debug!(registry = self.name(), what, ?wait, failures, "the answer broke off");
            tokio::time::sleep(wait).await;
        }
    }

    /// Reads a body into memory.
    pub(crate) async fn read(
        &self,
        mut response: reqwest::Response,
        repository: &str,
        what: &str,
        limit: u64,
    ) -> Result<Bytes> {
        let too_large = || Error::TooLarge { place: self.place(repository), what: what.to_owned(), limit };
        let announced = response.content_length();
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport_error(repository, what, error))? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// A challenge that is answered twice and comes again is a refusal.
const MOST_LOGINS: u32 = 2;

/// Where an answer redirects to; `None` where it does not. What carries a body is sent elsewhere only by 307 and 308.
fn redirect(url: &Url, call: &Call, response: &reqwest::Response) -> Option<Result<Url, hop::Refused>> {
    let follows = match response.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => !matches!(call.payload, Payload::Once(_)),
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
            matches!(call.method, Method::GET | Method::HEAD)
        }
        _ => false,
    };
    let location = response.headers().get(header::LOCATION).filter(|_| follows)?;
    let target = location.to_str().ok().and_then(|text| url.join(text).ok());
    Some(target.ok_or(hop::Refused::Malformed))
}

/// The first bytes of an explanation. One that breaks off is as good as none.
async fn head_of(mut response: reqwest::Response, limit: u64) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > limit {
            break;
        }
    }
    body
}
