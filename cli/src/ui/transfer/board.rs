//! What is known of a transfer's items: pure, with the time handed in.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use builder::transfer::{Direction, Item, ItemKind, Step};

use crate::duration;
use crate::ui::style;

/// Rates are those of the last seconds: what was before says little about what is left.
const WINDOW: Duration = Duration::from_secs(5);

/// Digits of a digest that are shown.
const SHOWN: usize = 12;

/// The items of the transfer that goes on.
pub(super) struct Board {
    pub(super) direction: Direction,
    /// What the user calls the image.
    pub(super) what: String,
    pub(super) began: Instant,
    pub(super) rows: BTreeMap<u32, Row>,
}

/// An item.
pub(super) struct Row {
    pub(super) label: String,
    pub(super) kind: ItemKind,
    /// Bytes that are there, those of earlier tries included.
    pub(super) done: u64,
    /// Of so many, where that is known.
    pub(super) total: Option<u64>,
    /// What it does at the moment, where that is not "moving".
    pub(super) note: String,
    pub(super) began: Option<Instant>,
    pub(super) over: bool,
    /// When how much was there.
    samples: VecDeque<(Instant, u64)>,
}

/// "pulling", "pushing", "copying".
pub(super) fn doing(direction: Direction) -> &'static str {
    match direction {
        Direction::Pull => "pulling",
        Direction::Push => "pushing",
        Direction::Copy => "copying",
    }
}

/// "pulled", "pushed", "copied".
pub(super) fn did(direction: Direction) -> &'static str {
    match direction {
        Direction::Pull => "pulled",
        Direction::Push => "pushed",
        Direction::Copy => "copied",
    }
}

impl Board {
    pub(super) fn new(direction: Direction, what: &str, now: Instant) -> Self {
        Self { direction, what: style::harmless(what), began: now, rows: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, items: &[Item]) {
        for item in items {
            self.rows.insert(item.number, Row::new(item));
        }
    }

    /// Takes a step of an item. Gives the item's last words where it is over.
    pub(super) fn step(&mut self, number: u32, step: &Step, now: Instant) -> Option<String> {
        let did = did(self.direction);
        let row = self.rows.get_mut(&number)?;
        match step {
            Step::Waiting => row.note = "waiting for another process".to_owned(),
            Step::Resumed { at } => {
                row.start(now);
                row.done = *at;
                row.note = format!("resumed at {}", duration::size(*at));
                row.samples.clear();
                row.samples.push_back((now, *at));
            }
            Step::Moved { done, total } => {
                row.start(now);
                if row.note.starts_with("waiting") || row.note.starts_with("trying") {
                    row.note.clear();
                }
                row.done = *done;
                row.total = total.or(row.total);
                row.sample(now);
            }
            Step::Retried { why } => row.note = format!("trying again: {}", style::harmless(why)),
            Step::Exists => return Some(row.end("already there".to_owned())),
            Step::Mounted { from: Some(from) } => {
                return Some(row.end(format!("mounted from {}", style::harmless(from))));
            }
            Step::Mounted { from: None } => {
                return Some(row.end("mounted from another repository".to_owned()));
            }
            Step::Done { moved, .. } => {
                let took = row.began.map_or(Duration::ZERO, |began| now.duration_since(began));
                return Some(row.end(format!("{did} {} in {}", duration::size(*moved), seconds(took))));
            }
        }
        None
    }

    /// The line that stands for the whole transfer in the end.
    pub(super) fn summary(&self, moved: u64, now: Instant) -> String {
        let did = did(self.direction);
        let took = now.duration_since(self.began);
        match moved {
            0 => format!("{did} {}: nothing had to move ({})", self.what, seconds(took)),
            moved => format!("{did} {}: {} in {}", self.what, duration::size(moved), seconds(took)),
        }
    }
}

impl Row {
    fn new(item: &Item) -> Self {
        let hex = item.digest.hex();
        Self {
            label: hex.chars().take(SHOWN).collect(),
            kind: item.kind,
            done: 0,
            total: item.size,
            note: String::new(),
            began: None,
            over: false,
            samples: VecDeque::new(),
        }
    }

    /// Whether it is worth a line: a document is there in no time.
    pub(super) fn is_layer(&self) -> bool {
        self.kind == ItemKind::Layer
    }

    fn start(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        if self.samples.is_empty() {
            self.samples.push_back((now, self.done));
        }
    }

    fn sample(&mut self, now: Instant) {
        self.samples.push_back((now, self.done));
        while self.samples.len() > 2 && self.samples[1].0 + WINDOW < now {
            self.samples.pop_front();
        }
    }

    fn end(&mut self, words: String) -> String {
        self.over = true;
        words
    }

    /// Bytes a second, lately; `None` until something has moved.
    pub(super) fn rate(&self, now: Instant) -> Option<u64> {
        let (since, before) = self.samples.front()?;
        let took = now.duration_since(*since).as_secs_f64();
        let moved = self.done.saturating_sub(*before);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is shown with three digits"
        )]
        (took > 0.0 && moved > 0).then(|| (moved as f64 / took) as u64)
    }

    /// `45% of 96.2MB, 38MB/s, 1s left`.
    pub(super) fn words(&self, now: Instant) -> String {
        let mut words = match self.total {
            Some(total) if total > 0 => {
                format!("{}% of {}", self.done.min(total) * 100 / total, duration::size(total))
            }
            _ => duration::size(self.done),
        };
        if let Some(rate) = self.rate(now).filter(|rate| *rate > 0) {
            words.push_str(&format!(", {}/s", duration::size(rate)));
            if let Some(left) = self.total.and_then(|total| total.checked_sub(self.done)).filter(|left| *left > 0) {
                words.push_str(&format!(", {} left", clock(left.div_ceil(rate))));
            }
        }
        if !self.note.is_empty() {
            words.push_str(&format!(", {}", self.note));
        }
        words
    }
}

/// `0.4s`, `12.0s`, `2m05s`.
pub(super) fn seconds(took: Duration) -> String {
    if took.as_secs() < 60 { format!("{:.1}s", took.as_secs_f64()) } else { clock(took.as_secs()) }
}

/// `6s`, `2m05s`, `1h02m`.
fn clock(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::Digest;

    fn board(now: Instant) -> Board {
        let mut board = Board::new(Direction::Pull, "app", now);
        let digest = Digest::sha256(b"x");
        board.add(&[Item { number: 0, kind: ItemKind::Layer, digest, size: Some(10_000_000) }]);
        board
    }

    #[test]
    fn what_moves_has_a_rate_and_an_end() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut board = board(start);
        assert_eq!(board.step(0, &Step::Moved { done: 0, total: None }, at(0)), None);
        assert_eq!(board.step(0, &Step::Moved { done: 2_500_000, total: None }, at(1)), None);
        assert_eq!(board.rows[&0].words(at(1)), "25% of 10MB, 2.5MB/s, 3s left");
        let ended = board.step(0, &Step::Done { moved: 10_000_000, digest: Digest::sha256(b"x") }, at(4));
        assert_eq!(ended.as_deref(), Some("pulled 10MB in 4.0s"));
        assert!(board.rows[&0].over);
    }

    #[test]
    fn what_was_there_before_is_not_counted_into_the_rate() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut board = board(start);
        board.step(0, &Step::Resumed { at: 8_000_000 }, at(0));
        board.step(0, &Step::Moved { done: 9_000_000, total: None }, at(1));
        assert_eq!(board.rows[&0].words(at(1)), "90% of 10MB, 1MB/s, 1s left, resumed at 8MB");
    }

    #[test]
    fn the_rate_is_a_recent_one() {
        let start = Instant::now();
        let mut board = board(start);
        for second in 0..=20 {
            let done = if second < 10 { second * 100_000 } else { 1_000_000 + (second - 10) * 500_000 };
            board.step(0, &Step::Moved { done, total: None }, start + Duration::from_secs(second));
        }
        assert_eq!(board.rows[&0].rate(start + Duration::from_secs(20)), Some(500_000));
    }

    #[test]
    fn other_ends() {
        let now = Instant::now();
        for (step, words) in [
            (Step::Exists, "already there"),
            (Step::Mounted { from: Some("team/base".to_owned()) }, "mounted from team/base"),
            (Step::Mounted { from: None }, "mounted from another repository"),
        ] {
            assert_eq!(board(now).step(0, &step, now).as_deref(), Some(words));
        }
        assert_eq!(board(now).step(7, &Step::Exists, now), None, "an item nobody announced");
        assert_eq!(board(now).summary(0, now), "pulled app: nothing had to move (0.0s)");
        assert_eq!([clock(5), clock(125), clock(3720)], ["5s", "2m05s", "1h02m"]);
    }
}
