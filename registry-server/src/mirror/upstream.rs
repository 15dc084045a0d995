//! One upstream: where it is asked, when it is left alone, and what its refusals mean to our clients.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode, header};
use oci::{ErrorCode, RepositoryName};
use remote::{Client, Credential, Credentials, Options, Repository, Retry};
use tokio::sync::Semaphore;
use url::Url;

use super::config;
use crate::refusal::Refusal;

/// How long a host that failed is left alone, where it does not say so itself: long enough that not every request waits for
/// its timeout, short enough that its return is soon seen.
const REST: Duration = Duration::from_secs(5);
/// The longest rest that a host may ask for by `Retry-After`.
const LONGEST_REST: Duration = Duration::from_secs(15 * 60);

/// How long a host may take for one question, its tries included: a manifest, a list, the head of a blob.
const LONGEST_ASK: Duration = Duration::from_secs(30);

/// Why an upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its address or certificates.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// An address is no URL.
    #[error("`{0}` is not a URL")]
    Url(String),
    /// The password's file cannot be read.
    #[error("{path}: {source}")]
    Password {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A pattern of repositories.
    #[error(transparent)]
    Pattern(#[from] crate::auth::policy::pattern::Error),
}

/// One registry that is mirrored.
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) ttl: Duration,
    pub(super) negative_ttl: Duration,
    pub(super) largest_blob: u64,
    /// Blobs that are fetched at once.
    pub(super) fetches: Arc<Semaphore>,
    hosts: Vec<Host>,
}

struct Host {
    registry: remote::Registry,
    rests: Mutex<Option<Rest>>,
}

#[derive(Clone, Copy)]
struct Rest {
    until: Instant,
    /// It asked for it (429).
    asked: bool,
}

/// Why an upstream did not give what it was asked for.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// It has no such thing.
    Absent,
    /// It does not let us.
    Refused,
    /// It is down, fails, or wants to be left alone.
    Away {
        /// Whether it said that there are too many requests.
        busy: bool,
        /// When to come back.
        after: Duration,
        cause: String,
    },
    /// What it sends is not what it should be.
    Wrong(String),
    /// We failed: the disk, the metadata.
    Ours(String),
    /// Our disk is full.
    Full,
}

impl Failure {
    /// Whether what is cached may be served instead.
    pub(super) fn may_be_stale(&self) -> bool {
        !matches!(self, Failure::Absent)
    }

    /// What the client is told; `code` says what was not found.
    pub(super) fn refusal(&self, upstream: &str, code: ErrorCode) -> Refusal {
        let plain = |status, message: String, cause: &str| Refusal {
            status,
            code: None,
            message,
            detail: None,
            headers: Vec::new(),
            cause: Some(cause.to_owned()),
        };
        match self {
            Failure::Absent => Refusal::new(StatusCode::NOT_FOUND, code, format!("{upstream} has no such thing")),
            Failure::Refused => Refusal::new(
                StatusCode::NOT_FOUND,
                code,
                format!("{upstream} does not have it, or does not give it to this registry"),
            ),
            Failure::Away { busy, after, cause } => {
                let seconds = HeaderValue::from(after.as_secs().max(1));
                let refusal = if *busy {
                    let message = format!("{upstream} has had too many requests: come back later");
                    Refusal::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message)
                } else {
                    plain(
                        StatusCode::SERVICE_UNAVAILABLE,
                        format!("{upstream} does not answer: come back later"),
                        cause,
                    )
                };
                refusal.with(header::RETRY_AFTER, seconds)
            }
            Failure::Wrong(cause) => {
                plain(StatusCode::BAD_GATEWAY, format!("{upstream} sent something else than it was asked for"), cause)
            }
            Failure::Ours(cause) => Refusal::internal(cause),
            Failure::Full => {
                plain(StatusCode::INSUFFICIENT_STORAGE, "the registry's disk is full".to_owned(), "no space left")
            }
        }
    }

    fn of(error: &remote::Error) -> Self {
        match error {
            error if error.is_not_found() => Failure::Absent,
            error if error.is_temporary() => Failure::Away {
                busy: error.status() == Some(StatusCode::TOO_MANY_REQUESTS),
                after: error.retry_after().unwrap_or(REST).min(LONGEST_REST),
                cause: error.to_string(),
            },
            remote::Error::Unauthorized { .. } => Failure::Refused,
            remote::Error::Status { status, .. } if status.is_client_error() => Failure::Refused,
            other => Failure::Wrong(other.to_string()),
        }
    }
}

impl Upstream {
    pub(super) fn open(section: &config::Upstream, user_agent: &str) -> Result<Self, Error> {
        let mut options = Options {
            user_agent: user_agent.to_owned(),
            credentials: credentials(section)?,
            // A client waits, and what is cached may be served: no long patience here.
            retry: Retry { attempts: 3, first_wait: Duration::from_millis(100), longest_wait: Duration::from_secs(1) },
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            ..Options::default()
        };
        if let Some(path) = &section.ca {
            options.roots.push(remote::Pem::read(path).map_err(remote::Error::from)?);
        }
        let addresses: Vec<Url> = section
            .addresses()
            .into_iter()
            .map(|text| Url::parse(&text).map_err(|_| Error::Url(text)))
            .collect::<Result<_, _>>()?;
        if section.insecure {
            options.insecure.extend(addresses.iter().filter_map(Url::host_str).map(str::to_owned));
        }
        let client = Client::new(options);
        let host = |url: &Url| {
            let registry = client.registry_at(&section.name, url)?;
            Ok::<_, Error>(Host { registry, rests: Mutex::new(None) })
        };
        Ok(Self {
            name: section.name.clone(),
            ttl: section.ttl.get(),
            negative_ttl: section.negative_ttl.get(),
            largest_blob: section.largest_blob.get(),
            fetches: Arc::new(Semaphore::new(section.fetches)),
            hosts: addresses.iter().map(host).collect::<Result<_, _>>()?,
        })
    }

    /// Asks one host after the other until one gives an answer. Hosts that failed lately are not asked.
    pub(super) async fn ask<T, F, A>(&self, name: &RepositoryName, question: F) -> Result<T, Failure>
    where
        F: Fn(Repository) -> A,
        A: Future<Output = remote::Result<T>>,
    {
        let mut failure = None;
        for host in &self.hosts {
            if let Some(resting) = host.resting() {
                failure.get_or_insert(resting);
                continue;
            }
            let asked = tokio::time::timeout(LONGEST_ASK, question(host.registry.repository(name))).await;
            let Ok(asked) = asked else {
                host.rest(REST, false);
                let cause = format!("no answer within {} s", LONGEST_ASK.as_secs());
                failure.get_or_insert(Failure::Away { busy: false, after: REST, cause });
                continue;
            };
            match asked {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let found = Failure::of(&error);
                    tracing::info!(upstream = self.name, repository = name.as_str(), %error, "upstream failed");
                    if let Failure::Away { busy, after, .. } = &found {
                        host.rest(*after, *busy);
                    }
                    // What one host does not have another may; what was said plainly outweighs what was not said.
                    match (&failure, &found) {
                        (Some(Failure::Absent), _) => {}
                        _ => failure = Some(found),
                    }
                }
            }
        }
        Err(failure.unwrap_or(Failure::Absent))
    }

    /// Why an answer broke off in the middle.
    pub(super) fn failed(&self, error: &remote::Error) -> Failure {
        Failure::of(error)
    }
}

impl Host {
    fn resting(&self) -> Option<Failure> {
        let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = (*rests)?;
        let left = rest.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            *rests = None;
            return None;
        }
        Some(Failure::Away { busy: rest.asked, after: left, cause: "it failed a moment ago".to_owned() })
    }

    fn rest(&self, after: Duration, asked: bool) {
        let rest = Rest { until: Instant::now() + after, asked };
        *self.rests.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
    }
}

fn credentials(section: &config::Upstream) -> Result<Credentials, Error> {
    let (Some(user), Some(path)) = (&section.user, &section.password_file) else { return Ok(Credentials::None) };
    let password = read_password(path).map_err(|source| Error::Password { path: path.clone(), source })?;
    let credential = Credential::Password { user: user.clone(), password };
    Ok(Credentials::Given(BTreeMap::from([(section.name.clone(), credential)])))
}

fn read_password(path: &Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().next().unwrap_or_default().trim_end().to_owned())
}
