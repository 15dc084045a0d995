//! A container as `docker inspect` shows it.

use std::collections::BTreeMap;
use std::path::Path;

use containers::config::{Health, MountSource};
use containers::network::ports::Published;
use containers::state::Place;
use containers::{Config, Container, State, Status};
use runtime::container::Propagation;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{host, moment};
use crate::error::Result;
use crate::verb::ps::{Sizes, networks};

/// In docker's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: String,
    created: String,
    path: String,
    args: Vec<String>,
    state: Value,
    image: String,
    image_manifest: String,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    log_path: String,
    name: String,
    restart_count: u32,
    driver: &'static str,
    platform: String,
    mount_label: String,
    process_label: String,
    app_armor_profile: String,
    #[serde(rename = "ExecIDs")]
    exec_ids: Value,
    host_config: Value,
    graph_driver: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: Value,
    config: Value,
    network_settings: Value,
}

impl Inspected {
    pub(super) fn new(container: &Container, volumes: &Path, sizes: Option<&Sizes>) -> Result<Self> {
        let (config, state) = (&container.config, &container.state);
        let folder = container.folder.path().display();
        let (path, args) = config
            .process
            .args
            .split_first()
            .map_or_else(Default::default, |(path, args)| (path.clone(), args.to_vec()));
        Ok(Self {
            id: config.id.to_string(),
            created: moment(config.created),
            path,
            args,
            state: shown_state(state),
            image: config.image.id.to_string(),
            image_manifest: config.image.manifest.to_string(),
            resolv_conf_path: format!("{folder}/resolv.conf"),
            hostname_path: format!("{folder}/hostname"),
            hosts_path: format!("{folder}/hosts"),
            log_path: container.folder.log().display().to_string(),
            name: format!("/{}", config.name),
            restart_count: state.restarts,
            driver: "estiba",
            platform: config.image.platform.os.clone(),
            mount_label: String::new(),
            process_label: config.isolation.label.clone().unwrap_or_default(),
            app_armor_profile: config.isolation.profile.clone().unwrap_or_default(),
            exec_ids: Value::Null,
            host_config: host::shown(config)?,
            graph_driver: json!({"Data": null, "Name": "estiba"}),
            size_rw: sizes.map(|sizes| sizes.written(container)),
            size_root_fs: sizes.map(|sizes| sizes.whole(container)),
            mounts: shown_mounts(config, volumes),
            config: shown_config(config),
            network_settings: shown_network(config, state),
        })
    }
}

fn shown_state(state: &State) -> Value {
    let is = |status: Status| state.status == status;
    let up = is(Status::Running) || is(Status::Paused);
    let mut shown = json!({
        "Status": state.status,
        "Running": up || is(Status::Restarting),
        "Paused": is(Status::Paused),
        "Restarting": is(Status::Restarting),
        "OOMKilled": state.oom_killed,
        "Dead": false,
        "Pid": state.init.filter(|_| up).map_or(0, |init| init.pid),
        "SupervisorPid": state.supervisor.map_or(0, |supervisor| supervisor.pid),
        "ExitCode": state.exit_code.unwrap_or(0),
        "Error": state.error.clone().unwrap_or_default(),
        "StartedAt": moment(state.started),
        "FinishedAt": moment(state.finished),
    });
    if let (Some(health), Value::Object(map)) = (&state.health, &mut shown) {
        let log = health.log.iter().map(|probe| {
            json!({
                "Start": moment(probe.start),
                "End": moment(probe.end),
                "ExitCode": probe.exit_code,
                "Output": probe.output,
            })
        });
        let log = log.collect::<Vec<_>>();
        map.insert("Health".to_owned(), json!({"Status": health.status, "FailingStreak": health.failing, "Log": log}));
    }
    shown
}

fn shown_mounts(config: &Config, volumes: &Path) -> Value {
    let shown = config.data.mounts.iter().map(|mount| {
        let mut one = Map::new();
        let mut put = |name: &str, value: Value| drop(one.insert(name.to_owned(), value));
        let (kind, source, propagation) = match &mount.source {
            MountSource::Bind { path, propagation, recursive, .. } => {
                ("bind", path.display().to_string(), word(*propagation, *recursive))
            }
            MountSource::Overlay { path } => ("overlay", path.display().to_string(), ""),
            MountSource::Volume { name, .. } => {
                put("Name", json!(name));
                put("Driver", json!("local"));
                ("volume", volumes.join(name).join("_data").display().to_string(), "")
            }
            MountSource::Memory(_) => ("tmpfs", String::new(), ""),
            MountSource::Image { name, .. } => ("image", name.clone(), ""),
        };
        put("Type", json!(kind));
        put("Source", json!(source));
        put("Destination", json!(mount.target));
        put("Mode", json!(if mount.readonly { "ro" } else { "" }));
        put("RW", json!(!mount.readonly));
        put("Propagation", json!(propagation));
        Value::Object(one)
    });
    Value::Array(shown.collect())
}

fn word(propagation: Propagation, recursive: bool) -> &'static str {
    match (propagation, recursive) {
        (Propagation::Private, true) => "rprivate",
        (Propagation::Private, false) => "private",
        (Propagation::Slave, true) => "rslave",
        (Propagation::Slave, false) => "slave",
        (Propagation::Shared, true) => "rshared",
        (Propagation::Shared, false) => "shared",
    }
}

/// What an image's configuration says of a container, as it was settled.
fn shown_config(config: &Config) -> Value {
    let process = &config.process;
    let env: Vec<_> = process.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (entrypoint, cmd) = process.args.split_at(process.entrypoint.min(process.args.len()));
    let strings = |words: &[String]| if words.is_empty() { Value::Null } else { json!(words) };
    let exposed: BTreeMap<_, _> = config.network.exposed.iter().map(|port| (port.to_string(), json!({}))).collect();
    let mut shown = json!({
        "Hostname": process.hostname.clone().unwrap_or_default(),
        "Domainname": config.isolation.domainname.clone().unwrap_or_default(),
        "User": process.user,
        "AttachStdin": false,
        "AttachStdout": true,
        "AttachStderr": true,
        "ExposedPorts": exposed,
        "Tty": process.terminal,
        "OpenStdin": process.stdin,
        "StdinOnce": false,
        "Env": env,
        "Cmd": strings(cmd),
        "Image": config.image.name,
        "Volumes": null,
        "WorkingDir": process.cwd,
        "Entrypoint": strings(entrypoint),
        "OnBuild": null,
        "Labels": config.life.labels,
        "StopSignal": config.life.stop_signal.clone().unwrap_or_else(|| "SIGTERM".to_owned()),
        "StopTimeout": config.life.stop_timeout,
    });
    if let (Some(health), Value::Object(map)) = (&config.health, &mut shown) {
        map.insert("Healthcheck".to_owned(), shown_healthcheck(health));
    }
    shown
}

fn shown_healthcheck(health: &Health) -> Value {
    json!({
        "Test": health.test,
        "Interval": health.interval,
        "Timeout": health.timeout,
        "StartPeriod": health.start_period,
        "StartInterval": health.start_interval,
        "Retries": health.retries,
        "OnFailure": health.on_failure,
    })
}

fn shown_network(config: &Config, state: &State) -> Value {
    let up = matches!(state.status, Status::Running | Status::Paused);
    let places: &[Place] = if up { &state.network.places } else { &[] };
    let mut all = Map::new();
    for name in networks(config) {
        let place =
            places.iter().find(|place| place.network == name || (place.network.is_empty() && name == "private"));
        all.insert(name, shown_place(place));
    }
    let own = shown_place(places.first());
    json!({
        "Driver": state.network.driver,
        "Ports": if up { ports(&state.network.ports, config) } else { json!({}) },
        "IPAddress": own["IPAddress"],
        "IPPrefixLen": own["IPPrefixLen"],
        "Gateway": own["Gateway"],
        "GlobalIPv6Address": own["GlobalIPv6Address"],
        "GlobalIPv6PrefixLen": own["GlobalIPv6PrefixLen"],
        "IPv6Gateway": own["IPv6Gateway"],
        "MacAddress": own["MacAddress"],
        "Notes": state.network.notes,
        "Networks": all,
    })
}

fn shown_place(place: Option<&Place>) -> Value {
    let address = |four: bool| {
        let found = place.and_then(|place| place.addresses.iter().find(|(address, _)| address.is_ipv4() == four));
        found.map_or((String::new(), 0), |(address, length)| (address.to_string(), *length))
    };
    let gateway = |four: bool| {
        let found = place.and_then(|place| place.gateways.iter().find(|gateway| gateway.is_ipv4() == four));
        found.map(ToString::to_string).unwrap_or_default()
    };
    let ((four, four_length), (six, six_length)) = (address(true), address(false));
    json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": place.map(|place| &place.aliases).filter(|aliases| !aliases.is_empty()),
        "DNSNames": place.map(|place| &place.aliases).filter(|aliases| !aliases.is_empty()),
        "MacAddress": place.and_then(|place| place.mac).map(|mac| mac.to_string()).unwrap_or_default(),
        "DriverOpts": null,
        "NetworkID": place.map(|place| place.network.clone()).unwrap_or_default(),
        "EndpointID": "",
        "Gateway": gateway(true),
        "IPAddress": four,
        "IPPrefixLen": four_length,
        "IPv6Gateway": gateway(false),
        "GlobalIPv6Address": six,
        "GlobalIPv6PrefixLen": six_length,
    })
}

/// By the container's ports; exposed ones that are not published have no host.
fn ports(published: &[Published], config: &Config) -> Value {
    let mut all: BTreeMap<String, Option<Vec<Value>>> = BTreeMap::new();
    for port in &config.network.exposed {
        all.insert(port.to_string(), None);
    }
    for port in published {
        let host = json!({"HostIp": port.host.ip().to_string(), "HostPort": port.host.port().to_string()});
        all.entry(port.container.to_string()).or_default().get_or_insert_default().push(host);
    }
    json!(all)
}
