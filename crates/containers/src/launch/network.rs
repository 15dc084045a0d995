//! The network of the host, or none, and the files that tell of it; any other is made before ([`crate::network::up()`]).

use runtime::container::{Network, Spec};

use crate::Config;
use crate::config::NetworkMode;
use crate::network::files::{self, Servers};

pub(super) fn apply(config: &Config, spec: &mut Spec) {
    let network = &config.network;
    spec.hostname_file = !network.no_hostname;
    let hosts = match network.mode {
        NetworkMode::Host => {
            spec.network = Network::Host;
            files::hosts_of_host(config)
        }
        NetworkMode::None | NetworkMode::Private(_) | NetworkMode::Container(_) | NetworkMode::Networks(_) => {
            spec.network = Network::None;
            files::hosts(config, &[], None)
        }
    };
    spec.hosts = (!network.no_hosts).then_some(hosts);
    spec.resolv_conf = files::resolv_conf(config, Servers::Host);
}
