//! Lines: one where a layer begins and ends, and one every ten seconds while it moves.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use builder::transfer::{Event, Step};

use super::Display;
use super::board::{Board, doing};
use crate::ui::{self, style};

/// How long a layer that moves may say nothing: logs of CI jobs are read by people, and silence looks like a hang.
const INTERVAL: Duration = Duration::from_secs(10);

/// The display.
pub(super) struct Lines {
    board: Option<Board>,
    /// When an item was last heard of.
    said: HashMap<u32, Instant>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { board: None, said: HashMap::new() }
    }

    /// Gives the lines for an event at a moment.
    fn lines(&mut self, event: &Event, now: Instant) -> Vec<String> {
        match event {
            Event::Begun { direction, what, .. } => {
                let board = Board::new(*direction, what, now);
                let line = format!("{} {}", doing(*direction), board.what);
                self.board = Some(board);
                self.said.clear();
                vec![line]
            }
            Event::Items { items } => {
                self.board.iter_mut().for_each(|board| board.add(items));
                Vec::new()
            }
            Event::Item { number, step } => self.step(*number, step, now).into_iter().collect(),
            Event::Note { message } => vec![format!("{} {}", style::hint("note:"), style::harmless(message))],
            Event::Finished { moved, .. } => {
                self.board.take().map(|board| board.summary(*moved, now)).into_iter().collect()
            }
        }
    }

    fn step(&mut self, number: u32, step: &Step, now: Instant) -> Option<String> {
        let board = self.board.as_mut()?;
        let ended = board.step(number, step, now);
        let doing = doing(board.direction);
        let row = board.rows.get(&number).filter(|row| row.is_layer())?;
        let words = match (step, ended) {
            (_, Some(words)) => words,
            (Step::Moved { .. }, None) => match self.said.get(&number) {
                None => match row.total {
                    Some(total) => format!("{doing} {}", crate::duration::size(total)),
                    None => doing.to_owned(),
                },
                Some(said) if *said + INTERVAL <= now => row.words(now),
                Some(_) => return None,
            },
            (_, None) => row.note.clone(),
        };
        self.said.insert(number, now);
        Some(format!("{}: {words}", row.label))
    }
}

impl Display for Lines {
    fn event(&mut self, event: &Event) {
        for line in self.lines(event, Instant::now()) {
            ui::err(&(line + "\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use builder::transfer::{Direction, Item, ItemKind};
    use oci::Digest;

    #[test]
    fn a_layer_has_a_beginning_and_an_end() {
        let digest = Digest::sha256(b"");
        let item = |number, kind| Item { number, kind, digest, size: Some(50_000_000) };
        let moved = |done| Step::Moved { done, total: None };
        let events = [
            (0, Event::Begun { direction: Direction::Pull, what: "docker.io/library/app:1".to_owned(), time: 0 }),
            (0, Event::Items { items: vec![item(0, ItemKind::Config), item(1, ItemKind::Layer)] }),
            (0, Event::Item { number: 0, step: Step::Exists }),
            (1, Event::Item { number: 1, step: Step::Resumed { at: 10_000_000 } }),
            (2, Event::Item { number: 1, step: moved(11_000_000) }),
            (13, Event::Item { number: 1, step: moved(30_000_000) }),
            (14, Event::Item { number: 1, step: Step::Retried { why: "reset\x1b[2J".to_owned() } }),
            (15, Event::Item { number: 1, step: moved(35_000_000) }),
            (30, Event::Item { number: 1, step: Step::Done { moved: 40_000_000, digest } }),
            (30, Event::Finished { digest, moved: 40_000_000, time: 0 }),
        ];
        let start = Instant::now();
        let mut display = Lines::new();
        let shown: Vec<String> = events
            .iter()
            .flat_map(|(second, event)| display.lines(event, start + Duration::from_secs(*second)))
            .collect();
        assert_eq!(
            shown,
            [
                "pulling docker.io/library/app:1",
                "e3b0c44298fc: resumed at 10MB",
                "e3b0c44298fc: 60% of 50MB, 1.73MB/s, 12s left, resumed at 10MB",
                "e3b0c44298fc: trying again: reset",
                "e3b0c44298fc: pulled 40MB in 29.0s",
                "pulled docker.io/library/app:1: 40MB in 30.0s",
            ]
        );
    }
}
