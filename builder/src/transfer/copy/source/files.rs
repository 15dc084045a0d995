//! OCI layouts as sources: folders and tars alike.
//! Specification: OCI image-spec, image-layout.md.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::{Descriptor, Digest, Index};
use sys::Root;

use super::member::{Member, MemberBlob};
use super::tar::Members;
use crate::transfer::copy::document::{Document, Parsed};
use crate::transfer::copy::{CopyError, Which, fallback};

/// The annotation that names an image in a layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The one in which containerd and docker put the whole reference.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
/// Manifests of an index.json that are read to find what refers to another.
const MAX_LOOKED_AT: usize = 10_000;

/// A layout that is read.
#[derive(Debug)]
pub(crate) struct Layout {
    path: PathBuf,
    name: String,
    which: Which,
    form: Form,
    index: Index,
}

#[derive(Debug)]
enum Form {
    Folder(Root),
    Tar(Members),
}

impl Layout {
    /// A folder.
    pub(super) fn folder(dir: &Path, which: Which, name: String) -> Result<Self, CopyError> {
        let root = Root::open(dir).map_err(|error| CopyError::io(error.call(), dir, error.errno().into()))?;
        Self::new(dir, which, name, Form::Folder(root))
    }

    /// A tar.
    pub(super) fn tar(file: &Path, which: Which, name: String) -> Result<Self, CopyError> {
        Self::new(file, which, name, Form::Tar(Members::scan(file)?))
    }

    fn new(path: &Path, which: Which, name: String, form: Form) -> Result<Self, CopyError> {
        let mut layout = Self { path: path.to_path_buf(), name, which, form, index: Index::new(Vec::new()) };
        let no_layout = |problem: String| CopyError::NoLayout { path: path.to_path_buf(), problem };
        let bytes = match layout.member("index.json")? {
            Some(member) => member.bytes()?,
            None => return Err(no_layout("it has no index.json".to_owned())),
        };
        layout.index = serde_json::from_slice(&bytes).map_err(|error| no_layout(format!("its index.json: {error}")))?;
        Ok(layout)
    }

    fn member(&self, name: &str) -> Result<Option<Member>, CopyError> {
        let path = self.path.join(name);
        match &self.form {
            Form::Tar(members) => Ok(members.get(&self.path, name)),
            Form::Folder(root) => match root.open_regular(name) {
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(CopyError::io(error.call(), &path, error.errno().into())),
                Ok(file) => {
                    let size = file.metadata().map_err(|error| CopyError::io("stat", &path, error))?.len();
                    Ok(Some(Member { file: Arc::new(file), path, start: 0, size }))
                }
            },
        }
    }

    fn blob_member(&self, digest: &Digest) -> Result<Member, CopyError> {
        self.member(&blob_path(digest))?.ok_or_else(|| CopyError::Choice {
            place: self.name.clone(),
            problem: format!("{} is missing from the layout", blob_path(digest)),
            there: Vec::new(),
        })
    }

    /// The image that was named, or the only one.
    pub(super) fn top(&self) -> Result<Document, CopyError> {
        let chosen = choose(&self.index.manifests, &self.which).map_err(|problem| CopyError::Choice {
            place: self.name.clone(),
            problem,
            there: self.index.manifests.iter().filter_map(name_of).collect(),
        });
        match (chosen, &self.which) {
            (Ok(descriptor), _) => self.document(&descriptor),
            // A manifest that an index lists, and index.json does not.
            (Err(error), Which::Digest(digest)) => self.nested(digest)?.ok_or(error),
            (Err(error), _) => Err(error),
        }
    }

    fn nested(&self, digest: &Digest) -> Result<Option<Document>, CopyError> {
        for descriptor in self.index.manifests.iter().take(MAX_LOOKED_AT) {
            if !oci::media_type::is_index(&descriptor.media_type) {
                continue;
            }
            if let Parsed::Index(index) = self.document(descriptor)?.parse()?
                && let Some(found) = index.manifests.iter().find(|one| one.digest == *digest)
            {
                return self.document(found).map(Some);
            }
        }
        Ok(None)
    }

    /// A document by its descriptor, verified.
    pub(super) fn document(&self, descriptor: &Descriptor) -> Result<Document, CopyError> {
        Document::described(self.blob_member(&descriptor.digest)?.bytes()?, descriptor)
    }

    /// A blob.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> Result<MemberBlob, CopyError> {
        self.blob_member(&descriptor.digest)?.blob(descriptor)
    }

    /// What index.json lists and refers to a manifest.
    pub(super) fn referrers(&self, subject_digest: &Digest) -> Result<Vec<Descriptor>, CopyError> {
        let mut found: Vec<Descriptor> = Vec::new();
        for descriptor in self.index.manifests.iter().take(MAX_LOOKED_AT) {
            let document = self.document(descriptor)?;
            let subject = match document.parse()? {
                Parsed::Image(manifest) => manifest.subject,
                Parsed::Index(index) => index.subject,
            };
            let known = found.iter().any(|one| one.digest == descriptor.digest);
            if !known && subject.is_some_and(|named| named.digest == *subject_digest) {
                found.push(fallback::describe(&document)?);
            }
        }
        Ok(found)
    }
}

/// Where a layout keeps a blob.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn name_of(descriptor: &Descriptor) -> Option<String> {
    descriptor.annotations.get(REF_NAME).or_else(|| descriptor.annotations.get(IMAGE_NAME)).cloned()
}

/// The descriptor that is meant.
fn choose(manifests: &[Descriptor], which: &Which) -> Result<Descriptor, String> {
    let named = |name: &str, one: &Descriptor| {
        [REF_NAME, IMAGE_NAME].iter().any(|key| one.annotations.get(*key).is_some_and(|found| found == name))
    };
    let meant: Vec<&Descriptor> = match which {
        // What only refers to another image is not what one means by a layout's image.
        Which::Only if manifests.len() > 1 && manifests.iter().any(|one| name_of(one).is_some()) => {
            manifests.iter().filter(|one| name_of(one).is_some()).collect()
        }
        Which::Only => manifests.iter().collect(),
        Which::Named(name) => manifests.iter().filter(|one| named(name, one)).collect(),
        Which::Digest(digest) => manifests.iter().filter(|one| one.digest == *digest).collect(),
    };
    match (&meant[..], which) {
        ([first, rest @ ..], _) if rest.iter().all(|other| other.digest == first.digest) => Ok((*first).clone()),
        ([], Which::Only) => Err("the layout is empty".to_owned()),
        ([], Which::Named(name)) => Err(format!("no image is called `{name}`")),
        ([], Which::Digest(digest)) => Err(format!("no image has digest {digest}")),
        (_, Which::Only) => Err("there are several images: name one".to_owned()),
        (_, Which::Named(name)) => Err(format!("several images are called `{name}`")),
        (_, Which::Digest(digest)) => Err(format!("several images have digest {digest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_that_is_meant() {
        let digest = |text: &str| Digest::sha256(text.as_bytes());
        let one = |text: &str, name: Option<&str>| {
            let mut descriptor = Descriptor::new(oci::media_type::OCI_MANIFEST, digest(text), 1);
            if let Some(name) = name {
                descriptor.annotations.insert(REF_NAME.to_owned(), name.to_owned());
            }
            descriptor
        };
        let some = [one("a", Some("v1")), one("b", Some("v2")), one("b", Some("latest"))];
        let named = |name: &str| Which::Named(name.to_owned());
        assert_eq!(choose(&some, &named("latest")).unwrap().digest, digest("b"));
        assert_eq!(choose(&some, &Which::Digest(digest("b"))).unwrap().digest, digest("b"));
        assert!(choose(&some, &Which::Only).unwrap_err().contains("several"));
        assert!(choose(&some, &named("v3")).unwrap_err().contains("`v3`"));
        assert!(choose(&[], &Which::Only).unwrap_err().contains("empty"));
        assert_eq!(choose(&[one("a", None)], &Which::Only).unwrap().digest, digest("a"));
        let with_referrer = [one("a", Some("v1")), one("signature", None)];
        assert_eq!(choose(&with_referrer, &Which::Only).unwrap().digest, digest("a"));
    }
}
