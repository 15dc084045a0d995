//! Which sessions there are, whose they are, what they hold, and which one a request works on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use oci::ErrorCode;

use crate::refusal::{Refusal, Result};
use crate::storage::UploadId;

/// The sessions of this process, in memory: the rows are in the metadata.
#[derive(Debug)]
pub(super) struct Sessions {
    per_owner: usize,
    bytes: Option<u64>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    sessions: HashMap<UploadId, Session>,
    owners: HashMap<String, usize>,
    bytes: u64,
}

#[derive(Debug)]
struct Session {
    owner: String,
    bytes: u64,
    claimed: bool,
}

/// What unfinished uploads there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// How many.
    pub sessions: usize,
    /// Bytes that they hold.
    pub bytes: u64,
}

/// Seconds after which a caller with too many sessions may come back.
const RETRY: u64 = 10;

impl Sessions {
    pub(super) fn new(per_owner: usize, bytes: Option<u64>) -> Self {
        Self { per_owner, bytes, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counts(&self) -> Counts {
        let open = self.open();
        Counts { sessions: open.sessions.len(), bytes: open.bytes }
    }

    /// Counts a session from before.
    pub(super) fn restore(&self, id: &UploadId, owner: &str, bytes: u64) {
        self.open().add(id, owner, bytes);
    }

    /// Counts a new session.
    ///
    /// # Errors
    /// 429 where its owner has too many, or all together hold too much.
    pub(super) fn begin(&self, id: &UploadId, owner: &str) -> Result<()> {
        let mut open = self.open();
        if open.owners.get(owner).is_some_and(|count| *count >= self.per_owner) {
            return Err(Refusal::too_many("too many uploads are unfinished: finish or cancel some", RETRY));
        }
        if self.bytes.is_some_and(|most| open.bytes >= most) {
            return Err(too_much());
        }
        open.add(id, owner, 0);
        Ok(())
    }

    /// Sessions that no request works on.
    pub(super) fn idle(&self) -> Vec<UploadId> {
        let open = self.open();
        open.sessions.iter().filter(|(_, session)| !session.claimed).map(|(id, _)| id.clone()).collect()
    }

    /// Takes a session for one request. One that is not known yet becomes known, as nobody's.
    ///
    /// # Errors
    /// 409 while another request has it.
    pub(super) fn claim(sessions: &Arc<Self>, id: &UploadId) -> Result<Claim> {
        let mut open = sessions.open();
        if !open.sessions.contains_key(id) {
            open.add(id, "", 0);
        }
        if let Some(session) = open.sessions.get_mut(id)
            && std::mem::replace(&mut session.claimed, true)
        {
            let message = "another request is sending to this upload";
            return Err(Refusal::new(StatusCode::CONFLICT, ErrorCode::BlobUploadInvalid, message));
        }
        Ok(Claim { sessions: Arc::clone(sessions), id: id.clone(), ends: false })
    }
}

impl Open {
    fn add(&mut self, id: &UploadId, owner: &str, bytes: u64) {
        self.remove(id);
        self.sessions.insert(id.clone(), Session { owner: owner.to_owned(), bytes, claimed: false });
        *self.owners.entry(owner.to_owned()).or_default() += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, id: &UploadId) {
        let Some(session) = self.sessions.remove(id) else { return };
        self.bytes -= session.bytes;
        if let Some(count) = self.owners.get_mut(&session.owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&session.owner);
            }
        }
    }
}

fn too_much() -> Refusal {
    Refusal::too_many("unfinished uploads hold all the bytes that they may: come back soon", RETRY)
}

/// The right to work on a session: one request at a time.
#[derive(Debug)]
pub(super) struct Claim {
    sessions: Arc<Sessions>,
    id: UploadId,
    /// Whether the session is not counted any more once this is dropped.
    ends: bool,
}

impl Claim {
    pub(super) fn id(&self) -> &UploadId {
        &self.id
    }

    /// The session lives no longer than its claim.
    pub(super) fn transient(mut self) -> Self {
        self.ends = true;
        self
    }

    /// Counts what the session holds now.
    ///
    /// # Errors
    /// 429 where that is more than all sessions may hold together.
    pub(super) fn holds(&self, bytes: u64) -> Result<()> {
        let mut open = self.sessions.open();
        let Some(session) = open.sessions.get_mut(&self.id) else { return Ok(()) };
        let before = std::mem::replace(&mut session.bytes, bytes);
        open.bytes = open.bytes - before + bytes;
        match self.sessions.bytes {
            Some(most) if open.bytes > most && bytes > before => Err(too_much()),
            _ => Ok(()),
        }
    }

    /// The session is over.
    pub(super) fn end(self) {
        drop(self.transient());
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut open = self.sessions.open();
        // One that was nobody's was never begun here.
        if self.ends || open.sessions.get(&self.id).is_some_and(|session| session.owner.is_empty()) {
            open.remove(&self.id);
        } else if let Some(session) = open.sessions.get_mut(&self.id) {
            session.claimed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_at_a_time_and_so_many_to_an_owner() {
        let sessions = Arc::new(Sessions::new(2, Some(100)));
        let ids: Vec<UploadId> = (0..4).map(|_| UploadId::random().unwrap()).collect();
        sessions.begin(&ids[0], "a").unwrap();
        sessions.begin(&ids[1], "a").unwrap();
        assert_eq!(sessions.begin(&ids[2], "a").unwrap_err().status, StatusCode::TOO_MANY_REQUESTS);
        sessions.begin(&ids[2], "b").unwrap();
        let claim = Sessions::claim(&sessions, &ids[0]).unwrap();
        assert_eq!(Sessions::claim(&sessions, &ids[0]).unwrap_err().status, StatusCode::CONFLICT);
        claim.holds(90).unwrap();
        drop(claim);
        let claim = Sessions::claim(&sessions, &ids[0]).unwrap();
        assert_eq!(claim.holds(101).unwrap_err().status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(sessions.counts(), Counts { sessions: 3, bytes: 101 });
        assert!(sessions.begin(&ids[3], "c").is_err());
        claim.end();
        assert_eq!(sessions.counts(), Counts { sessions: 2, bytes: 0 });
        sessions.begin(&ids[3], "a").unwrap();
        drop(Sessions::claim(&sessions, &ids[0]).unwrap());
        assert_eq!(sessions.counts().sessions, 3, "what nobody began is not counted");
    }
}
