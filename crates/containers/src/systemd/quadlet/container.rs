//! `.container`: a service that runs one.

use super::super::unit::{Section, Unit};
use super::super::words;
use super::key::{self, Becomes, Row};
use super::{Making, Problem, Source, stem};

const SECTION: &str = "Container";

/// Its keys.
const KEYS: &[Row] = &[
    ("AddCapability", Becomes::Words("--cap-add")),
    ("AddDevice", Becomes::Each("--device")),
    ("AddHost", Becomes::Each("--add-host")),
    ("Annotation", Becomes::Words("--annotation")),
    ("AutoUpdate", Becomes::Refused("`Pull=newer` fetches a newer image at each start")),
    ("CgroupsMode", Becomes::One("--cgroups")),
    ("ContainerName", Becomes::Own),
    ("ContainersConfModule", Becomes::Refused("there is no such configuration")),
    ("DNS", Becomes::Each("--dns")),
    ("DNSOption", Becomes::Each("--dns-option")),
    ("DNSSearch", Becomes::Each("--dns-search")),
    ("DropCapability", Becomes::Words("--cap-drop")),
    ("Entrypoint", Becomes::One("--entrypoint")),
    ("Environment", Becomes::Words("--env")),
    ("EnvironmentFile", Becomes::Own),
    ("Exec", Becomes::Own),
    ("ExposeHostPort", Becomes::Each("--expose")),
    ("GIDMap", Becomes::Each("--gidmap")),
    ("GlobalArgs", Becomes::Own),
    ("Group", Becomes::Own),
    ("GroupAdd", Becomes::Each("--group-add")),
    ("HealthCmd", Becomes::One("--health-cmd")),
    ("HealthInterval", Becomes::One("--health-interval")),
    ("HealthOnFailure", Becomes::One("--health-on-failure")),
    ("HealthRetries", Becomes::One("--health-retries")),
    ("HealthStartPeriod", Becomes::One("--health-start-period")),
    ("HealthTimeout", Becomes::One("--health-timeout")),
    ("HostName", Becomes::One("--hostname")),
    ("IP", Becomes::One("--ip")),
    ("IP6", Becomes::One("--ip6")),
    ("Image", Becomes::Own),
    ("Label", Becomes::Words("--label")),
    ("LogDriver", Becomes::Own),
    ("LogOpt", Becomes::Each("--log-opt")),
    ("Mask", Becomes::Own),
    ("Memory", Becomes::One("--memory")),
    ("Mount", Becomes::Own),
    ("Network", Becomes::Own),
    ("NetworkAlias", Becomes::Each("--network-alias")),
    ("NoNewPrivileges", Becomes::Own),
    ("Notify", Becomes::Own),
    ("PidsLimit", Becomes::One("--pids-limit")),
    ("Pod", Becomes::Refused("containers that share a network name it: `Network=other.container`")),
    ("PodmanArgs", Becomes::Arguments),
    ("EstibaArgs", Becomes::Arguments),
    ("PublishPort", Becomes::Each("--publish")),
    ("Pull", Becomes::One("--pull")),
    ("ReadOnly", Becomes::Switch("--read-only")),
    ("Rootfs", Becomes::Refused("`estiba import` makes an image of a folder")),
    ("RunInit", Becomes::Switch("--init")),
    ("SeccompProfile", Becomes::Own),
    ("SecurityLabelDisable", Becomes::Own),
    ("SecurityLabelType", Becomes::Own),
    ("ServiceName", Becomes::Own),
    ("ShmSize", Becomes::One("--shm-size")),
    ("StopSignal", Becomes::One("--stop-signal")),
    ("StopTimeout", Becomes::One("--stop-timeout")),
    ("Sysctl", Becomes::Words("--sysctl")),
    ("Timezone", Becomes::Refused("`Environment=TZ=…` says it to most programs")),
    ("Tmpfs", Becomes::Each("--tmpfs")),
    ("UIDMap", Becomes::Each("--uidmap")),
    ("Ulimit", Becomes::Each("--ulimit")),
    ("Unmask", Becomes::Own),
    ("User", Becomes::Own),
    ("UserNS", Becomes::One("--userns")),
    ("Volume", Becomes::Own),
    ("WorkingDir", Becomes::One("--workdir")),
];

/// What the container is called.
pub(super) fn name(source: &Source) -> String {
    let named = source.unit.section(SECTION).and_then(|section| section.last("ContainerName"));
    named.map_or_else(|| default_name(stem(&source.path)), str::to_owned)
}

fn default_name(stem: &str) -> String {
    if stem.ends_with('@') { "systemd-%p_%i".to_owned() } else { "systemd-%N".to_owned() }
}

pub(super) fn unit(making: &Making<'_>) -> Result<Unit, Problem> {
    let empty = Section::default();
    let section = making.source.unit.section(SECTION).unwrap_or(&empty);
    let image = section.last("Image").ok_or(Problem::Missing(SECTION, "Image"))?;
    let mut unit = making.begin(SECTION);
    let name = name(making.source);
    let mut run = making.command(&["run", "--name", &name, "--replace", "--rm", "-d", "--cgroups=split"]);
    run.extend(notifies(section)?);
    run.extend(["--log-driver".to_owned(), section.last("LogDriver").unwrap_or("passthrough").to_owned()]);
    run.extend(key::options(making, SECTION, section, KEYS)?);
    run.extend(security(section)?);
    run.extend(user(section));
    run.extend(files(making, section));
    run.extend(networks(making, &mut unit, section)?);
    run.extend(mounts(making, &mut unit, section)?);
    run.push(match super::extension(image.as_ref()) {
        "image" | "build" => making.named(&mut unit, "Image", image)?,
        _ => image.to_owned(),
    });
    if let Some(exec) = section.last("Exec") {
        run.extend(making.words("Exec", exec)?);
    }
    let service = unit.section_mut("Service");
    service.add("Environment", "ESTIBA_SYSTEMD_UNIT=%n");
    service.preset("Type", "notify");
    // The supervisor takes the place of the command that starts it, and says so itself.
    service.preset("NotifyAccess", "all");
    service.preset("KillMode", "mixed");
    service.preset("Delegate", "yes");
    service.preset("SyslogIdentifier", "%N");
    let end = making.command(&["rm", "-v", "-f", &name]);
    let end = words::join(end.iter().map(String::as_str));
    service.add("ExecStart", words::join(run.iter().map(String::as_str)));
    service.add("ExecStop", &end);
    service.add("ExecStopPost", format!("-{end}"));
    Ok(unit)
}

fn notifies(section: &Section) -> Result<Vec<String>, Problem> {
    let how = match section.last("Notify") {
        Some("healthy") => "healthy",
        Some(value) if key::switch("Notify", value)? => "container",
        _ => "conmon",
    };
    Ok(vec![format!("--sdnotify={how}")])
}

fn security(section: &Section) -> Result<Vec<String>, Problem> {
    let mut all = Vec::new();
    let mut add = |value: String| all.extend(["--security-opt".to_owned(), value]);
    let says = |name: &str| section.last(name).map(|value| key::switch(name, value)).transpose();
    if says("NoNewPrivileges")?.unwrap_or(false) {
        add("no-new-privileges".to_owned());
    }
    if says("SecurityLabelDisable")?.unwrap_or(false) {
        add("label=disable".to_owned());
    }
    for (key, option) in
        [("SecurityLabelType", "label=type:"), ("SeccompProfile", "seccomp="), ("Mask", "mask="), ("Unmask", "unmask=")]
    {
        section.all(key).into_iter().for_each(|value| add(format!("{option}{value}")));
    }
    Ok(all)
}

fn user(section: &Section) -> Vec<String> {
    match (section.last("User"), section.last("Group")) {
        (Some(user), Some(group)) => vec!["--user".to_owned(), format!("{user}:{group}")],
        (Some(user), None) => vec!["--user".to_owned(), user.to_owned()],
        (None, Some(group)) => vec!["--user".to_owned(), format!("0:{group}")],
        (None, None) => Vec::new(),
    }
}

/// Files of variables, relative to the description.
fn files(making: &Making<'_>, section: &Section) -> Vec<String> {
    let all = section.all("EnvironmentFile").into_iter();
    all.flat_map(|path| ["--env-file".to_owned(), beside(making, path)]).collect()
}

/// A path of the host: absolute, by a specifier, or relative to the description.
pub(super) fn beside(making: &Making<'_>, path: &str) -> String {
    if path.starts_with(['/', '%']) {
        return path.to_owned();
    }
    let folder = making.source.path.parent().unwrap_or(std::path::Path::new("/"));
    folder.join(path).components().collect::<std::path::PathBuf>().display().to_string()
}

fn networks(making: &Making<'_>, unit: &mut Unit, section: &Section) -> Result<Vec<String>, Problem> {
    let mut all = Vec::new();
    for value in section.all("Network") {
        let (name, options) = value.split_once(':').map_or((value, None), |(name, options)| (name, Some(options)));
        let mut network = match super::extension(name.as_ref()) {
            "network" => making.named(unit, "Network", name)?,
            "container" => format!("container:{}", making.named(unit, "Network", name)?),
            _ => name.to_owned(),
        };
        if let Some(options) = options {
            network = format!("{network}:{options}");
        }
        all.extend(["--network".to_owned(), network]);
    }
    Ok(all)
}

fn mounts(making: &Making<'_>, unit: &mut Unit, section: &Section) -> Result<Vec<String>, Problem> {
    let mut all = Vec::new();
    for value in section.all("Volume") {
        let written = match value.split_once(':') {
            Some((source, rest)) if super::extension(source.as_ref()) == "volume" => {
                format!("{}:{rest}", making.named(unit, "Volume", source)?)
            }
            Some((source, rest)) if source.starts_with('.') => format!("{}:{rest}", beside(making, source)),
            _ => value.to_owned(),
        };
        all.extend(["--volume".to_owned(), written]);
    }
    for value in section.all("Mount") {
        let mut parts = Vec::new();
        for part in value.split(',') {
            parts.push(match part.split_once('=') {
                Some((key @ ("source" | "src"), name)) if super::extension(name.as_ref()) == "volume" => {
                    format!("{key}={}", making.named(unit, "Mount", name)?)
                }
                Some((key @ ("source" | "src"), name)) if name.starts_with('.') => {
                    format!("{key}={}", beside(making, name))
                }
                _ => part.to_owned(),
            });
        }
        all.extend(["--mount".to_owned(), parts.join(",")]);
    }
    Ok(all)
}
