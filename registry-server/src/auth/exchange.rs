//! The token endpoint's decisions: credentials in, tokens out.
//! Specifications: distribution's "Token Authentication Specification" (GET) and "Oauth2 Token Authentication" (POST, RFC 6749).

use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use oci::ErrorCode;
use serde::Serialize;

use super::gate::{Gate, Known, Wrong};
use super::{Grant, Method, Peer, Principal, challenge, scope};
use crate::refusal::Refusal;
use crate::time::Instant;

/// What a client asks for, from the query or the form.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// For which registry, where it says so.
    pub service: Option<String>,
    /// `scope`, each as often as it stood there.
    pub scopes: Vec<String>,
    /// Whether a refresh token is wanted, too (`offline_token=true`, `access_type=offline`).
    pub offline: bool,
    /// How it proves itself, besides the header.
    pub proof: Proof,
}

/// What a form holds besides a wish.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: the header counts.
    #[default]
    Header,
    /// `grant_type=password`.
    Password {
        /// Who.
        name: String,
        /// Their password, or a token of an issuer.
        password: String,
    },
    /// `grant_type=refresh_token`.
    Refresh(String),
}

/// The answer, as JSON says it.
#[derive(Serialize)]
pub struct Answer {
    token: String,
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    issued_at: String,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

impl Gate {
    /// Gives a token for what the caller wishes for and may do: perhaps for nothing, which is how `docker login` looks whether a
    /// password is right.
    ///
    /// # Errors
    /// 404 where tokens are off; 400 for another registry; 401 for wrong credentials; 429.
    pub async fn exchange(&self, parts: &Parts, peer: &Peer, wish: &Wish) -> Result<(Principal, Answer), Refusal> {
        let Some(tokens) = &self.tokens else {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                ErrorCode::Unsupported,
                "tokens are off here: log in with each request",
            ));
        };
        if wish.service.as_deref().is_some_and(|service| *service != *tokens.service) {
            let message = "the service is not this registry's; ask for the one in its challenge";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, message));
        }
        let known = match &wish.proof {
            Proof::Header => self.known(parts, peer, false).await,
            Proof::Password { name, password } => self.by_password(name, password, peer.address).await,
            Proof::Refresh(token) => self.by_refresh(token),
        };
        let Known { principal, until } = known.map_err(|wrong| match wrong {
            Wrong::Credentials(message) => challenge::unauthorized(&message, "Basic realm=\"registry\""),
            Wrong::Refused(refusal) => *refusal,
        })?;
        let now = Instant::now();
        let asked = scope::parse(wish.scopes.iter().map(String::as_str));
        // A token that buys another one buys no more than it holds.
        let grant = scope::granted(asked, |action, repository| {
            !principal.is_limited(action, repository) && self.allows(&principal, action, repository)
        });
        let catalog = grant.catalog && principal.grant.as_ref().is_none_or(|held| held.catalog);
        let grant = Grant { catalog, ..grant };
        let issued = tokens.access(&principal, &grant, until, now).map_err(Refusal::internal)?;
        if issued.token.len() > super::jwt::LONGEST {
            let message = "the token would be too long: ask for less, or let the issuer list fewer claims";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, message));
        }
        let answer = Answer {
            access_token: issued.token.clone(),
            token: issued.token,
            token_type: "Bearer",
            expires_in: issued.lifetime.as_secs(),
            issued_at: jiff::Timestamp::from_second(now.0 / 1000).unwrap_or_default().to_string(),
            scope: scope::print(&grant),
            refresh_token: self.refresh_token(&principal, wish, now)?,
        };
        Ok((principal, answer))
    }

    /// A refresh token, for whoever has a password: other credentials are renewed where they come from.
    fn refresh_token(&self, principal: &Principal, wish: &Wish, now: Instant) -> Result<Option<String>, Refusal> {
        if let Proof::Refresh(token) = &wish.proof {
            return Ok(Some(token.clone()));
        }
        let (Some(tokens), Some(passwords)) = (&self.tokens, &self.passwords) else { return Ok(None) };
        if !wish.offline || principal.method != Method::Password || principal.grant.is_some() {
            return Ok(None);
        }
        let Some(fingerprint) = passwords.fingerprint(&principal.name) else { return Ok(None) };
        tokens.refresh(&principal.name, &fingerprint, now).map(Some).map_err(Refusal::internal)
    }

    /// Whom a refresh token names, while their password is the one that it was made for.
    fn by_refresh(&self, token: &str) -> Result<Known, Wrong> {
        let over = || Wrong::Credentials("the refresh token has ended: log in again".to_owned());
        let (Some(tokens), Some(passwords)) = (&self.tokens, &self.passwords) else { return Err(over()) };
        let (name, fingerprint) = tokens.read_refresh(token, Instant::now()).map_err(|_| over())?;
        if passwords.fingerprint(&name).as_deref() != Some(&*fingerprint) {
            return Err(over());
        }
        Ok(Known { principal: self.grouped(Principal::known(Method::Password, name)), until: None })
    }
}

/// Answers of the endpoint hold secrets.
pub(crate) const NOT_KEPT: (http::HeaderName, http::HeaderValue) =
    (CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
