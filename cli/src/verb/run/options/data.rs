//! Files: mounts, volumes, read-only.

use containers::config::Data;
use oci::ContainerConfig;
use runtime::container::{Mount, Source};

use crate::error::Result;
use crate::verb::run::mounts;

/// Its files.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(in crate::verb) struct Options {
    /// Mount a folder or file of the host
    #[arg(short, long = "volume", value_name = "HOST:INSIDE[:ro]")]
    volumes: Vec<String>,
    /// Mount: type=bind,src=PATH,dst=PATH[,ro] or type=tmpfs,dst=PATH[,tmpfs-size=SIZE][,tmpfs-mode=MODE]
    #[arg(long = "mount", value_name = "MOUNT")]
    mounts: Vec<String>,
    /// Mount a folder in memory
    #[arg(long, value_name = "PATH[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Refuse writes outside of mounts
    #[arg(long)]
    read_only: bool,
}

impl Options {
    pub(super) fn settle(&self, defaults: &ContainerConfig) -> Result<Data> {
        let (mounts, folders) = self.all_mounts(defaults)?;
        Ok(Data { readonly: self.read_only, mounts, folders, shm_size: None })
    }

    /// The mounts, and the volumes without a name that are folders of the container's own tree.
    fn all_mounts(&self, defaults: &ContainerConfig) -> Result<(Vec<Mount>, Vec<String>)> {
        let mut all: Vec<Mount> = Vec::new();
        let mut own: Vec<String> = defaults.volumes.keys().cloned().collect();
        for written in &self.volumes {
            match mounts::volume(written)? {
                Some(mount) => all.push(mount),
                None => own.push(written.clone()),
            }
        }
        for written in &self.mounts {
            all.push(mounts::mount(written)?);
        }
        for written in &self.tmpfs {
            all.push(mounts::tmpfs(written)?);
        }
        let is_mounted = |target: &String| {
            all.iter().any(|mount| mount.target.trim_end_matches('/') == target.trim_end_matches('/'))
        };
        own.retain(|target| !is_mounted(target));
        if self.read_only {
            // A volume takes writes even where nothing else does. Elsewhere the container's own tree serves.
            all.extend(own.drain(..).map(|target| Mount {
                target,
                source: Source::Tmpfs { size: None, mode: 0o755 },
                readonly: false,
            }));
        }
        all.sort_by_key(|mount| mount.target.trim_end_matches('/').matches('/').count());
        Ok((all, own))
    }
}
