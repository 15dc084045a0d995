//! What a container may take and do, as docker's `HostConfig` has it.

use containers::Config;
use containers::config::{Mount, MountSource, NetworkMode, Restart};
use serde_json::{Map, Value, json};

use super::list;
use crate::error::Result;

/// The whole of it.
pub(super) fn shown(config: &Config) -> Result<Value> {
    let mut all = Map::new();
    for part in [life(config), resources(config), data(config), network(config), isolation(config)?] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Ok(Value::Object(all))
}

fn life(config: &Config) -> Value {
    let (name, times) = match config.life.restart {
        Restart::No => ("no", 0),
        Restart::OnFailure(times) => ("on-failure", times),
        Restart::Always => ("always", 0),
        Restart::UnlessStopped => ("unless-stopped", 0),
    };
    json!({
        "AutoRemove": config.life.remove,
        "RestartPolicy": {"Name": name, "MaximumRetryCount": times},
        "Annotations": config.life.annotations,
        "LogConfig": {
            "Type": config.logging.driver.as_deref().unwrap_or("local"),
            "Config": config.logging.options,
        },
        "Init": config.process.init,
    })
}

fn resources(config: &Config) -> Value {
    let (resources, limits) = (&config.resources, &config.resources.limits);
    let whole = |limit: Option<u64>| limit.map_or(0, |limit| i64::try_from(limit).unwrap_or(-1));
    let cpus = match (limits.cpu_quota, limits.cpu_period) {
        (Some(quota), period) if quota != u64::MAX => {
            i64::try_from(u128::from(quota) * 1_000_000_000 / u128::from(period.unwrap_or(100_000).max(1))).unwrap_or(0)
        }
        _ => 0,
    };
    let ulimits = resources.rlimits.iter().map(|limit| {
        let number = |value: Option<u64>| value.map_or(-1, |value| i64::try_from(value).unwrap_or(-1));
        json!({"Name": limit.name, "Soft": number(limit.soft), "Hard": number(limit.hard)})
    });
    json!({
        "Memory": whole(limits.memory),
        "MemorySwap": limits.memory_swap.unwrap_or(0),
        "MemoryReservation": whole(limits.memory_reservation),
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "OomScoreAdj": resources.oom_score_adj.unwrap_or(0),
        "CpuShares": whole(limits.cpu_shares),
        "CpuPeriod": whole(limits.cpu_period),
        "CpuQuota": whole(limits.cpu_quota),
        "NanoCpus": cpus,
        "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.clone().unwrap_or_default(),
        "PidsLimit": limits.pids.map(|pids| i64::try_from(pids).unwrap_or(-1)),
        "BlkioWeight": whole(limits.blkio_weight),
        "CgroupParent": resources.parent.clone().unwrap_or_default(),
        "StorageOpt": resources.disk.map(|size| json!({"size": size.to_string()})),
        "Ulimits": list(ulimits.collect()),
        "ShmSize": config.data.shm_size.unwrap_or(runtime::container::DEFAULT_SHM_SIZE),
    })
}

fn data(config: &Config) -> Value {
    let bind = |mount: &Mount| {
        let source = match &mount.source {
            MountSource::Bind { path, .. } | MountSource::Overlay { path } => path.display().to_string(),
            MountSource::Volume { name, anonymous: false, .. } => name.clone(),
            MountSource::Volume { .. } | MountSource::Memory(_) | MountSource::Image { .. } => return None,
        };
        Some(json!(format!("{source}:{}{}", mount.target, if mount.readonly { ":ro" } else { "" })))
    };
    let memory =
        |mount: &Mount| matches!(mount.source, MountSource::Memory(_)).then(|| (mount.target.clone(), json!("")));
    let mounts = &config.data.mounts;
    json!({
        "ReadonlyRootfs": config.data.readonly,
        "Binds": list(mounts.iter().filter_map(bind).collect()),
        "Tmpfs": mounts.iter().filter_map(memory).collect::<Map<_, _>>(),
    })
}

fn network(config: &Config) -> Value {
    let network = &config.network;
    let mode = match &network.mode {
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Private(_) => "private".to_owned(),
        NetworkMode::Container(id) => format!("container:{id}"),
        NetworkMode::Networks(places) => places.first().map(|place| place.network.clone()).unwrap_or_default(),
    };
    let mut bindings: Map<String, Value> = Map::new();
    for port in &network.ports {
        let host = match port.host {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let binding = json!({"HostIp": port.address.map(|ip| ip.to_string()).unwrap_or_default(), "HostPort": host});
        if let Value::Array(all) = bindings.entry(port.container.to_string()).or_insert_with(|| json!([])) {
            all.push(binding);
        }
    }
    let texts = |items: Vec<String>| list(items.into_iter().map(Value::String).collect());
    let hosts = network.hosts.iter().map(|host| {
        let address = host.address.map_or_else(|| "host-gateway".to_owned(), |address| address.to_string());
        format!("{}:{address}", host.name)
    });
    json!({
        "NetworkMode": mode,
        "PortBindings": bindings,
        "PublishAllPorts": network.publish_all,
        "Dns": texts(network.dns.iter().map(ToString::to_string).collect()),
        "DnsSearch": texts(network.dns_search.clone()),
        "DnsOptions": texts(network.dns_options.clone()),
        "ExtraHosts": texts(hosts.collect()),
    })
}

fn isolation(config: &Config) -> Result<Value> {
    let isolation = &config.isolation;
    let texts = |items: &[String]| list(items.iter().cloned().map(Value::String).collect());
    let mut options = Vec::new();
    if isolation.no_new_privs {
        options.push(json!("no-new-privileges"));
    }
    let runtime = isolation.runtime.clone().unwrap_or_else(|| "estiba".to_owned());
    let sysctls: Map<_, _> =
        isolation.sysctls.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    let devices = isolation.devices.iter().map(|device| {
        json!({
            "PathOnHost": device.host.display().to_string(),
            "PathInContainer": device.inside,
            "CgroupPermissions": device.rights,
        })
    });
    Ok(json!({
        "Privileged": isolation.privileged,
        "CapAdd": texts(&isolation.cap_add),
        "CapDrop": texts(&isolation.cap_drop),
        "GroupAdd": texts(&config.process.groups),
        "SecurityOpt": list(options),
        "PidMode": word(&isolation.pid)?,
        "IpcMode": word(&isolation.ipc)?,
        "UTSMode": word(&isolation.uts)?,
        "CgroupnsMode": word(&isolation.cgroup)?,
        "UsernsMode": word(&isolation.users)?,
        "Sysctls": sysctls,
        "Devices": Value::Array(devices.collect()),
        "MaskedPaths": texts(&isolation.masked),
        "Runtime": runtime,
    }))
}

/// A choice as it is written down: a word, or a word and what belongs to it.
fn word(choice: &impl serde::Serialize) -> Result<Value> {
    Ok(match serde_json::to_value(choice)? {
        Value::Object(map) => match map.into_iter().next() {
            Some((name, Value::String(of))) => Value::String(format!("{name}:{of}")),
            Some((name, of)) => Value::String(format!("{name}:{of}")),
            None => Value::Null,
        },
        other => other,
    })
}
