//! Who calls: credentials in, a [`Principal`] out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use http::request::Parts;
use ring::hmac;

use super::Gate;
use crate::auth::header::{self, Credentials};
use crate::auth::passwords::Denied;
use crate::auth::{Method, Peer, Principal, certificate, challenge, jwt};
use crate::refusal::Refusal;
use crate::time::Instant;

/// How long a token is believed without another look, at most: an issuer that takes a key back is heard after this.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// A token that was verified.
#[derive(Debug)]
pub(super) struct Bearer {
    principal: Principal,
    expires: i64,
    until: Clock,
}

/// Somebody whose credentials are good, and until when those are (seconds since 1970), where that is known.
pub(in crate::auth) struct Known {
    pub(in crate::auth) principal: Principal,
    pub(in crate::auth) until: Option<i64>,
}

/// Why nobody is known.
pub(in crate::auth) enum Wrong {
    /// What was shown proves nothing.
    Credentials(String),
    /// Another answer than a challenge.
    Refused(Box<Refusal>),
}

impl From<jwt::Error> for Wrong {
    fn from(error: jwt::Error) -> Self {
        match error {
            jwt::Error::Unavailable => Self::Refused(Box::new(challenge::unavailable(&error))),
            error => Self::Credentials(error.to_string()),
        }
    }
}

impl Gate {
    /// Finds out who calls. Nobody in particular is no error: a right that then fails says what would help.
    /// A header says more than the connection's certificate.
    ///
    /// # Errors
    /// 401 with a challenge where credentials are there and wrong, malformed, or expired; 429 after too many wrong ones.
    pub async fn authenticate(&self, parts: &Parts, peer: &Peer) -> Result<Principal, Refusal> {
        // Only a challenge with a token endpoint names it.
        let origin = self.tokens.as_ref().and_then(|_| header::origin(parts, peer, self.url.as_ref()));
        let way = self.way(origin.as_deref());
        let late = header::is_upload_session(parts);
        let mut principal = match self.known(parts, peer, late).await {
            Ok(known) => known.principal,
            Err(Wrong::Credentials(message)) => {
                let challenge = challenge::challenge(way, None, Some("invalid_token"));
                return Err(challenge::unauthorized(&message, &challenge));
            }
            Err(Wrong::Refused(refusal)) => return Err(*refusal),
        };
        principal.origin = origin;
        Ok(principal)
    }

    /// Whom the request's header, or its connection's certificate, names.
    pub(in crate::auth) async fn known(&self, parts: &Parts, peer: &Peer, late: bool) -> Result<Known, Wrong> {
        // Clients show what they have for this host; where nothing can be checked, it means nothing.
        let credentials = if self.has_logins() || self.tokens.is_some() {
            Credentials::of(parts).map_err(|error| Wrong::Credentials(error.to_string()))?
        } else {
            Credentials::None
        };
        match credentials {
            Credentials::None => Ok(self.by_certificate(peer)),
            Credentials::Basic { name, password } => self.by_password(&name, &password, peer.address).await,
            Credentials::Bearer(token) => {
                let (principal, until) = self.by_token(&token, late).await?;
                Ok(Known { principal, until: Some(until) })
            }
        }
    }

    fn by_certificate(&self, peer: &Peer) -> Known {
        let principal = peer.certificate.as_deref().and_then(certificate::principal);
        // A certificate must not pass for somebody whom an issuer has named.
        let of_issuer = |name: &str| {
            name.split_once(':').is_some_and(|(start, _)| self.issuers.iter().any(|issuer| issuer.name() == start))
        };
        let principal = principal.filter(|principal| !of_issuer(&principal.name));
        Known { principal: self.grouped(principal.unwrap_or_else(Principal::anonymous)), until: None }
    }

    /// A name and a password; a token of an issuer may stand for the password, whatever the name.
    pub(in crate::auth) async fn by_password(
        &self,
        name: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Known, Wrong> {
        // By its looks alone, so that the time that it takes says nothing about names.
        if !self.issuers.is_empty() && jwt::looks_like(password) {
            let (principal, until) = self.by_token(password, false).await?;
            return match principal.method {
                Method::Issuer(_) if principal.grant.is_none() => Ok(Known { principal, until: Some(until) }),
                _ => Err(Wrong::Credentials(jwt::Error::Issuer.to_string())),
            };
        }
        let wrong = || Wrong::Credentials("the name or the password is wrong".to_owned());
        let Some(passwords) = &self.passwords else { return Err(wrong()) };
        match passwords.check(name, password, from).await {
            Ok(()) => {
                let principal = self.grouped(Principal::known(Method::Password, name.to_owned()));
                Ok(Known { principal, until: None })
            }
            Err(Denied::Wrong) => Err(wrong()),
            Err(Denied::Wait(time)) => Err(Wrong::Refused(Box::new(challenge::wait(time)))),
        }
    }

    /// A token of ours or of an issuer.
    async fn by_token(&self, token: &str, late: bool) -> Result<(Principal, i64), Wrong> {
        let key = self.keyed(token);
        let now = Instant::now();
        if let Some(bearer) = self.bearers.get(&key)
            && bearer.until > Clock::now()
            && bearer.expires > now.0 / 1000
        {
            return Ok((bearer.principal.clone(), bearer.expires));
        }
        let parts = jwt::Parts::parse(token)?;
        let ours = self.tokens.as_ref().filter(|tokens| tokens.claims_to_be_ours(&parts));
        let issuer = || self.issuers.iter().find(|issuer| parts.issuer() == Some(issuer.url()));
        let (principal, expires) = match (ours, issuer()) {
            (Some(tokens), _) => tokens.read(&parts, late, now)?,
            (None, Some(issuer)) => issuer.principal(&parts, now).await?,
            (None, None) => return Err(jwt::Error::Issuer.into()),
        };
        let principal = self.grouped(principal);
        let bearer = Bearer { principal: principal.clone(), expires, until: Clock::now() + REMEMBERED_FOR };
        self.bearers.insert(key, Arc::new(bearer));
        Ok((principal, expires))
    }

    pub(in crate::auth) fn grouped(&self, mut principal: Principal) -> Principal {
        if let Some(groups) = self.groups.get(&principal.name).filter(|_| !principal.is_anonymous()) {
            principal.groups.extend(groups.iter().cloned());
        }
        principal
    }

    fn keyed(&self, token: &str) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(hmac::sign(&self.secret, token.as_bytes()).as_ref());
        key
    }
}
