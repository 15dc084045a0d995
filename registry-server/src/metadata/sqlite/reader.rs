//! Connections that read, shared by whoever reads.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::super::Result;
use super::schema;

/// How many connections there may be: a read takes microseconds, so that few serve many.
const CONNECTIONS: usize = 8;

/// A pool of read-only connections, opened when they are first needed.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Idle>,
    returned: Condvar,
}

#[derive(Debug)]
struct Idle {
    connections: Vec<Connection>,
    open: usize,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            idle: Mutex::new(Idle { connections: Vec::new(), open: 0 }),
            returned: Condvar::new(),
        }
    }

    /// Runs `read` with a connection.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let held = Held { connection: Some(self.take()?), pool: self };
        match &held.connection {
            Some(connection) => read(connection),
            None => unreachable!("a held connection goes back only when it is dropped"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Connection> {
        let mut idle = self.lock();
        loop {
            if let Some(connection) = idle.connections.pop() {
                return Ok(connection);
            }
            if idle.open < CONNECTIONS {
                idle.open += 1;
                drop(idle);
                return schema::open_reader(&self.path).inspect_err(|_| {
                    self.lock().open -= 1;
                    self.returned.notify_one();
                });
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Puts its connection back, also when the reader panics.
struct Held<'p> {
    connection: Option<Connection>,
    pool: &'p Readers,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.lock().connections.push(connection);
            self.pool.returned.notify_one();
        }
    }
}
