//! What the machine's files say of hosts: where a name leads, which mirrors stand before it, whom to believe there.
//!
//! Three families of files are read. `registries.conf` of the containers tools rewrites names, and adds mirrors to them.
//! `hosts.toml` of containerd lists the hosts that answer for a registry. `certs.d` holds roots and client certificates by
//! host. They are applied in this order: each place that `registries.conf` gives is looked up among the `hosts.toml`, and
//! each host that comes out of this among the certificates.
//!
//! Files are read when they are first needed, are bounded, and errors name the file and the line. Keys that we do not know
//! are passed over: these files belong to other programs too, which may be newer.

mod certs_d;
mod file;
mod hosts_toml;
mod registries_conf;
mod search;

pub use certs_d::Certificates;
pub use file::ConfigError;
pub(crate) use file::is_absent;
pub use hosts_toml::{Capabilities, Host, HostsToml};
pub use registries_conf::{Mirror, PullFrom, RegistriesConf, Section, ShortNames};
pub use search::{Folders, Hosts};
pub(crate) use search::{Location, Stand, authority};
