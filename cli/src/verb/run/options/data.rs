//! Files: mounts, volumes, read-only.

use containers::Containers;
use containers::config::{Config, Data, Mount, MountSource, same_target};
use containers::volume::Volumes;
use oci::{ContainerConfig, Digest};
use runtime::container::Memory;
use store::Store;
use sys::lock::Lock;

use crate::error::{Error, Result};
use crate::present::Wanted;
use crate::resolve::Policy;
use crate::ui::progress::Mode;
use crate::verb::pull::bare;
use crate::verb::run::mounts::{self, Asked};
use crate::wire::WireArgs;

/// Its files.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Mount a folder or file of the host, or a volume
    #[arg(short, long = "volume", value_name = "[HOST|NAME:]INSIDE[:OPTIONS]")]
    volumes: Vec<String>,
    /// Mount: type=bind|volume|tmpfs|image,src=PATH|NAME,dst=PATH[,ro][,…]
    #[arg(long = "mount", value_name = "MOUNT")]
    mounts: Vec<String>,
    /// Mount a folder in memory
    #[arg(long, value_name = "PATH[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Mount what another container mounts
    #[arg(long, value_name = "CONTAINER[:ro|rw]")]
    volumes_from: Vec<String>,
    /// The driver of volumes: local
    #[arg(long, value_name = "DRIVER", hide = true)]
    volume_driver: Option<String>,
    /// Refuse writes outside of mounts
    #[arg(long)]
    read_only: bool,
    /// With --read-only: folders in memory at /run, /tmp and /var/tmp
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    read_only_tmpfs: Option<bool>,
    /// size=SIZE: what the container may write to its own tree; it is killed soon after it wrote more
    #[arg(long, value_name = "size=SIZE")]
    storage_opt: Vec<String>,
}

impl Options {
    pub(super) fn settle(&self, defaults: &ContainerConfig) -> Result<Data> {
        if let Some(driver) = &self.volume_driver {
            mounts::check_driver(driver, "--volume-driver")?;
        }
        let mut mounts: Vec<Mount> = Vec::new();
        for asked in self.asked()? {
            if mounts.iter().any(|mount| same_target(&mount.target, &asked.mount.target)) {
                return Err(Error::usage(format!("two mounts at {}", asked.mount.target)));
            }
            mounts.push(asked.mount);
        }
        for target in defaults.volumes.keys() {
            add(&mut mounts, Asked::anonymous(target)?.mount);
        }
        if self.read_only && self.read_only_tmpfs == Some(true) {
            for target in ["/run", "/tmp", "/var/tmp"] {
                let memory = Memory { flags: mounts::REFUSED, fill: true, ..Memory::default() };
                add(&mut mounts, mounts::plain(target, MountSource::Memory(memory)));
            }
        }
        sort(&mut mounts);
        Ok(Data { readonly: self.read_only, mounts, shm_size: None })
    }

    /// The most bytes that its own tree may take.
    pub(super) fn size(&self) -> Result<Option<u64>> {
        let mut size = None;
        for option in &self.storage_opt {
            let bytes = option.strip_prefix("size=").and_then(store::room::parse_size).filter(|bytes| *bytes > 0);
            let bad = || Error::usage(format!("--storage-opt {option}: expected size=SIZE, such as size=10g"));
            size = Some(bytes.ok_or_else(bad)?);
        }
        Ok(size)
    }

    /// What is written, in docker's order.
    fn asked(&self) -> Result<Vec<Asked>> {
        let volumes = self.volumes.iter().map(|written| mounts::volume(written));
        let mounts = self.mounts.iter().map(|written| mounts::mount(written));
        let memory = self.tmpfs.iter().map(|written| mounts::tmpfs(written));
        volumes.chain(mounts).chain(memory).collect()
    }

    /// Makes what the mounts need: volumes, and what another container mounts.
    pub(super) fn provide(&self, config: &mut Config, store: &Store) -> Result<Option<Lock>> {
        let containers = Containers::new(store.layout());
        for written in &self.volumes_from {
            for mount in others(&containers, written)? {
                // What the image alone asks for gives way; what is written does not.
                let data = &mut config.data;
                data.mounts.retain(|own| !(is_of_image(own) && same_target(&own.target, &mount.target)));
                add(&mut data.mounts, mount);
            }
        }
        sort(&mut config.data.mounts);
        if config.data.mounts.is_empty() {
            return Ok(None);
        }
        let volumes = Volumes::new(containers.layout());
        let asked = self.asked()?;
        let named = config.data.mounts.iter().any(|mount| mount.volume().is_some());
        let lock = if named { Some(volumes.lock()?) } else { None };
        for mount in &mut config.data.mounts {
            match &mut mount.source {
                MountSource::Volume { name, anonymous: true, .. } => drop(volumes.create_anonymous(name)?),
                MountSource::Volume { name, .. } => {
                    let written = asked.iter().find(|asked| asked.mount.volume() == Some(name));
                    let (labels, options) =
                        written.map_or_else(Default::default, |asked| (asked.labels.clone(), asked.options.clone()));
                    volumes.create(name, labels, options)?;
                }
                MountSource::Image { name, manifest, .. } => *manifest = Some(mounted_image(store, name)?),
                _ => {}
            }
        }
        Ok(lock)
    }
}

/// The image that is mounted, fetched where it is not here.
fn mounted_image(store: &Store, name: &str) -> Result<Digest> {
    let setup = WireArgs::default().setup_for(bare(name))?;
    let wanted = Wanted { name, platform: None, policy: Policy::Missing, setup, mode: Mode::Auto };
    Ok(wanted.get(store)?.manifest.digest())
}

/// One that nobody wrote: the image says VOLUME.
fn is_of_image(mount: &Mount) -> bool {
    matches!(mount.source, MountSource::Volume { anonymous: true, .. })
}

fn add(mounts: &mut Vec<Mount>, mount: Mount) {
    if !mounts.iter().any(|there| same_target(&there.target, &mount.target)) {
        mounts.push(mount);
    }
}

/// What is mounted below another mount comes after it.
fn sort(mounts: &mut [Mount]) {
    mounts.sort_by_key(|mount| mount.target.split('/').filter(|part| !part.is_empty()).count());
}

/// What `--volumes-from` means: binds and volumes, which from then on are both containers'.
fn others(containers: &Containers, written: &str) -> Result<Vec<Mount>> {
    let what = format!("--volumes-from {written}");
    let (name, words) = written.split_once(':').unwrap_or((written, ""));
    let mut readonly = None;
    for word in words.split(',').filter(|word| !word.is_empty()) {
        match word {
            "ro" => readonly = Some(true),
            "rw" => readonly = Some(false),
            "z" | "Z" => {}
            other => return Err(Error::usage(format!("{what}: unknown option `{other}`"))),
        }
    }
    let other = crate::chosen::one(containers, name)?.config;
    let shared = |mount: &Mount| !matches!(mount.source, MountSource::Memory(_));
    Ok(other
        .data
        .mounts
        .iter()
        .filter(|mount| shared(mount))
        .map(|mount| {
            let mut mount = mount.clone();
            mount.readonly |= readonly == Some(true);
            mount
        })
        .collect())
}
