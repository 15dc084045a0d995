//! The keeper's loop: one thread, one `poll`.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use runtime::channel::{self, Received};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::SocketFlags;
use rustix::process::{Pid, WaitOptions};
use sys::lock::Lock;

use super::place::Place;
use super::protocol::{Reply, Request};
use super::{Files, Plan};
use crate::network::definition::Networks;
use crate::network::dns::Server;
use crate::network::lease::Leases;
use crate::state::ProcessId;

/// How long it stays when nobody needs it: a restart comes back within that.
const LINGER: Duration = Duration::from_millis(500);
/// The most connections: each is a command that has not ended.
const CLIENTS: usize = 4096;
const SIGKILL: i32 = 9;

/// A keeper at work.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) store: PathBuf,
    pub(super) files: Files,
    /// Held as long as it serves.
    _lock: Lock,
    listener: OwnedFd,
    pub(super) place: Place,
    pub(super) networks: Networks,
    pub(super) leases: Leases,
    pub(super) dns: Server,
    /// Whether iptables has rules of ours.
    pub(super) programs: bool,
    clients: Vec<OwnedFd>,
    /// Of the containers' supervisors.
    pub(super) watched: Vec<(ProcessId, OwnedFd)>,
    pub(super) carriers: Vec<(ProcessId, OwnedFd)>,
    /// When the way out began.
    pub(super) carried: Instant,
    /// When there was none to be had last, and why.
    pub(super) stranded: Option<(Instant, String)>,
    /// When another keeper's containers were taken over.
    pub(super) adopted: Instant,
    /// When those of them are tried again that could not be connected.
    pub(super) retry: Option<Instant>,
    idle: Instant,
}

impl Serving {
    pub(super) fn new(plan: &Plan, files: Files, lock: Lock, listener: OwnedFd, place: Place) -> Self {
        Self {
            networks: Networks::new(&crate::layout::Layout::new(&store::Layout::new(&plan.store))),
            store: plan.store.clone(),
            files,
            _lock: lock,
            listener,
            place,
            leases: Leases::default(),
            dns: Server::default(),
            programs: false,
            clients: Vec::new(),
            watched: Vec::new(),
            carriers: Vec::new(),
            carried: Instant::now(),
            stranded: None,
            adopted: Instant::now(),
            retry: None,
            idle: Instant::now(),
        }
    }

    /// Serves until nobody needs it.
    pub(super) fn serve(mut self) {
        while !self.is_done(Instant::now()) {
            let ready = self.wait();
            self.turn(&ready);
            self.retry(Instant::now());
        }
        self.conclude();
    }

    fn is_done(&self, now: Instant) -> bool {
        let needed = !self.clients.is_empty() || !self.leases.attachments.is_empty();
        !needed && now.saturating_duration_since(self.idle) >= LINGER
    }

    /// Waits for something. Of each that it waits for, in order, whether something happened.
    fn wait(&self) -> Vec<bool> {
        let mut set = vec![PollFd::new(&self.listener, PollFlags::IN)];
        set.extend(self.clients.iter().map(|client| PollFd::new(client, PollFlags::IN)));
        set.extend(self.watched.iter().map(|(_, pidfd)| PollFd::new(pidfd, PollFlags::IN)));
        set.extend(self.carriers.iter().map(|(_, pidfd)| PollFd::new(pidfd, PollFlags::IN)));
        set.extend(self.dns.interests());
        let idle = (self.clients.is_empty() && self.leases.attachments.is_empty()).then_some(LINGER);
        let now = Instant::now();
        let retry = self.retry.map(|due| due.saturating_duration_since(now));
        let patience = [idle, retry, self.dns.patience(now)].into_iter().flatten().min();
        let timeout = patience.map(|left| Timespec {
            tv_sec: left.as_secs().cast_signed(),
            // A millisecond more: what is due must be due when it is looked at.
            tv_nsec: i64::from(left.subsec_nanos()).min(998_000_000) + 1_000_000,
        });
        // Interrupted is nothing happened.
        let _ = rustix::event::poll(&mut set, timeout.as_ref());
        set.iter().map(|one| !one.revents().is_empty()).collect()
    }

    fn turn(&mut self, ready: &[bool]) {
        let (listener, rest) = ready.split_at(1);
        let (clients, rest) = rest.split_at(self.clients.len());
        let (watched, rest) = rest.split_at(self.watched.len());
        let (carriers, names) = rest.split_at(self.carriers.len());
        self.dns.turn(names, &self.leases, Instant::now());
        let ended = |all: &[(ProcessId, OwnedFd)], ready: &[bool]| -> Vec<ProcessId> {
            all.iter().zip(ready).filter(|(_, ready)| **ready).map(|((process, _), _)| *process).collect()
        };
        let (supervisors, carriers) = (ended(&self.watched, watched), ended(&self.carriers, carriers));
        supervisors.into_iter().for_each(|process| self.ended(process));
        carriers.into_iter().for_each(|process| self.carrier_ended(process));
        let speaking: Vec<usize> = (0..clients.len()).filter(|at| clients[*at]).collect();
        let mut gone = Vec::new();
        for at in speaking {
            if !self.hear(at) {
                gone.push(at);
            }
        }
        gone.into_iter().rev().for_each(|at| drop(self.clients.remove(at)));
        if listener[0] {
            self.accept();
        }
        if !self.clients.is_empty() || !self.leases.attachments.is_empty() {
            self.idle = Instant::now();
        }
    }

    fn accept(&mut self) {
        while let Ok(client) = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC) {
            if self.clients.len() < CLIENTS {
                self.clients.push(client);
            }
        }
    }

    /// Hears one request; whether the client is still there.
    fn hear(&mut self, at: usize) -> bool {
        let (bytes, fds) = match channel::receive(&self.clients[at], false) {
            Ok(Received::Packet(bytes, fds)) => (bytes, fds),
            Ok(Received::Nothing) => return true,
            Ok(Received::End) | Err(_) => return false,
        };
        let reply = match serde_json::from_slice(&bytes) {
            Ok(request) => self.answer(request, &fds),
            Err(error) => Reply::Failed(format!("not understood: {error}")),
        };
        let Ok(words) = serde_json::to_vec(&reply) else { return false };
        channel::send(&self.clients[at], &words, &[]).is_ok()
    }

    fn answer(&mut self, request: Request, fds: &[OwnedFd]) -> Reply {
        let done = |outcome: Result<(), super::KeeperError>| match outcome {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Failed(error.to_string()),
        };
        match request {
            Request::Hello => match here() {
                Some(process) => Reply::Here(process),
                None => Reply::Failed("/proc is not there".to_owned()),
            },
            Request::Join(join) => {
                let Some(namespace) = fds.first() else {
                    return Reply::Failed("the network namespace is missing".to_owned());
                };
                match self.join(&join, borrowed(namespace)) {
                    Ok(joined) => Reply::Joined(joined),
                    Err(error) => Reply::Failed(error.to_string()),
                }
            }
            Request::Leave { container, network } => done(self.leave(&container, network.as_ref())),
            Request::Rename { container, name } => {
                let known = self.leases.attachments.iter_mut().find(|one| one.container == container);
                known.into_iter().for_each(|attachment| attachment.name.clone_from(&name));
                done(self.keep())
            }
        }
    }

    /// A supervisor has ended: its container is nowhere any more.
    fn ended(&mut self, process: ProcessId) {
        let gone: Vec<_> = self.leases.attachments.iter().filter(|one| one.supervisor == process).collect();
        let gone: Vec<_> = gone.into_iter().map(|one| one.container.clone()).collect();
        for container in gone {
            // What cannot be removed is removed by who comes next.
            drop(self.leave(&container, None));
        }
        self.watched.retain(|(watched, _)| *watched != process);
    }

    /// Ends what it began, and what it made.
    fn conclude(mut self) {
        let (_folder, path) = match self.files.address() {
            Ok(found) => found,
            Err(_) => return,
        };
        // First of all: who comes now shall find no keeper, and begin one.
        drop(std::fs::remove_file(path));
        for (process, _) in self.carriers.drain(..) {
            end(process);
            reap(process);
        }
        drop(std::fs::remove_file(self.files.leases()));
    }
}

fn borrowed(fd: &OwnedFd) -> BorrowedFd<'_> {
    use std::os::fd::AsFd;
    fd.as_fd()
}

/// Kills a process, without waiting for its end.
pub(super) fn end(process: ProcessId) {
    if let Some(pidfd) = process.open() {
        let _ = sys::signal::send_to(&pidfd, SIGKILL);
    }
}

/// This process.
pub(super) fn here() -> Option<ProcessId> {
    ProcessId::of(std::process::id().cast_signed())
}

/// Waits for a child that was killed.
pub(super) fn reap(process: ProcessId) {
    let _ = rustix::process::waitpid(Pid::from_raw(process.pid), WaitOptions::empty());
}
