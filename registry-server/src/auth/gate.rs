//! The gate: every request passes it once, and every right is asked of it.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use http::request::Parts;
use oci::{RepositoryName, Tag};
use quick_cache::sync::Cache;
use ring::hmac;
use ring::rand::SystemRandom;

use super::challenge::{self, Way};
use super::header::{self, Credentials};
use super::issuer::Issuer;
use super::passwords::{Denied, Passwords};
use super::policy::{self, Policy};
use super::proof::{Administer, Catalog, Delete, Pull, Push};
use super::token::Tokens;
use super::watched::{FileError, Watched};
use super::{Action, Anonymous, Auth, Method, Peer, Principal, certificate, jwt, keys, scope};
use crate::metadata::Existing;
use crate::refusal::Refusal;
use crate::time::Instant;

/// How many verified tokens are remembered: 4 MiB.
const REMEMBERED: usize = 4096;
/// How long a token is believed without another look, at most: an issuer that takes a key back is heard after this.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// What the gate must know besides its own section.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The folder of the keys that sign our tokens; made at first use.
    pub keys: PathBuf,
    /// `[server] url`, where it is set.
    pub url: Option<String>,
    /// Whether every address is of this machine: then no configuration at all leaves everything open.
    pub local: bool,
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Others could reach a server that anybody may write to.
    #[error("the registry would listen beyond this machine, and nothing says who may use it")]
    Unguarded,
    /// The htpasswd or the policy file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The keys that sign our tokens are wrong.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The kernel gave no random bytes.
    #[error("no random bytes")]
    Random,
}

/// Who may do what here.
#[derive(Debug)]
pub struct Gate {
    everybody: Anonymous,
    pub(super) passwords: Option<Passwords>,
    policy: Option<Watched<Policy>>,
    pub(super) tokens: Option<Tokens>,
    issuers: Vec<Arc<Issuer>>,
    /// Groups of the configuration, by member.
    groups: HashMap<String, BTreeSet<String>>,
    administrators: Vec<String>,
    url: Option<Arc<str>>,
    secret: hmac::Key,
    bearers: Cache<[u8; 32], Arc<Bearer>>,
}

/// A token that was verified.
#[derive(Debug)]
struct Bearer {
    principal: Principal,
    expires: i64,
    until: Clock,
}

/// Somebody whose credentials are good, and until when those are (seconds since 1970), where that is known.
pub(super) struct Known {
    pub(super) principal: Principal,
    pub(super) until: Option<i64>,
}

impl Gate {
    /// Reads what the section names: htpasswd, policy, keys. Costs no network.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong; [`Error::Unguarded`].
    pub fn open(auth: &Auth, surroundings: &Surroundings) -> Result<Self, Error> {
        if !auth.is_configured() && !surroundings.local {
            return Err(Error::Unguarded);
        }
        let everybody = match auth.anonymous {
            Some(level) => level,
            None if auth.is_configured() => Anonymous::None,
            None => Anonymous::All,
        };
        let mut gate = Self::bare(everybody)?;
        let (passwords, policies) = (auth.htpasswd.as_deref(), auth.policy.as_deref());
        gate.passwords = passwords.map(|path| Passwords::open(path, gate.secret.clone())).transpose()?;
        gate.policy = policies.map(|path| Watched::open(path, policy::LARGEST, Policy::parse)).transpose()?;
        let url = surroundings.url.as_deref().map(|url| url.trim_end_matches('/'));
        if auth.token.enabled {
            gate.tokens = Some(Tokens::open(&auth.token, &surroundings.keys, url, Instant::now())?);
        }
        gate.issuers = auth.issuer.iter().map(|issuer| Arc::new(Issuer::new(issuer))).collect();
        for (group, members) in &auth.groups {
            for member in members {
                gate.groups.entry(member.clone()).or_default().insert(group.clone());
            }
        }
        gate.administrators = auth.administrators.clone();
        gate.url = url.map(Arc::from);
        Ok(gate)
    }

    /// Everybody may do everything: what a server is that nobody configured and only this machine reaches.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn unguarded() -> Result<Self, Error> {
        Self::bare(Anonymous::All)
    }

    fn bare(everybody: Anonymous) -> Result<Self, Error> {
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| Error::Random)?;
        Ok(Self {
            everybody,
            passwords: None,
            policy: None,
            tokens: None,
            issuers: Vec::new(),
            groups: HashMap::new(),
            administrators: Vec::new(),
            url: None,
            secret,
            bearers: Cache::new(REMEMBERED),
        })
    }

    /// Looks at once whether the htpasswd and the policy file changed; otherwise they are looked at once a second.
    pub fn reload(&self) {
        if let Some(passwords) = &self.passwords {
            passwords.reload();
        }
        if let Some(policy) = &self.policy {
            policy.reload();
        }
    }

    // --- who

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
    pub(super) async fn known(&self, parts: &Parts, peer: &Peer, late: bool) -> Result<Known, Wrong> {
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
    pub(super) async fn by_password(&self, name: &str, password: &str, from: Option<IpAddr>) -> Result<Known, Wrong> {
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

    pub(super) fn grouped(&self, mut principal: Principal) -> Principal {
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

    // --- what

    /// `GET /v2/`: clients learn here how to log in, so where one can, it refuses whoever has not.
    ///
    /// # Errors
    /// 401 with a challenge.
    pub fn base(&self, principal: &Principal) -> Result<(), Refusal> {
        if principal.is_anonymous() && principal.grant.is_none() && self.has_logins() {
            return Err(self.login(principal, None, None));
        }
        Ok(())
    }

    /// May the caller read here?
    ///
    /// # Errors
    /// 401 with a challenge where logging in, or a broader token, may help; else 403.
    pub fn pull(&self, principal: &Principal, repository: &RepositoryName) -> Result<Pull, Refusal> {
        self.require(principal, Action::Pull, repository)?;
        Ok(Pull::granted(repository.clone(), principal.actor()))
    }

    /// May the caller upload here and make new tags?
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn push(&self, principal: &Principal, repository: &RepositoryName) -> Result<Push, Refusal> {
        self.require(principal, Action::Push, repository)?;
        let update = self.may(principal, Action::Update, repository);
        Ok(Push::granted(repository.clone(), principal.actor(), update))
    }

    /// May the caller delete here?
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn delete(&self, principal: &Principal, repository: &RepositoryName) -> Result<Delete, Refusal> {
        self.require(principal, Action::Delete, repository)?;
        Ok(Delete::granted(repository.clone(), principal.actor()))
    }

    /// May the caller list repositories? Which ones, [`Self::shows`] says.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn catalog(&self, principal: &Principal) -> Result<Catalog, Refusal> {
        match &principal.grant {
            Some(grant) if !grant.catalog => {
                return Err(self.login(principal, Some(scope::CATALOG), Some("insufficient_scope")));
            }
            None if principal.is_anonymous() && self.has_logins() && !self.everybody.allows(Action::Pull) => {
                return Err(self.login(principal, Some(scope::CATALOG), None));
            }
            _ => {}
        }
        // A token that grants the list grants all of it that its bearer may pull.
        Ok(Catalog { principal: Principal { grant: None, ..principal.clone() } })
    }

    /// Whether a repository is in this caller's list.
    pub fn shows(&self, catalog: &Catalog, repository: &RepositoryName) -> bool {
        self.allows(&catalog.principal, Action::Pull, repository)
    }

    /// Whether the caller may do something, where the answer is no refusal: sources of a mount, lists.
    pub fn may(&self, principal: &Principal, action: Action, repository: &RepositoryName) -> bool {
        !principal.is_limited(action, repository) && self.allows(principal, action, repository)
    }

    /// What a tag's being there means for this push.
    pub fn tag(&self, push: &Push, tag: &Tag) -> Existing {
        match (self.immutable(push.repository(), tag), push.may_update()) {
            (true, _) => Existing::Immutable,
            (false, true) => Existing::Move,
            (false, false) => Existing::Deny,
        }
    }

    /// Whether a tag, once there, may neither move nor go.
    pub fn immutable(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.get().immutable(repository, tag).is_some())
    }

    /// May the caller look behind the scenes?
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn administer(&self, principal: &Principal) -> Result<Administer, Refusal> {
        let listed = |entry: &String| match entry.strip_prefix('@') {
            Some(group) => principal.groups.contains(group),
            None => !principal.is_anonymous() && *entry == principal.name,
        };
        let open = self.everybody == Anonymous::All;
        // A token grants what it names and no more.
        let listed = principal.grant.is_none() && self.administrators.iter().any(listed);
        if open || principal.method == Method::Local || listed {
            return Ok(Administer::granted(principal.actor()));
        }
        if principal.is_anonymous() && self.has_logins() {
            return Err(self.login(principal, None, None));
        }
        Err(challenge::denied("only administrators may look at this"))
    }

    /// Whether the policy, or where there is none, being somebody, allows it; whatever a token limits.
    pub(super) fn allows(&self, principal: &Principal, action: Action, repository: &RepositoryName) -> bool {
        if principal.method == Method::Local {
            return true;
        }
        match &self.policy {
            Some(policy) => policy.get().decide(principal, action, repository, self.everybody).is_allowed(),
            None => !principal.is_anonymous() || self.everybody.allows(action),
        }
    }

    fn require(&self, principal: &Principal, action: Action, repository: &RepositoryName) -> Result<(), Refusal> {
        let (allowed, limited) = (self.allows(principal, action, repository), principal.is_limited(action, repository));
        if allowed && !limited {
            return Ok(());
        }
        let wanted = || scope::wanted(action, repository);
        if principal.grant.is_some() && (allowed || principal.is_anonymous()) {
            return Err(self.login(principal, Some(&wanted()), Some("insufficient_scope")));
        }
        if principal.is_anonymous() && self.has_logins() {
            return Err(self.login(principal, Some(&wanted()), None));
        }
        Err(challenge::denied(&format!("you may not {action} {repository}")))
    }

    fn login(&self, principal: &Principal, scope: Option<&str>, error: Option<&str>) -> Refusal {
        let challenge = challenge::challenge(self.way(principal.origin.as_deref()), scope, error);
        challenge::unauthorized("log in to do this", &challenge)
    }

    fn way<'a>(&'a self, origin: Option<&'a str>) -> Way<'a> {
        match (&self.tokens, origin) {
            (Some(tokens), Some(origin)) => Way::Bearer { origin, service: &tokens.service },
            _ => Way::Basic,
        }
    }

    /// Whether there is a way to log in with a header.
    fn has_logins(&self) -> bool {
        self.passwords.is_some() || !self.issuers.is_empty()
    }
}

/// Why nobody is known.
pub(super) enum Wrong {
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

#[cfg(test)]
mod tests;
