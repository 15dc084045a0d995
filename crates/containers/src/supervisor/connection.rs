//! Those who ask something of a supervisor.

use std::os::fd::OwnedFd;

use runtime::channel::{self, Received};
use rustix::event::PollFlags;
use rustix::net::SocketFlags;

use super::Supervisor;
use super::protocol::{self, Reply, Request};
use super::serve::{Waits, Who};
use super::streams::Attachment;
use crate::event::{Event, Journal};

/// More than so many at once wait at the door: each is a descriptor.
const MAX: usize = 64;

/// All connections.
#[derive(Default)]
pub(super) struct Connections {
    open: Vec<Connection>,
}

/// One who asks.
struct Connection {
    socket: Option<OwnedFd>,
    /// What is answered when the container has ended.
    waits: Option<Waiter>,
}

/// Who is told of the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiter {
    /// With [`Reply::Done`].
    Stop,
    /// With [`Reply::Ended`].
    End,
}

impl Connections {
    pub(super) fn waits<'w>(&'w self, waits: &mut Waits<'w>) {
        for (place, connection) in self.open.iter().enumerate() {
            if let Some(socket) = &connection.socket {
                waits.fd(Who::Connection(place), socket, PollFlags::IN);
            }
        }
    }

    pub(super) fn accept(&mut self, listener: &OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while self.open.len() < MAX {
            match rustix::net::accept_with(listener, flags) {
                Ok(socket) => self.open.push(Connection { socket: Some(socket), waits: None }),
                Err(_) => return,
            }
        }
        // One too many is told by being closed.
        drop(rustix::net::accept_with(listener, flags));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Places are names within one turn of the loop, so what is closed goes at its end.
    pub(super) fn forget_closed(&mut self) {
        self.open.retain(|connection| connection.socket.is_some());
    }

    fn next(&mut self, place: usize) -> Option<Request> {
        let connection = self.open.get_mut(place)?;
        match channel::receive(connection.socket.as_ref()?, false) {
            Ok(Received::Nothing) => None,
            Ok(Received::Packet(bytes, _)) => match serde_json::from_slice(&bytes) {
                Ok(request) => Some(request),
                Err(error) => {
                    self.answer(place, &Reply::Failed(format!("not a request: {error}")));
                    None
                }
            },
            Ok(Received::End) | Err(_) => {
                connection.socket = None;
                None
            }
        }
    }

    /// Answers, and closes.
    fn answer(&mut self, place: usize, reply: &Reply) {
        let Some(connection) = self.open.get_mut(place) else { return };
        if let Some(socket) = connection.socket.take() {
            // Who asked may be gone.
            drop(protocol::send(&socket, reply));
        }
    }

    fn wait(&mut self, place: usize, waiter: Waiter) {
        if let Some(connection) = self.open.get_mut(place) {
            connection.waits = Some(waiter);
        }
    }

    fn take(&mut self, place: usize) -> Option<OwnedFd> {
        self.open.get_mut(place)?.socket.take()
    }

    /// The container has ended for good: everybody is answered.
    pub(super) fn say_ended(&mut self, code: i32) {
        for place in 0..self.open.len() {
            let reply = match self.open[place].waits {
                Some(Waiter::Stop) => Reply::Done,
                Some(Waiter::End) | None => Reply::Ended(code),
            };
            self.answer(place, &reply);
        }
    }

    /// It has ended and is started again: who waits for an end has seen one.
    pub(super) fn say_ended_once(&mut self, code: i32) {
        for place in 0..self.open.len() {
            if self.open[place].waits == Some(Waiter::End) {
                self.answer(place, &Reply::Ended(code));
            }
        }
    }
}

impl Supervisor {
    /// Serves the next request of a connection.
    pub(super) fn request(&mut self, place: usize) {
        let Some(request) = self.connections.next(place) else { return };
        let told = match &request {
            Request::Pause => Some("pause"),
            Request::Unpause => Some("unpause"),
            _ => None,
        };
        let done = match request {
            Request::Stop { signal, timeout } => {
                self.connections.wait(place, Waiter::Stop);
                return self.begin_stop(signal, timeout);
            }
            Request::Wait => return self.connections.wait(place, Waiter::End),
            Request::Attach { stdin, output, foreground, size } => {
                if let Some(socket) = self.connections.take(place) {
                    self.streams.join(socket, Attachment { stdin, output, foreground, size });
                }
                return;
            }
            Request::Kill { signal } => match self.kill_by_request(signal) {
                // As docker: it is answered when nothing of the container is left, and it may be removed or started.
                Ok(()) if signal == crate::signal::SIGKILL => return self.connections.wait(place, Waiter::Stop),
                done => done,
            },
            Request::Pause => self.pause(),
            Request::Unpause => self.unpause(),
            Request::Reload => self.reload(),
        };
        if let (Ok(()), Some(action)) = (&done, told) {
            self.containers.tell(&self.config, action);
        }
        self.connections.answer(place, &done.map_or_else(Reply::Failed, |()| Reply::Done));
    }

    fn kill_by_request(&mut self, signal: i32) -> Result<(), String> {
        let Some(running) = &self.running else { return Err("it does not run".to_owned()) };
        if signal == crate::signal::SIGKILL {
            // As docker: who kills it does not want it to be started again.
            self.state.stopped = true;
        }
        running.kill(signal).map_err(|error| error.to_string())?;
        let event = Event::of(&self.config, "kill").with("signal", signal);
        Journal::new(self.containers.layout()).record(&event);
        if signal == crate::signal::SIGKILL {
            self.wake();
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<(), String> {
        self.config = self.folder.read_config().map_err(|error| error.to_string())?;
        self.watch_keeper();
        Ok(())
    }
}
