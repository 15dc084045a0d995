//! Networks of the user: what each is, kept as `<store>/networks/<name>.json`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sys::lock::Lock;

use super::address::{self, Cidr};
use crate::ContainerId;
use crate::event::{Event, Journal};
use crate::id::{NameError, SHORT, check_name};
use crate::layout::Layout;
use crate::time::Moment;

/// The format of a network's file. A greater number is refused.
const VERSION: u32 = 1;
/// Words that mean a kind of network, so that no network can have them as its name.
pub const RESERVED: &[&str] =
    &["host", "none", "private", "default", "bridge", "container", "pasta", "slirp4netns", "builtin"];
/// The most bytes of a network's file that are read.
const FILE_LIMIT: u64 = 1 << 20;

/// A network of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// [`VERSION`].
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Moment,
    /// Its addresses: one or two subnets of different kinds.
    pub subnets: Vec<Subnet>,
    /// Whether nothing leaves it.
    pub internal: bool,
    /// Whether names resolve.
    pub dns: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of its driver.
    pub options: BTreeMap<String, String>,
}

/// Addresses of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// All of them.
    pub subnet: Cidr,
    /// The bridge's.
    pub gateway: IpAddr,
    /// Those that are given out; `None`: all.
    pub range: Option<Cidr>,
}

/// What is asked of a new network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its subnets; empty: one of the pool.
    pub subnets: Vec<Cidr>,
    /// Gateways, each in one of the subnets.
    pub gateways: Vec<IpAddr>,
    /// Ranges, each in one of the subnets.
    pub ranges: Vec<Cidr>,
    /// Whether it has IPv6 addresses.
    pub ipv6: bool,
    /// As [`Definition::internal`].
    pub internal: bool,
    /// As [`Definition::dns`], but the other way round.
    pub disable_dns: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of its driver.
    pub options: BTreeMap<String, String>,
}

/// What goes wrong with networks.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No name for a network.
    #[error(
        "{0:?} cannot name a network: a name is letters, digits and `_.-`, at least two, the first a letter or digit"
    )]
    Name(String),
    /// A word with a meaning.
    #[error("{0:?} is a kind of network, and cannot name one")]
    Reserved(String),
    /// The name is taken.
    #[error("there is a network {0} already")]
    Exists(String),
    /// There is no such network.
    #[error("there is no network {0}")]
    Missing(String),
    /// Several ids begin so.
    #[error("{0} is the beginning of the ids of {1} networks")]
    Ambiguous(String, usize),
    /// Containers are in it.
    #[error("network {0} is in use by {1}")]
    InUse(String, String),
    /// A subnet that another one has.
    #[error("subnet {0} overlaps {1}, which {2} has")]
    Overlap(Cidr, Cidr, String),
    /// No subnet is left.
    #[error("no subnet of 10.89.0.0–10.127.255.0 is free: give one with --subnet")]
    NoSubnet,
    /// An option that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The disk.
    #[error("{0} {1}: {2}")]
    Io(&'static str, PathBuf, std::io::Error),
    /// A file that is not ours, or of a later version.
    #[error("{0} is not a network's file: {1}")]
    Damaged(PathBuf, String),
    /// No id could be made.
    #[error(transparent)]
    Id(#[from] NameError),
    /// A kernel call failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

impl Definition {
    /// The bridge's name on its machine: 14 characters, of the id, so that networks of other stores have others.
    pub fn bridge(&self) -> String {
        format!("estiba{}", &self.id.as_str()[..8])
    }

    /// The subnet of an address.
    pub fn subnet_of(&self, address: IpAddr) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.subnet.contains(address))
    }

    /// The packet size that its options ask for.
    pub fn mtu(&self) -> Option<u32> {
        let option = ["mtu", "com.docker.network.driver.mtu"].iter().find_map(|key| self.options.get(*key))?;
        option.parse().ok()
    }
}

/// The networks of a store.
#[derive(Debug, Clone)]
pub struct Networks {
    folder: PathBuf,
    journal: Journal,
}

impl Networks {
    /// Those of this layout. Touches nothing.
    pub fn new(layout: &Layout) -> Self {
        Self { folder: layout.networks(), journal: Journal::new(layout) }
    }

    #[cfg(test)]
    pub(crate) fn at(folder: PathBuf) -> Self {
        let journal = Journal::new(&Layout::new(&store::Layout::new(&folder)));
        Self { folder, journal }
    }

    /// Makes one.
    ///
    /// # Errors
    /// What of it is taken or makes no sense.
    pub fn create(&self, wanted: &Wanted) -> Result<Definition, NetworkError> {
        check(&wanted.name)?;
        let io = |error| NetworkError::Io("make", self.folder.clone(), error);
        fs::create_dir_all(&self.folder).map_err(io)?;
        let _lock = self.lock()?;
        let others = self.list()?;
        if others.iter().any(|other| other.name == wanted.name) {
            return Err(NetworkError::Exists(wanted.name.clone()));
        }
        let id = ContainerId::random()?;
        let definition = Definition {
            version: VERSION,
            subnets: subnets(wanted, &others, &id, &address::routed())?,
            id,
            name: wanted.name.clone(),
            created: Moment::now(),
            internal: wanted.internal,
            dns: !wanted.disable_dns,
            labels: wanted.labels.clone(),
            options: wanted.options.clone(),
        };
        self.write(&definition)?;
        self.tell(&definition, "create");
        Ok(definition)
    }

    /// All, by name.
    ///
    /// # Errors
    /// A folder that cannot be read, a file that is not one of ours.
    pub fn list(&self) -> Result<Vec<Definition>, NetworkError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(NetworkError::Io("read", self.folder.clone(), error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| NetworkError::Io("read", self.folder.clone(), error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // Ours begin with a dot; so does what is being written.
            if !name.starts_with('.') && name.ends_with(".json") {
                all.extend(read(&path)?);
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// One, by its name, its id or the beginning of its id.
    ///
    /// # Errors
    /// [`NetworkError::Missing`], [`NetworkError::Ambiguous`].
    pub fn find(&self, word: &str) -> Result<Definition, NetworkError> {
        let all = self.list()?;
        if let Some(named) = all.iter().find(|network| network.name == word || network.id.as_str() == word) {
            return Ok(named.clone());
        }
        let mut begins = all.into_iter().filter(|network| !word.is_empty() && network.id.as_str().starts_with(word));
        match (begins.next(), begins.count()) {
            (Some(one), 0) => Ok(one),
            (Some(_), more) => Err(NetworkError::Ambiguous(word.to_owned(), more + 1)),
            (None, _) => Err(NetworkError::Missing(word.to_owned())),
        }
    }

    /// Removes one. Who may be in it is the caller's to ask before.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(&self, definition: &Definition) -> Result<(), NetworkError> {
        let path = self.file(&definition.name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(NetworkError::Io("remove", path, error)),
            Err(_) => Ok(()),
            Ok(()) => {
                self.tell(definition, "destroy");
                Ok(())
            }
        }
    }

    fn tell(&self, definition: &Definition, action: &str) {
        let event = Event::now("network", action, definition.id.as_str());
        self.journal.record(&event.with("name", &definition.name).with("type", "bridge"));
    }

    /// Excludes others who make or remove networks.
    fn lock(&self) -> Result<Lock, NetworkError> {
        let path = self.folder.join(".lock");
        let file = File::options().create(true).append(true).open(&path);
        Ok(Lock::exclusive(file.map_err(|error| NetworkError::Io("open", path, error))?)?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    fn write(&self, definition: &Definition) -> Result<(), NetworkError> {
        let (path, partial) = (self.file(&definition.name), self.folder.join(format!(".{}", definition.id)));
        let write = || {
            let mut file = File::create(&partial)?;
            file.write_all(&serde_json::to_vec_pretty(definition)?)?;
            file.sync_all()?;
            fs::rename(&partial, &path)
        };
        write().map_err(|error| NetworkError::Io("write", path.clone(), error))
    }
}

/// `None` where it has just gone.
fn read(path: &std::path::Path) -> Result<Option<Definition>, NetworkError> {
    let damaged = |why: String| NetworkError::Damaged(path.to_owned(), why);
    let bytes = match fs::metadata(path)
        .and_then(|found| if found.len() > FILE_LIMIT { Ok(Vec::new()) } else { fs::read(path) })
    {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(NetworkError::Io("read", path.to_owned(), error)),
    };
    let definition: Definition = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if definition.version > VERSION {
        return Err(damaged("a later version of estiba wrote it".to_owned()));
    }
    Ok(Some(definition))
}

/// Whether a name may be a network's.
///
/// # Errors
/// [`NetworkError::Name`], [`NetworkError::Reserved`].
pub fn check(name: &str) -> Result<(), NetworkError> {
    // Its file's name is longer.
    if name.len() > 200 || check_name(name).is_err() {
        return Err(NetworkError::Name(name.to_owned()));
    }
    if RESERVED.contains(&name) { Err(NetworkError::Reserved(name.to_owned())) } else { Ok(()) }
}

/// The subnets of a new network, among those of `others` and what the machine has `routes` to.
fn subnets(
    wanted: &Wanted,
    others: &[Definition],
    id: &ContainerId,
    routes: &[Cidr],
) -> Result<Vec<Subnet>, NetworkError> {
    let digits = |from: usize| u8::from_str_radix(&id.as_str()[from..from + 2], 16).unwrap_or_default();
    let mut asked = wanted.subnets.clone();
    let owned = || others.iter().flat_map(|other| other.subnets.iter().map(move |subnet| (other, subnet.subnet)));
    let used: Vec<Cidr> = owned().map(|(_, subnet)| subnet).chain(routes.iter().copied()).collect();
    if asked.is_empty() {
        // On a machine that root's networks of several stores share, each begins to look elsewhere.
        let start =
            if rustix::process::geteuid().is_root() { u32::from(digits(0)) << 8 | u32::from(digits(2)) } else { 0 };
        asked.push(address::from_pool(&used, start).ok_or(NetworkError::NoSubnet)?);
    }
    if wanted.ipv6 && !asked.iter().any(|subnet| subnet.address.is_ipv6()) {
        asked.push(address::local_v6([digits(0), digits(2), digits(4), digits(6), digits(8)]));
    }
    if asked.iter().filter(|subnet| subnet.address.is_ipv4()).count() > 1
        || asked.iter().filter(|subnet| subnet.address.is_ipv6()).count() > 1
    {
        return Err(NetworkError::Invalid("a network has one subnet of IPv4 and one of IPv6 at most".to_owned()));
    }
    let mut made = Vec::new();
    for cidr in asked.into_iter().map(Cidr::network) {
        if let Some((other, theirs)) = owned().find(|(_, theirs)| theirs.overlaps(cidr)) {
            return Err(NetworkError::Overlap(cidr, theirs, format!("network {}", other.name)));
        }
        if let Some(route) = routes.iter().find(|route| route.overlaps(cidr)) {
            return Err(NetworkError::Overlap(cidr, *route, "this machine".to_owned()));
        }
        made.push(subnet(cidr, wanted)?);
    }
    if let Some(stray) =
        wanted.gateways.iter().find(|gateway| !made.iter().any(|subnet| subnet.subnet.contains(**gateway)))
    {
        return Err(NetworkError::Invalid(format!("gateway {stray} is in no subnet of the network")));
    }
    if let Some(stray) = wanted.ranges.iter().find(|range| !made.iter().any(|subnet| subnet.range == Some(**range))) {
        return Err(NetworkError::Invalid(format!("range {stray} is in no subnet of the network")));
    }
    Ok(made)
}

fn subnet(cidr: Cidr, wanted: &Wanted) -> Result<Subnet, NetworkError> {
    let (least, most) = if cidr.address.is_ipv4() { (4, 30) } else { (16, 126) };
    if !(least..=most).contains(&cidr.prefix) {
        return Err(NetworkError::Invalid(format!("subnet {cidr}: its prefix must be of {least} to {most} bits")));
    }
    let gateway = wanted.gateways.iter().copied().find(|gateway| cidr.contains(*gateway)).or_else(|| cidr.nth(1));
    let gateway = gateway.filter(|gateway| cidr.is_usable(*gateway)).ok_or_else(|| {
        NetworkError::Invalid(format!("subnet {cidr}: its gateway cannot be its first or last address"))
    })?;
    let inside = |range: &Cidr| range.prefix >= cidr.prefix && cidr.contains(range.address);
    Ok(Subnet { subnet: cidr, gateway, range: wanted.ranges.iter().copied().find(inside) })
}

/// How ids are shown in lists.
pub fn short(id: &ContainerId) -> &str {
    &id.as_str()[..SHORT]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks() -> (tempfile::TempDir, Networks) {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::at(dir.path().join("networks"));
        (dir, networks)
    }

    fn named(name: &str) -> Wanted {
        Wanted { name: name.to_owned(), ..Wanted::default() }
    }

    #[test]
    fn made_found_and_removed() {
        let (_dir, networks) = networks();
        assert_eq!(networks.list().unwrap(), []);
        let made = networks.create(&named("web")).unwrap();
        assert_eq!(made.bridge().len(), 14);
        assert_eq!(networks.find("web").unwrap(), made);
        assert_eq!(networks.find(&made.id.as_str()[..6]).unwrap(), made);
        assert!(matches!(networks.create(&named("web")), Err(NetworkError::Exists(_))));
        let other = networks.create(&named("db")).unwrap();
        assert!(!other.subnets[0].subnet.overlaps(made.subnets[0].subnet));
        networks.remove(&made).unwrap();
        assert!(matches!(networks.find("web"), Err(NetworkError::Missing(_))));
        assert!(matches!(networks.find(""), Err(NetworkError::Missing(_))));
    }

    #[test]
    fn what_is_asked_is_had_or_refused() {
        let (_dir, networks) = networks();
        let asked = |subnet: &str, gateway: &str, range: &str| Wanted {
            name: format!("n{}", subnet.len() + range.len()),
            subnets: subnet.split(' ').filter(|s| !s.is_empty()).map(|s| s.parse().unwrap()).collect(),
            gateways: gateway.parse().into_iter().collect(),
            ranges: range.parse().into_iter().collect(),
            ..Wanted::default()
        };
        for (subnet, gateway, range, words) in [
            ("10.200.0.0/31", "", "", "prefix"),
            ("10.200.0.0/24", "10.201.0.1", "", "gateway 10.201.0.1 is in no subnet"),
            ("10.200.0.0/24", "10.200.0.0", "", "first or last"),
            ("10.200.0.0/24", "10.200.0.255", "", "first or last"),
            ("10.200.0.0/24", "", "10.200.0.0/16", "range 10.200.0.0/16"),
            ("10.200.0.0/24 10.201.0.0/24", "", "", "one subnet of IPv4"),
        ] {
            let refused = networks.create(&asked(subnet, gateway, range)).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
        let made = networks.create(&asked("10.200.0.7/24", "10.200.0.9", "10.200.0.128/25")).unwrap();
        assert_eq!(made.subnets[0].subnet.to_string(), "10.200.0.0/24");
        assert_eq!(made.subnets[0].gateway.to_string(), "10.200.0.9");
        let overlap = networks.create(&asked("10.200.0.0/16", "", "")).unwrap_err().to_string();
        assert!(overlap.contains("overlaps 10.200.0.0/24, which network"), "{overlap}");
        let six = networks.create(&Wanted { ipv6: true, ..named("six") }).unwrap();
        assert_eq!(six.subnets.len(), 2);
        assert!(six.subnets[1].gateway.to_string().starts_with("fd"));
    }

    #[test]
    fn words_with_a_meaning_and_names_that_are_paths_are_refused() {
        for bad in ["host", "none", "private", "container", "", "a", "../x", "a/b", "-x", "a\u{1b}[2J"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check("web-1").is_ok());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let (_dir, networks) = networks();
        networks.create(&named("web")).unwrap();
        fs::write(networks.file("web"), "{").unwrap();
        assert!(networks.list().unwrap_err().to_string().contains("web.json is not a network's file"));
    }
}
