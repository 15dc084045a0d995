//! A pull from something that is no registry: a layout or an archive on this machine.

use std::fs::File;
use std::path::Path;

use builder::transfer::copy::{Place, Which};
use oci::{Digest, Platform, Reference};
use store::Store;

use super::Tell;
use crate::error::{Error, Result, While};
use crate::verb::load;

/// Brings the image into the store. Gives what is to be printed.
pub(super) fn pull(store: &Store, place: &Place, platform: Option<&Platform>, tell: Tell) -> Result<String> {
    // Until they are named, only the lease keeps a collector away from the images.
    let _lease = store.lease()?;
    let loaded = match place {
        Place::Layout { dir, which } => {
            let wanted = match which {
                Which::Only => None,
                Which::Named(name) => Some(name.clone()),
                Which::Digest(digest) => Some(digest.to_string()),
            };
            let platform = platform.cloned().unwrap_or_else(Platform::host);
            let manifest = builder::import::layout(store, dir, wanted.as_deref(), &platform).during(place)?;
            let mut names = load::names_in(dir, &manifest)?;
            if names.is_empty() {
                names.extend(name_for(dir, which));
            }
            vec![(names, manifest)]
        }
        Place::Archive { file, which: Which::Only } | Place::DockerArchive { file, reference: None } => {
            load::load_stream(store, Box::new(File::open(file).during(format!("open {}", file.display()))?))
                .during(place)?
        }
        Place::Archive { .. } | Place::DockerArchive { .. } => {
            return Err(Error::usage(format!("{place}: a pull takes all images of an archive"))
                .hint(format!("`estiba copy {place} store:NAME` takes one")));
        }
        Place::Registry(_) | Place::Store(_) => {
            return Err(Error::usage(format!("{place}: it is in the store, or will be: nothing is to be pulled")));
        }
    };
    let mut out = String::new();
    for (names, manifest) in loaded {
        let kept = load::keep(store, &names, &manifest)?;
        out.push_str(&said(tell, &manifest, &names, kept));
    }
    Ok(out)
}

fn said(tell: Tell, manifest: &Digest, names: &[Reference], kept: String) -> String {
    match tell {
        Tell::Nothing => String::new(),
        Tell::Digest => format!("{manifest}\n"),
        Tell::Lines => names.last().map_or(kept, |name| format!("Digest: {manifest}\n{name}\n")),
    }
}

/// The name of an image whose layout tells none: a whole reference, or the folder's name with the tag.
fn name_for(dir: &Path, which: &Which) -> Option<Reference> {
    let folder = dir.file_name()?.to_str()?.to_lowercase();
    match which {
        Which::Named(name) if name.contains(['/', ':']) => name.parse().ok(),
        Which::Named(tag) => format!("{folder}:{tag}").parse().ok(),
        Which::Only | Which::Digest(_) => folder.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_get_a_name() {
        let named = |dir: &str, which: Which| name_for(Path::new(dir), &which).map(|name| name.familiar());
        assert_eq!(named("/x/App", Which::Only).as_deref(), Some("app:latest"));
        assert_eq!(named("app", Which::Named("v1".to_owned())).as_deref(), Some("app:v1"));
        assert_eq!(named("app", Which::Named("a.b/c:v1".to_owned())).as_deref(), Some("a.b/c:v1"));
        assert_eq!(named("/", Which::Only), None);
    }
}
