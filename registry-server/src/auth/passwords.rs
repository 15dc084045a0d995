//! Passwords, checked at a bounded pace.
//!
//! A check takes tens of milliseconds and megabytes by design. So a verdict is kept for some minutes under a keyed
//! hash of name and password (the key is random, and dies with the process); equal checks at the same time are one;
//! few run at once, off the reactor; few wait; and whoever is wrong too often has to wait.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use ring::hmac;
use tokio::sync::Semaphore;

use super::backoff::{ADDRESS, Backoff, NAME};
use super::htpasswd::{Htpasswd, LARGEST, LONGEST_NAME, LONGEST_PASSWORD};
use super::watched::{FileError, Watched};

/// How long a verdict holds while the file stays as it is and nobody asks; whoever keeps working is not checked again, so that a
/// flood of guesses cannot keep them out.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// How many verdicts are kept: 1 MiB.
const REMEMBERED: usize = 8192;
/// Checks at once: each takes a core, and 19 MiB with argon2's defaults.
const AT_ONCE: usize = 2;
/// Checks that may wait: at 20 ms each, the last one waits 2 s.
const WAITING: usize = 200;

/// Why a password was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Wrong, or no such name.
    Wrong,
    /// Too many were wrong, or too many are being checked: try again after this.
    Wait(Duration),
}

#[derive(Debug, Clone, Copy)]
struct Verdict {
    right: bool,
    generation: u64,
    until: Instant,
}

/// A keyed hash of name and password.
type Key = [u8; 32];

/// The htpasswd file and what has been found out about it.
#[derive(Debug)]
pub(crate) struct Passwords {
    file: Watched<Htpasswd>,
    secret: hmac::Key,
    verdicts: Cache<Key, Verdict>,
    permits: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    addresses: Mutex<Backoff<IpAddr>>,
    names: Mutex<Backoff<Key>>,
}

impl Passwords {
    /// Reads the file; `secret` is a random key of this process.
    pub(crate) fn open(path: &std::path::Path, secret: hmac::Key) -> Result<Self, FileError> {
        let file = Watched::open(path, LARGEST, Htpasswd::parse)?;
        Ok(Self {
            file,
            secret,
            verdicts: Cache::new(REMEMBERED),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            addresses: Mutex::new(Backoff::new(ADDRESS)),
            names: Mutex::new(Backoff::new(NAME)),
        })
    }

    /// Looks at once whether the file changed.
    pub(crate) fn reload(&self) {
        self.file.reload();
    }

    /// What stands for a caller's password today; `None` for unknown names.
    pub(crate) fn fingerprint(&self, name: &str) -> Option<String> {
        self.file.get().fingerprint(name)
    }

    /// Checks a name and a password.
    pub(crate) async fn check(&self, name: &str, password: &str, from: Option<IpAddr>) -> Result<(), Denied> {
        if name.is_empty() || name.len() > LONGEST_NAME || password.len() > LONGEST_PASSWORD {
            return Err(Denied::Wrong);
        }
        let key = self.key(name, password);
        let generation = self.file.get().generation;
        let holds = |verdict: &Verdict| verdict.generation == generation && verdict.until > Instant::now();
        // Checks of the same pair wait here for the first one's verdict. One that is over makes room for a new one.
        let guard = loop {
            match self.verdicts.get_value_or_guard_async(&key).await {
                Ok(verdict) if holds(&verdict) => {
                    self.prolong(key, verdict);
                    return verdict.result();
                }
                Ok(_) => drop(self.verdicts.remove_if(&key, |verdict| !holds(verdict))),
                Err(guard) => break guard,
            }
        };
        let right = self.compute(name, password, from).await?;
        let verdict = Verdict { right, generation, until: Instant::now() + REMEMBERED_FOR };
        // Not kept only where somebody removed its place meanwhile.
        let _ = guard.insert(verdict);
        verdict.result()
    }

    /// A right password that is used stays remembered. Written seldom: reading is shared, writing is not.
    fn prolong(&self, key: Key, verdict: Verdict) {
        let now = Instant::now();
        if verdict.right && verdict.until.saturating_duration_since(now) < REMEMBERED_FOR / 2 {
            self.verdicts.insert(key, Verdict { until: now + REMEMBERED_FOR, ..verdict });
        }
    }

    /// Checks for real, where the pace allows it.
    async fn compute(&self, name: &str, password: &str, from: Option<IpAddr>) -> Result<bool, Denied> {
        let named = self.key(name, "");
        let from = from.and_then(counted);
        self.take(from, named)?;
        // Whoever comes beyond those that wait is sent away: else a flood would keep everybody waiting.
        let Ok(_place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            self.give_back(from, &named);
            return Err(Denied::Wait(Duration::from_secs(1)));
        };
        // The permit goes with the check: it counts until it is done, even if the caller goes away.
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return Err(Denied::Wrong) };
        let file = Arc::clone(&self.file.get());
        let (name, password) = (name.to_owned(), password.to_owned());
        let check = tokio::task::spawn_blocking(move || {
            let right = file.verify(&name, password.as_bytes());
            drop(permit);
            right
        });
        let right = check.await.unwrap_or(false);
        if right {
            self.give_back(from, &named);
        }
        Ok(right)
    }

    fn take(&self, from: Option<IpAddr>, name: Key) -> Result<(), Denied> {
        let now = Instant::now();
        if let Some(from) = from {
            locked(&self.addresses).take(from, now).map_err(Denied::Wait)?;
        }
        locked(&self.names).take(name, now).map_err(Denied::Wait)
    }

    fn give_back(&self, from: Option<IpAddr>, name: &Key) {
        if let Some(from) = from {
            locked(&self.addresses).give_back(&from);
        }
        locked(&self.names).give_back(name);
    }

    fn key(&self, name: &str, password: &str) -> Key {
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(&(name.len() as u64).to_le_bytes());
        context.update(name.as_bytes());
        context.update(password.as_bytes());
        let tag = context.sign();
        let mut key = [0; 32];
        key.copy_from_slice(tag.as_ref());
        key
    }
}

impl Verdict {
    fn result(self) -> Result<(), Denied> {
        if self.right { Ok(()) } else { Err(Denied::Wrong) }
    }
}

/// What is counted as one address: for IPv6 the network that one customer gets. This machine's own is not: a proxy
/// on it speaks for everybody.
fn counted(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(address) => Some(IpAddr::V4(address)),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::htpasswd::{Kind, line};

    fn passwords(lines: &[String]) -> (tempfile::TempDir, Passwords) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        std::fs::write(&path, lines.join("\n")).unwrap();
        let passwords = Passwords::open(&path, hmac::Key::new(hmac::HMAC_SHA256, b"test")).unwrap();
        (folder, passwords)
    }

    fn outside(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn verdicts_are_remembered_until_the_file_changes() {
        let (folder, passwords) = passwords(&[line("alice", "one", Kind::Bcrypt(4)).unwrap()]);
        assert_eq!(passwords.check("alice", "one", None).await, Ok(()));
        assert_eq!(passwords.check("alice", "one", None).await, Ok(()));
        assert_eq!(passwords.check("alice", "two", None).await, Err(Denied::Wrong));
        assert_eq!(passwords.verdicts.len(), 2);
        let (key, soon) = (passwords.key("alice", "one"), Instant::now() + Duration::from_secs(1));
        let verdict = passwords.verdicts.get(&key).unwrap();
        passwords.verdicts.insert(key, Verdict { until: soon, ..verdict });
        assert_eq!(passwords.check("alice", "one", None).await, Ok(()));
        assert!(passwords.verdicts.get(&key).unwrap().until > soon, "whoever is at work stays in");
        std::fs::write(folder.path().join("htpasswd"), line("alice", "two", Kind::Bcrypt(4)).unwrap()).unwrap();
        passwords.reload();
        assert_eq!(passwords.check("alice", "one", None).await, Err(Denied::Wrong));
        assert_eq!(passwords.check("alice", "two", None).await, Ok(()));
    }

    #[tokio::test]
    async fn whoever_guesses_waits_and_whoever_is_right_does_not() {
        let (_folder, passwords) = passwords(&[line("alice", "one", Kind::Bcrypt(4)).unwrap()]);
        assert_eq!(passwords.check("alice", "one", outside(2)).await, Ok(()));
        let mut waits = 0;
        for guess in 0..30 {
            match passwords.check("alice", &format!("guess {guess}"), outside(1)).await {
                Err(Denied::Wait(wait)) => {
                    assert!(wait > Duration::ZERO);
                    waits += 1;
                }
                other => assert_eq!(other, Err(Denied::Wrong)),
            }
        }
        assert!(waits >= 9, "{waits}");
        assert_eq!(passwords.check("alice", "one", outside(2)).await, Ok(()), "another address, remembered");
        assert!(matches!(passwords.check("alice", "two", outside(3)).await, Err(Denied::Wrong)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn equal_checks_are_one_and_a_flood_is_sent_away() {
        let (_folder, passwords) = passwords(&[line("alice", "one", Kind::Bcrypt(4)).unwrap()]);
        let passwords = Arc::new(passwords);
        let equal: Vec<_> = (0..64)
            .map(|_| {
                let passwords = Arc::clone(&passwords);
                tokio::spawn(async move { passwords.check("alice", "one", outside(1)).await })
            })
            .collect();
        for check in equal {
            assert_eq!(check.await.unwrap(), Ok(()));
        }
        // None of the slots may be free: whoever comes is told to come back, and costs nothing.
        let _all = Arc::clone(&passwords.waiting).acquire_many_owned(u32::try_from(WAITING).unwrap()).await.unwrap();
        assert!(matches!(passwords.check("bob", "x", outside(1)).await, Err(Denied::Wait(_))));
    }

    /// Loosely: that an unknown name costs a hash like a known one, not that it costs exactly as much.
    #[tokio::test]
    async fn unknown_names_cost_what_known_ones_cost() {
        let (_folder, passwords) = passwords(&[line("alice", "one", Kind::Bcrypt(8)).unwrap()]);
        let mut spent = [Duration::ZERO; 2];
        for round in 0..5 {
            for (which, name) in ["alice", "nobody"].into_iter().enumerate() {
                let started = Instant::now();
                assert_eq!(passwords.check(name, &format!("wrong {round}"), None).await, Err(Denied::Wrong));
                spent[which] += started.elapsed();
            }
        }
        let ratio = spent[0].as_secs_f64() / spent[1].as_secs_f64();
        assert!((0.2..5.0).contains(&ratio), "known {:?}, unknown {:?}", spent[0], spent[1]);
    }

    #[test]
    fn addresses_are_counted_by_customer() {
        let of = |text: &str| counted(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::4"), of("2001:db8:1:3::4"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("127.0.0.1"), None);
        assert_eq!(of("::ffff:127.0.0.1"), None);
    }
}
