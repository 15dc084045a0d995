//! Items and their numbers, and how often something is said of them.

use std::time::{Duration, Instant};

use crate::transfer::event::{Event, Item, ItemKind, Sink, Step};

/// Between two events about bytes of one item: ten a second are as many as anybody sees.
const PAUSE: Duration = Duration::from_millis(100);

/// One item's voice.
pub(super) struct Voice {
    sink: Sink,
    number: u32,
    said: Option<Instant>,
}

impl Voice {
    pub(super) fn new(sink: &Sink, number: u32) -> Self {
        Self { sink: sink.clone(), number, said: None }
    }

    /// Says what became of the item.
    pub(super) fn say(&self, step: Step) {
        (self.sink)(Event::Item { number: self.number, step });
    }

    /// Says how far it is, now and then.
    pub(super) fn moved(&mut self, done: u64, total: u64) {
        if self.said.is_none_or(|said| said.elapsed() >= PAUSE) {
            self.said = Some(Instant::now());
            self.say(Step::Moved { done, total: Some(total) });
        }
    }
}

/// Announces layers; gives the number of the first.
pub(super) fn announce(sink: &Sink, first: u32, layers: &[(oci::Digest, u64)]) {
    let items = layers.iter().zip(first..).map(|((digest, size), number)| Item {
        number,
        kind: ItemKind::Layer,
        digest: *digest,
        size: Some(*size),
    });
    let items: Vec<Item> = items.collect();
    if !items.is_empty() {
        sink(Event::Items { items });
    }
}
