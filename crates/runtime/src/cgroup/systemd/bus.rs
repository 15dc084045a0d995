//! A connection with the service manager.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::SystemdError;
use super::wire::{self, Call, FIXED};

/// How long one answer may take: a manager under load is slow, and a dead one is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest line of the opening.
const MAX_LINE: u64 = 4096;

/// A connection, authenticated.
pub(super) struct Bus {
    stream: BufReader<UnixStream>,
    serial: u32,
}

/// A socket to try, and whether a bus is behind it, not the manager itself.
struct Address {
    path: PathBuf,
    is_bus: bool,
}

/// Where the manager of a user listens.
fn addresses(user: u32) -> Vec<Address> {
    let own = |path: PathBuf| Address { path, is_bus: false };
    let bus = |path: PathBuf| Address { path, is_bus: true };
    if user == 0 {
        return vec![own("/run/systemd/private".into()), bus("/run/dbus/system_bus_socket".into())];
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let runtime = runtime.map_or_else(|| PathBuf::from(format!("/run/user/{user}")), PathBuf::from);
    let mut all = vec![own(runtime.join("systemd/private"))];
    let named = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    let paths = named.split(';').filter_map(|address| address.strip_prefix("unix:path="));
    all.extend(paths.map(|path| bus(path.split(',').next().unwrap_or(path).into())));
    all.push(bus(runtime.join("bus")));
    all
}

impl Bus {
    /// Connects with the manager of this user.
    pub(super) fn connect(user: u32) -> Result<Self, SystemdError> {
        let mut last = SystemdError::Absent;
        for Address { path, is_bus } in addresses(user) {
            match UnixStream::connect(&path) {
                Ok(stream) => match Self::open(stream, is_bus) {
                    Ok(bus) => return Ok(bus),
                    Err(error) => last = error,
                },
                Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
                Err(why) => last = SystemdError::Unreachable { path, why },
            }
        }
        Err(last)
    }

    fn open(stream: UnixStream, is_bus: bool) -> Result<Self, SystemdError> {
        let limited = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        limited.map_err(broken)?;
        let mut bus = Self { stream: BufReader::new(stream), serial: 0 };
        // Without a name in it: who we are the kernel says, in the other side's numbers. All at once: one round trip.
        bus.write(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        loop {
            let mut line = String::new();
            (&mut bus.stream).take(MAX_LINE).read_line(&mut line).map_err(broken)?;
            match line.split_whitespace().next() {
                Some("DATA") => {}
                Some("OK") => break,
                _ => return Err(SystemdError::Answer(format!("{:?} to AUTH EXTERNAL", line.trim_end()))),
            }
        }
        if is_bus {
            bus.call(&Call::hello())?;
        }
        Ok(bus)
    }

    /// Calls, and waits for the answer.
    pub(super) fn call(&mut self, call: &Call) -> Result<(), SystemdError> {
        self.serial += 1;
        let message = call.message(self.serial);
        self.write(&message)?;
        loop {
            let mut fixed = [0; FIXED];
            self.stream.read_exact(&mut fixed).map_err(broken)?;
            let mut message = vec![0; wire::length(&fixed)?];
            message[..FIXED].copy_from_slice(&fixed);
            self.stream.read_exact(&mut message[FIXED..]).map_err(broken)?;
            if let Some(answer) = wire::answer(&message, self.serial) {
                return answer;
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SystemdError> {
        self.stream.get_mut().write_all(bytes).map_err(broken)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: std::io::Error) -> SystemdError {
    SystemdError::Answer(error.to_string())
}
