//! What is remembered of a registry: what it wants, and the tokens that it takes.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode, header};
use url::Url;

use crate::auth::Login;
use crate::challenge::{self, Challenge};
use crate::scope;

/// What a registry was found to want, and the tokens that it takes.
#[derive(Default)]
pub(crate) struct Session {
    wanted: Mutex<Wanted>,
    tokens: Mutex<HashMap<BTreeSet<String>, Token>>,
    /// A refresh token that came with a token: asked with instead of the password, as long as the realm takes it.
    refresh: Mutex<Option<Refresh>>,
    /// One token is fetched at a time: those who wait find it remembered.
    pub(crate) fetching: tokio::sync::Mutex<()>,
    had_credentials: AtomicBool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
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
pub(crate) struct Token {
    pub(crate) value: String,
    pub(crate) until: Instant,
    pub(crate) life: Duration,
}

impl Token {
    /// Whether it holds at `now`, and, for what is sent once and takes long, not only just.
    fn holds(&self, now: Instant, once: bool) -> bool {
        let least = if once { (self.life / 2).min(SOON) } else { Duration::ZERO };
        self.until.saturating_duration_since(now) > least
    }
}

#[derive(Clone)]
pub(crate) struct Refresh {
    pub(crate) value: String,
    pub(crate) realm: Url,
    pub(crate) service: String,
    /// Credentials may differ between repositories.
    pub(crate) repository: String,
}

/// Tokens that are remembered for one registry; beyond, all are forgotten.
const MOST_TOKENS: usize = 1000;
/// What a token that says nothing lasts (the specification's default), and what is the least we believe.
pub(crate) const LEAST_LIFE: Duration = Duration::from_secs(60);
/// No token is remembered for longer, whatever it says.
pub(crate) const MOST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A token that ends within this time is renewed before a stream begins, which cannot be sent twice.
const SOON: Duration = Duration::from_secs(30);
/// Scopes of one token.
pub(crate) const MOST_SCOPES: usize = 16;

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
    pub(crate) fn want(&self, wanted: Wanted) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
    }

    pub(crate) fn found_credentials(&self) {
        self.had_credentials.store(true, Ordering::Relaxed);
    }

    pub(crate) fn had_credentials(&self) -> bool {
        self.had_credentials.load(Ordering::Relaxed)
    }

    pub(crate) fn wanted(&self) -> Wanted {
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
            self.want(wanted);
        }
    }

    pub(crate) fn token(&self, scopes: &BTreeSet<String>, once: bool) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let valid =
            |entry: &(&BTreeSet<String>, &Token)| entry.1.holds(now, once) && scope::all_covered(entry.0, scopes);
        tokens.iter().find(valid).map(|(_, token)| token.value.clone())
    }

    pub(crate) fn refresh(&self, realm: &Url, service: &str, repository: &str) -> Option<String> {
        let kept = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &&Refresh| kept.realm == *realm && kept.service == service && kept.repository == repository;
        kept.as_ref().filter(same).map(|kept| kept.value.clone())
    }

    pub(crate) fn keep_refresh(&self, refresh: Option<Refresh>) {
        *self.refresh.lock().unwrap_or_else(PoisonError::into_inner) = refresh;
    }

    pub(crate) fn remember(&self, scopes: BTreeSet<String>, token: Token) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        tokens.retain(|_, token| token.until > now);
        if tokens.len() >= MOST_TOKENS {
            tokens.clear();
        }
        tokens.insert(scopes, token);
    }

    pub(crate) fn forget(&self, login: &Login) {
        let Login::Sent(value) = login else { return };
        let Some(word) = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")) else { return };
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, token| token.value != word);
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
