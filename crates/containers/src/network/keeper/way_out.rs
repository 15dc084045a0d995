//! What carries packets from the keeper's network namespace into the world: pasta, or else slirp4netns.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::serve::{Serving, reap};
use crate::config::Carrier;
use crate::network::carrier::{self, Carried, Wanted};
use crate::network::error::NetworkError;
use crate::network::namespace::{self, Made};
use crate::state::ProcessId;

/// The interface that it makes.
const INTERFACE: &str = "out0";
/// The longest that one may take to set itself up. Two may be tried, and who asked for them waits for 20 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing is tried after an attempt that failed: each who comes would wait as long for the same.
const RESPITE: Duration = Duration::from_secs(20);
/// One that ends sooner would end again.
const STABLE: Duration = Duration::from_secs(2);

impl Serving {
    /// Sees to it that packets get out; why they do not.
    pub(super) fn way_out(&mut self) -> Result<(), String> {
        let Some(namespace) = &self.place.namespace else {
            self.leases.driver = Some("bridge".to_owned());
            return Ok(());
        };
        if !self.carriers.is_empty() {
            return Ok(());
        }
        let first = carrier::choose(Carrier::Any)?;
        if let Some((_, why)) = self.stranded.as_ref().filter(|(when, _)| when.elapsed() < RESPITE) {
            return Err(why.clone());
        }
        let made = namespace::at(namespace.as_fd()).map_err(|error| error.to_string())?;
        let carried = carry(&made, first).or_else(|error| match carrier::choose(Carrier::Slirp4netns) {
            Ok(second) if first != second => carry(&made, second).map_err(|other| format!("{error}; {other}")),
            _ => Err(error.to_string()),
        });
        let carried = carried.inspect_err(|why| self.stranded = Some((Instant::now(), why.clone())))?;
        let process = carried.sidecar.keep();
        let Some(pidfd) = process.open() else { return Err(format!("{} has ended at once", carried.driver)) };
        self.leases.driver = Some(carried.driver.to_owned());
        self.carriers.push((process, pidfd));
        self.carried = Instant::now();
        Ok(())
    }

    /// It has ended. One that was fine for a while is started again.
    pub(super) fn carrier_ended(&mut self, process: ProcessId) {
        reap(process);
        self.carriers.retain(|(carrier, _)| *carrier != process);
        self.leases.driver = None;
        let wanted = self.leases.attachments.iter().any(|one| one.endpoints.iter().any(|leased| !leased.internal));
        if wanted && self.carried.elapsed() >= STABLE {
            // Whoever comes next tries again, and hears why.
            drop(self.way_out());
        }
        drop(self.keep());
    }
}

/// The host's addresses are not to be reached by way of it, nor ports of the host: it is a way out.
fn carry(made: &Made, carrier: Carrier) -> Result<Carried, NetworkError> {
    carrier::start(made, carrier, &Wanted { interface: Some(INTERFACE), ..Wanted::default() })?.wait(made, PATIENCE)
}
