//! A bar a layer on a terminal. What is over scrolls away as a line.

use std::collections::HashMap;
use std::time::Instant;

use builder::transfer::{Event, Step};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Display;
use super::board::{Board, doing, seconds};
use crate::ui::style;

/// What a layer's line looks like: short digest, bar, numbers.
const MOVING: &str = " {prefix} [{bar:24}] {wide_msg}";
/// The same, before anything is known of it.
const WAITING: &str = " {prefix} {wide_msg}";

/// The display.
pub(super) struct Bars {
    area: MultiProgress,
    head: ProgressBar,
    board: Option<Board>,
    bars: HashMap<u32, ProgressBar>,
}

impl Bars {
    pub(super) fn new() -> Self {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(15));
        let head = area.add(ProgressBar::new_spinner().with_style(template("{msg}")));
        Self { area, head, board: None, bars: HashMap::new() }
    }

    fn line(&self, text: &str) {
        // Lost output is not worth failing a transfer for.
        drop(self.area.println(text));
    }

    fn show_head(&self) {
        let Some(board) = &self.board else { return };
        let layers = board.rows.values().filter(|row| row.is_layer());
        let over = layers.clone().filter(|row| row.over).count();
        let took = seconds(board.began.elapsed());
        let counts = format!("[+] {} {} {took} ({over}/{})", doing(board.direction), board.what, layers.count());
        self.head.set_message(counts);
    }

    fn step(&mut self, number: u32, step: &Step) {
        let now = Instant::now();
        let Some(board) = self.board.as_mut() else { return };
        let ended = board.step(number, step, now);
        let Some(row) = board.rows.get(&number).filter(|row| row.is_layer()) else { return };
        if let Some(words) = ended {
            let mark = mark(step);
            let line = format!(" {mark} {} {}", row.label, style::dim(&words));
            if let Some(bar) = self.bars.remove(&number) {
                bar.finish_and_clear();
                self.area.remove(&bar);
            }
            self.line(&line);
            self.show_head();
            return;
        }
        let bar = self.bars.entry(number).or_insert_with(|| {
            let bar = self.area.add(ProgressBar::new(0).with_style(template(WAITING)));
            bar.set_prefix(row.label.clone());
            bar
        });
        if row.began.is_none() {
            bar.set_message(row.note.clone());
            return;
        }
        if let Some(total) = row.total
            && bar.length() != Some(total)
        {
            bar.set_style(template(MOVING).progress_chars("=> "));
            bar.set_length(total);
        }
        bar.set_position(row.done);
        bar.set_message(row.words(now));
    }

    fn clear(&mut self) {
        for (_, bar) in self.bars.drain() {
            bar.finish_and_clear();
            self.area.remove(&bar);
        }
    }
}

/// What is there already is a lesser thing than what came.
fn mark(step: &Step) -> String {
    match step {
        Step::Exists | Step::Mounted { .. } => style::dim("="),
        Step::Done { .. } | Step::Waiting | Step::Resumed { .. } | Step::Moved { .. } | Step::Retried { .. } => {
            style::good("✓")
        }
    }
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Display for Bars {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Begun { direction, what, .. } => {
                self.clear();
                self.board = Some(Board::new(*direction, what, Instant::now()));
                self.show_head();
            }
            Event::Items { items } => {
                self.board.iter_mut().for_each(|board| board.add(items));
                self.show_head();
            }
            Event::Item { number, step } => self.step(*number, step),
            Event::Note { message } => self.line(&format!("{} {}", style::hint("note:"), style::harmless(message))),
            Event::Finished { moved, .. } => {
                self.clear();
                if let Some(board) = self.board.take() {
                    self.line(&format!("{} {}", style::good("✓"), board.summary(*moved, Instant::now())));
                }
                self.head.set_message("");
            }
        }
    }

    fn tick(&mut self) {
        self.show_head();
        let Some(board) = &self.board else { return };
        let now = Instant::now();
        for (number, bar) in &self.bars {
            if let Some(row) = board.rows.get(number).filter(|row| row.began.is_some()) {
                bar.set_message(row.words(now));
            }
        }
    }

    fn finish(&mut self) {
        self.clear();
        self.head.finish_and_clear();
        drop(self.area.clear());
    }
}
