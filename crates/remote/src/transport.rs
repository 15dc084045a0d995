//! Connections: one pool for each kind of host, made when it is first needed.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use crate::client::Options;
use crate::error::{Error, Result};
use crate::hosts::Certificates;
use crate::{hop, tls};

/// What a pool's connections have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    /// `https`. Only then are the system's roots read.
    encrypted: bool,
    /// A loopback host: never through a proxy.
    local: bool,
    /// A host that a registry elsewhere named, not the user: no name that leads to this machine.
    foreign: bool,
    /// The registry itself: hosts that it names, near or far, are not shown the client certificate.
    itself: bool,
    /// Any certificate will do.
    insecure: bool,
    /// For uploads: the time until an answer comes is that of the body, and is watched by whoever sends it.
    sending: bool,
}

/// The pools.
#[derive(Debug, Default)]
pub(crate) struct Transport {
    certificates: Certificates,
    pools: Mutex<HashMap<Kind, reqwest::Client>>,
}

impl Transport {
    /// Pools that believe further roots, and show a client certificate to the registry whose they are. The roots also count
    /// for hosts that this registry names: whoever has a root of their own has their storage and tokens behind it, too.
    pub(crate) fn with(certificates: Certificates) -> Self {
        Self { certificates, pools: Mutex::default() }
    }

    /// The pool for calls to `url`, which `from`'s answers led to (or which is `from` itself); `sending`: with long bodies.
    pub(crate) fn pool(
        &self,
        options: &Options,
        insecure: bool,
        from: &Url,
        url: &Url,
        sending: bool,
    ) -> Result<reqwest::Client> {
        let itself = hop::same_origin(from, url);
        let kind = Kind {
            encrypted: url.scheme() == "https",
            local: hop::is_local(url),
            foreign: !itself && !hop::is_local(from),
            itself,
            insecure,
            sending,
        };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&kind) {
            return Ok(pool.clone());
        }
        let pool = build(options, &self.certificates, kind)?;
        pools.insert(kind, pool.clone());
        Ok(pool)
    }
}

fn build(options: &Options, own: &Certificates, kind: Kind) -> Result<reqwest::Client> {
    let setup = |error: &dyn std::fmt::Display| Error::Setup(error.to_string());
    let identity = own.identity.as_ref().or(options.identity.as_ref()).filter(|_| kind.itself);
    let roots: Vec<_> = options.roots.iter().chain(&own.roots).cloned().collect();
    let tls = tls::config(kind.encrypted && !kind.insecure, &roots, identity, !kind.insecure)
        .map_err(|error| setup(&error))?;
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(&options.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(options.connect_timeout)
        .pool_idle_timeout(std::time::Duration::from_secs(30))
        .http2_max_header_list_size(MOST_HEADER_BYTES)
        .http2_adaptive_window(true)
        .tcp_nodelay(true);
    if !kind.sending {
        builder = builder.read_timeout(options.idle_timeout);
    }
    if kind.local {
        builder = builder.no_proxy();
    }
    if kind.foreign {
        builder = builder.dns_resolver(Arc::new(Elsewhere { proxies: options.proxies.clone() }));
    }
    builder.build().map_err(|error| setup(&error))
}

/// Headers of an HTTP/2 answer beyond this are a fault. (HTTP/1 has hyper's limits: 100 headers, 400 KiB.)
const MOST_HEADER_BYTES: u32 = 64 * 1024;

/// Resolves names that a registry named: addresses of this machine or its link do not count, unless the name is a proxy's.
#[derive(Debug)]
struct Elsewhere {
    proxies: BTreeSet<String>,
}

impl Resolve for Elsewhere {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.proxies.contains(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let elsewhere: Vec<SocketAddr> =
                found.filter(|address| is_proxy || hop::may_be_named(address.ip())).collect();
            if elsewhere.is_empty() {
                return Err(format!("{}: {}", name.as_str(), hop::Refused::Inside).into());
            }
            Ok(Box::new(elsewhere.into_iter()) as Addrs)
        })
    }
}
