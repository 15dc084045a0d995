//! What a transfer tells while it runs: events as data. One JSON object an event is `--progress=rawjson`.

use std::sync::Arc;

use oci::Digest;
use serde::{Deserialize, Serialize};

/// Takes events, from any thread, without making the transfer wait.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into the store.
    Pull,
    /// Out of it.
    Push,
    /// From one place to another.
    Copy,
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// A layer, or any other blob of an artifact.
    Layer,
    /// An image's configuration.
    Config,
    /// A manifest.
    Manifest,
    /// An index.
    Index,
}

/// Something that is to be there in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its number in this transfer's events, from 0.
    pub number: u32,
    /// What it is.
    pub kind: ItemKind,
    /// Its digest; of a layer that is compressed on the way, the DiffId.
    pub digest: Digest,
    /// Bytes to move, where that is known before.
    pub size: Option<u64>,
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Another process is at it: its result will do.
    Waiting,
    /// So many bytes were there from an earlier try.
    Resumed {
        /// How many.
        at: u64,
    },
    /// So many bytes have moved, those of earlier tries included. Sent some ten times a second at most.
    Moved {
        /// How many.
        done: u64,
        /// Of how many, where that is known.
        total: Option<u64>,
    },
    /// Something failed, and is tried again.
    Retried {
        /// What failed, in words.
        why: String,
    },
    /// It was there already.
    Exists,
    /// The registry took it from another of its repositories.
    Mounted {
        /// Which; `None` where the registry found it by itself.
        from: Option<String>,
    },
    /// It is there now.
    Done {
        /// Bytes that moved in this run.
        moved: u64,
        /// The blob as it was sent or fetched.
        digest: Digest,
    },
}

/// Something happened. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The first event of an image's transfer.
    Begun {
        /// Which way.
        direction: Direction,
        /// As users write it: `docker.io/library/app:latest`.
        what: String,
        /// When.
        time: i64,
    },
    /// More items, numbered on from those before.
    Items {
        /// They.
        items: Vec<Item>,
    },
    /// Something became of an item.
    Item {
        /// Its number.
        number: u32,
        /// What.
        #[serde(flatten)]
        step: Step,
    },
    /// Something worth a line: a mirror that was passed over, a fallback taken.
    Note {
        /// The line.
        message: String,
    },
    /// The last event of an image's transfer that worked.
    Finished {
        /// The manifest or index that is there now.
        digest: Digest,
        /// Bytes that moved in this run.
        moved: u64,
        /// When.
        time: i64,
    },
}
