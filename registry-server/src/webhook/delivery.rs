//! The worker: takes what is due from the outbox, posts it, and says in the outbox what came of it.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::envelope::Envelope;
use super::{Endpoint, Events, Webhook};
use crate::metadata::{self, Metadata, OutboxRow};
use crate::observe::Metrics;
use crate::time::Instant;

/// Rows looked at together.
const BATCH: usize = 512;
/// Deliveries to one receiver at once. A repository's go one after the other.
const LANES: u64 = 4;
/// How long a lane goes on before the outbox is asked again: a slow receiver holds the others up no longer.
const TURN: Duration = Duration::from_secs(5);
/// How often the outbox is asked for what has come due: one row by index.
const POLL: Duration = Duration::from_secs(1);
/// How long to wait when the outbox fails.
const TROUBLE: Duration = Duration::from_secs(5);
/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// What is read of a signing key: more is no key.
const LARGEST_KEY: u64 = 4096;
/// Where events go that nobody took.
const DEAD_LETTERS: &str = "dead-letters.jsonl";

/// A receiver and a group of repositories; `None` for what cannot be read.
type LaneKey = Option<(String, u64)>;

/// Rows with what they hold.
type Rows = Vec<(OutboxRow, Option<Envelope>)>;

/// Delivers events.
pub(crate) struct Worker {
    metadata: Arc<dyn Metadata>,
    metrics: Arc<Metrics>,
    news: Arc<Notify>,
    targets: HashMap<String, Arc<Target>>,
    /// Lanes that failed, and until when: what is new in them waits too, so that it does not overtake.
    held: Mutex<HashMap<LaneKey, Instant>>,
    dead_letters: PathBuf,
    give_up: Duration,
    backoff: Duration,
}

/// A receiver.
struct Target {
    endpoint: Endpoint,
    headers: HeaderMap,
    client: reqwest::Client,
}

/// What came of one try.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Delivered,
    /// Try again, not before this has passed.
    Later {
        reason: String,
        asked: Option<Duration>,
    },
    /// The receiver wants none any more.
    Never(String),
}

/// What came of a lane's rows.
#[derive(Debug, Default)]
struct Done {
    delivered: Vec<i64>,
    /// Given up, with the reason.
    dead: Vec<(i64, String, String)>,
    /// To be tried again at a time.
    postponed: Option<(Vec<i64>, Instant)>,
}

impl Worker {
    /// `None` where nobody is to be told. Other rows of the outbox stay then.
    ///
    /// # Errors
    /// In words, when TLS cannot be set up.
    pub(crate) fn new(
        config: &Webhook,
        events: &Events,
        metrics: Arc<Metrics>,
        root: &Path,
    ) -> Result<Option<Self>, String> {
        if config.endpoint.is_empty() {
            return Ok(None);
        }
        let targets = config.endpoint.iter().map(|endpoint| Ok((endpoint.name().to_owned(), Target::new(endpoint)?)));
        Ok(Some(Self {
            metadata: Arc::clone(&events.metadata),
            metrics,
            news: Arc::clone(&events.news),
            targets: targets.collect::<Result<_, String>>()?,
            held: Mutex::default(),
            dead_letters: root.join(DEAD_LETTERS),
            give_up: config.give_up.get(),
            backoff: config.backoff.get(),
        }))
    }

    /// Delivers until `stop`; what is being posted then is waited for.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let worker = Arc::new(self);
        while !stop.is_cancelled() {
            let wait = match worker.turn(&stop).await {
                Ok(true) => continue,
                Ok(false) => POLL,
                Err(error) => {
                    tracing::error!(%error, "events wait: the outbox cannot be read or written");
                    TROUBLE
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = worker.news.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One look at the outbox; whether there may be more that is due.
    async fn turn(self: &Arc<Self>, stop: &CancellationToken) -> metadata::Result<bool> {
        let rows = self.blocking(|worker| worker.metadata.due_events(Instant::now(), BATCH)).await?;
        let more = rows.len() == BATCH;
        let mut lanes = JoinSet::new();
        for (key, rows) in lanes_of(rows) {
            match self.held_until(&key, Instant::now()) {
                Some(due) => {
                    let waiting = rows.iter().map(|(row, _)| row.sequence).collect();
                    let done = Done { postponed: Some((waiting, due)), ..Done::default() };
                    self.blocking(move |worker| worker.note(done)).await?;
                }
                None => drop(lanes.spawn(Arc::clone(self).lane(key, rows, stop.clone()))),
            }
        }
        let mut went = false;
        while let Some(done) = lanes.join_next().await {
            let Ok(done) = done else { continue };
            went |= !done.delivered.is_empty() || !done.dead.is_empty();
            self.blocking(move |worker| worker.note(done)).await?;
        }
        Ok(more && went)
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> metadata::Result<T> + Send + 'static,
    ) -> metadata::Result<T> {
        let worker = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&worker)).await;
        done.unwrap_or_else(|error| Err(metadata::Error::Database(error.to_string())))
    }

    /// Until when a lane waits, where it does.
    fn held_until(&self, key: &LaneKey, now: Instant) -> Option<Instant> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, due| *due > now);
        held.get(key).copied()
    }

    /// Posts the rows of a lane until one fails, or its turn is over.
    async fn lane(self: Arc<Self>, key: LaneKey, rows: Rows, stop: CancellationToken) -> Done {
        let begun = std::time::Instant::now();
        let mut done = Done::default();
        let mut rows = rows.into_iter();
        while let Some((row, envelope)) = rows.next() {
            if stop.is_cancelled() || begun.elapsed() > TURN {
                break;
            }
            let target = envelope.as_ref().and_then(|envelope| self.targets.get(&envelope.endpoint));
            let (Some(envelope), Some(target)) = (&envelope, target) else {
                done.dead.push((row.sequence, row.event, "the configuration has no such endpoint".to_owned()));
                continue;
            };
            match target.post(envelope).await {
                Outcome::Delivered => {
                    self.metrics.delivered.inc();
                    done.delivered.push(row.sequence);
                }
                Outcome::Never(reason) => done.dead.push((row.sequence, row.event, reason)),
                Outcome::Later { reason, asked } => {
                    self.metrics.deliveries_failed.inc();
                    let now = Instant::now();
                    if now.before(self.give_up) > envelope.at {
                        done.dead.push((row.sequence, row.event, reason));
                        continue;
                    }
                    let pause = pause(row.attempts, self.backoff, asked, jitter());
                    let (endpoint, attempt) = (envelope.endpoint.as_str(), row.attempts + 1);
                    tracing::warn!(endpoint, reason, attempt, pause = ?pause, "an event was not delivered");
                    let behind = rows.map(|(row, _)| row.sequence);
                    let due = now.after(pause);
                    done.postponed = Some(([row.sequence].into_iter().chain(behind).collect(), due));
                    self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(key, due);
                    break;
                }
            }
        }
        done
    }

    /// Says in the outbox what came of a lane.
    fn note(&self, done: Done) -> metadata::Result<()> {
        let mut gone = done.delivered;
        for (sequence, event, reason) in done.dead {
            tracing::error!(reason, event, "an event was given up");
            match self.bury(&event, &reason) {
                Ok(()) => {
                    self.metrics.dead_letters.inc();
                    gone.push(sequence);
                }
                Err(error) => tracing::error!(path = %self.dead_letters.display(), %error, "dead letters"),
            }
        }
        if !gone.is_empty() {
            self.metadata.delivered(&gone)?;
        }
        if let Some((sequences, due)) = done.postponed {
            self.metadata.postpone(&sequences, due)?;
        }
        Ok(())
    }

    fn bury(&self, event: &str, reason: &str) -> std::io::Result<()> {
        let event: serde_json::Value = serde_json::from_str(event).unwrap_or_else(|_| event.into());
        let line = format!("{}\n", serde_json::json!({ "reason": reason, "letter": event }));
        let mut file = std::fs::File::options().create(true).append(true).open(&self.dead_letters)?;
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }
}

/// Rows that go one after the other: by receiver, and a few groups of repositories each.
fn lanes_of(rows: Vec<OutboxRow>) -> BTreeMap<LaneKey, Rows> {
    let mut rows: Rows = rows
        .into_iter()
        .map(|row| (serde_json::from_str(&row.event).ok(), row))
        .map(|(envelope, row)| (row, envelope))
        .collect();
    // Those that were postponed come due later than what they came before.
    rows.sort_by_key(|(row, _)| row.sequence);
    let mut lanes = BTreeMap::<_, Rows>::new();
    for (row, envelope) in rows {
        let key = envelope.as_ref().map(|envelope: &Envelope| {
            let mut hasher = DefaultHasher::new();
            envelope.repository.hash(&mut hasher);
            (envelope.endpoint.clone(), hasher.finish() % LANES)
        });
        lanes.entry(key).or_default().push((row, envelope));
    }
    lanes
}

impl Target {
    fn new(endpoint: &Endpoint) -> Result<Arc<Self>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json; charset=utf-8"));
        for (name, value) in &endpoint.headers {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            let mut value = HeaderValue::try_from(value.expose()).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let client = crate::outbound::client(endpoint.timeout.get())?;
        Ok(Arc::new(Self { endpoint: endpoint.clone(), headers, client }))
    }

    async fn post(&self, envelope: &Envelope) -> Outcome {
        let later = |reason: String| Outcome::Later { reason, asked: None };
        let body = envelope.event.get().to_owned();
        let mut request = self.client.post(&self.endpoint.url).headers(self.headers.clone());
        if let Some(file) = &self.endpoint.secret_file {
            match key(file.clone()).await {
                Ok(key) => request = request.header("X-Estiba-Signature", signature(&key, body.as_bytes())),
                Err(error) => return later(format!("{}: {error}", file.display())),
            }
        }
        match request.body(body).send().await {
            // Its URL may hold a secret.
            Err(error) => later(chain(&error.without_url())),
            Ok(answer) => match answer.status() {
                status if status.is_success() => Outcome::Delivered,
                StatusCode::GONE => Outcome::Never("the endpoint answered 410 Gone".to_owned()),
                status => Outcome::Later { reason: format!("the endpoint answered {status}"), asked: asked(&answer) },
            },
        }
    }
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// How long a receiver asks to be left alone, in seconds; dates are not read.
fn asked(answer: &reqwest::Response) -> Option<Duration> {
    let text = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The signing key: read each time, so that it may change. A newline at its end is the editor's.
async fn key(file: PathBuf) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let read = move || {
        let mut bytes = Vec::new();
        std::fs::File::open(file)?.take(LARGEST_KEY).read_to_end(&mut bytes)?;
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        Ok(bytes)
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// `sha256=<hex>`: HMAC-SHA256 over the body.
fn signature(key: &[u8], body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    let tag = ring::hmac::sign(&key, body);
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// The pause after a failure: doubled with each, spread by a quarter, at least what the receiver asked for.
fn pause(attempts: u32, longest: Duration, asked: Option<Duration>, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(attempts.min(30)).unwrap_or(u32::MAX)).min(longest);
    doubled.mul_f64(0.75 + 0.5 * jitter).max(asked.unwrap_or_default().min(LONGEST_PAUSE))
}

/// Between 0 and 1. That receivers are not all called at the same moment needs no more than these bits.
fn jitter() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn pauses() {
        let longest = Duration::from_secs(3600);
        let seconds = |attempts, asked: Option<u64>, jitter| {
            pause(attempts, longest, asked.map(Duration::from_secs), jitter).as_millis()
        };
        assert_eq!(seconds(0, None, 0.5), 1000);
        assert_eq!(seconds(3, None, 0.5), 8000);
        assert_eq!(seconds(3, None, 0.0), 6000);
        assert_eq!(seconds(3, None, 1.0), 10_000);
        assert_eq!(seconds(1000, None, 0.5), 3_600_000);
        assert_eq!(seconds(0, Some(120), 0.5), 120_000);
        assert_eq!(seconds(0, Some(u64::MAX), 0.5), 86_400_000);
    }

    #[test]
    fn signed_as_others_do() {
        // RFC 4231, test case 2.
        assert_eq!(
            signature(b"Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
