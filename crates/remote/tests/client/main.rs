//! The client against hosts that misbehave: real HTTP on the loopback device. A file a topic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod blobs;
mod certificates;
mod hops;
mod host;
mod keeping;
mod logins;
mod manifests;
mod mirrors;
mod proxies;
mod pushes;
mod quirks;
mod registry;
mod secure;
mod uploads;
mod ways;

use host::Host;
use remote::{Client, Options, Repository, Retry};
use std::time::Duration;

/// A repository of a host, with a client that does not wait long.
fn repository(host: &Host, name: &str) -> Repository {
    repository_with(host, name, quick())
}

fn repository_with(host: &Host, name: &str, options: Options) -> Repository {
    let client = Client::new(options);
    client.registry(&host.address.to_string()).unwrap().repository(&name.parse().unwrap())
}

fn quick() -> Options {
    Options {
        retry: Retry { attempts: 4, first_wait: Duration::from_millis(1), longest_wait: Duration::from_secs(1) },
        idle_timeout: Duration::from_secs(5),
        ..Options::default()
    }
}
