//! The documents of an image: index, manifest, configuration. Fetched, judged, and put into the store.

use oci::{Descriptor, Digest, Hasher, ImageConfig, Index, Manifest, Platform, Raw, Reference, Tag, media_type};
use remote::{Accept, Client, Fetched, Repository, Route};
use store::{Blobs, Store};

use super::PullError;

/// The largest document. Registries stop at 4 MiB.
pub(super) const MAX_DOCUMENT: u64 = 8 << 20;
/// Indexes may list indexes; nobody nests deeper.
const MAX_NESTING: usize = 4;
/// Images that one pull takes out of indexes.
const MAX_IMAGES: usize = 256;
/// Layers of an image: more than any tool makes, and than overlayfs stacks.
const MAX_LAYERS: usize = 1000;
/// What docker of 2016 called some configurations.
const BINARY: &str = "application/octet-stream";

/// What a reference names, with all documents that were chosen.
#[derive(Debug)]
pub(super) struct Documents {
    /// What the name points at.
    pub(super) top: Digest,
    /// Indexes on the way, the outer ones first.
    pub(super) indexes: Vec<(Digest, Raw<Index>)>,
    /// The images, at least one.
    pub(super) images: Vec<Image>,
    /// Bytes that came over the network.
    pub(super) moved: u64,
    /// What is worth a line.
    pub(super) notes: Vec<String>,
}

/// An image's own documents.
#[derive(Debug)]
pub(super) struct Image {
    /// The manifest's digest, of whatever algorithm it was asked by.
    pub(super) digest: Digest,
    pub(super) manifest: Raw<Manifest>,
    pub(super) config: Raw<ImageConfig>,
}

/// Which images of an index are wanted.
#[derive(Debug)]
pub(super) enum Choice<'p> {
    /// The one for this platform; whether somebody named it.
    One(&'p Platform, bool),
    /// All.
    All,
}

/// What the name points at, and where the rest is to be asked for.
pub(super) struct Top {
    pub(super) fetched: Fetched,
    /// Bytes that came over the network.
    pub(super) moved: u64,
    /// Where to ask for what is named by a digest, whoever gave this first.
    pub(super) sources: Vec<Repository>,
    /// The registry itself.
    pub(super) itself: Repository,
    notes: Vec<String>,
}

/// Fetches documents of one repository.
pub(super) struct Fetcher<'f> {
    store: &'f Store,
    sources: &'f [Repository],
    /// As users write it.
    name: String,
    found: Documents,
}

impl<'f> Fetcher<'f> {
    pub(super) fn new(store: &'f Store, reference: &Reference, top: &'f Top) -> Self {
        let found = Documents {
            top: top.fetched.digest,
            indexes: Vec::new(),
            images: Vec::new(),
            moved: top.moved,
            notes: top.notes.clone(),
        };
        Self { store, sources: &top.sources, name: reference.familiar(), found }
    }

    /// Reads on from what the name points at.
    pub(super) async fn read(mut self, top: &Fetched, choice: &Choice<'_>) -> Result<Documents, PullError> {
        // The last field: whether an index told the platform, which was compared then.
        let mut open = vec![(top.digest, top.bytes.to_vec(), top.media_type.clone(), 0, false)];
        let mut met = 0;
        while let Some((digest, bytes, media_type, depth, told)) = open.pop() {
            match shape(&bytes, &media_type).map_err(|problem| self.refused(problem))? {
                Shape::Image => {
                    let first = depth == 0;
                    if let Some(image) = self.image(digest, bytes, first || matches!(choice, Choice::One(..))).await? {
                        self.check_platform(&image, choice, told)?;
                        self.found.images.push(image);
                    }
                }
                Shape::Index if depth == MAX_NESTING => {
                    return Err(self.refused(format!("its indexes are nested deeper than {MAX_NESTING}")));
                }
                Shape::Index => {
                    let index: Raw<Index> = parse("index", digest, bytes)?;
                    let chosen = self.choose(index.value(), choice)?;
                    met += chosen.len();
                    if met > MAX_IMAGES {
                        return Err(self.refused(format!("its indexes list more than {MAX_IMAGES} images")));
                    }
                    self.found.indexes.push((digest, index));
                    // The last one is read first.
                    for child in chosen.into_iter().rev() {
                        let (bytes, media_type) = self.child(&child).await?;
                        let told = told || child.platform.is_some();
                        open.push((child.digest, bytes, media_type, depth + 1, told));
                    }
                }
            }
        }
        if self.found.images.is_empty() {
            return Err(self.refused("none of its manifests is an image's"));
        }
        Ok(self.found)
    }

    fn refused(&self, problem: impl Into<String>) -> PullError {
        PullError::Refused { name: self.name.clone(), problem: problem.into() }
    }

    /// A manifest or index that an index lists.
    async fn child(&mut self, child: &Descriptor) -> Result<(Vec<u8>, String), PullError> {
        if let Some(bytes) = kept(self.store, &child.digest)? {
            return Ok((bytes, child.media_type.clone()));
        }
        let fetched = by_digest(self.sources, &child.digest, &mut self.found.notes).await?.0;
        self.found.moved += fetched.bytes.len() as u64;
        let size = fetched.bytes.len() as u64;
        if size != child.size {
            return Err(self.refused(format!("{} has {size} bytes, its index says {}", child.digest, child.size)));
        }
        if kind(&fetched.media_type).is_some_and(|found| kind(&child.media_type) != Some(found)) {
            let (found, listed) = (&fetched.media_type, &child.media_type);
            return Err(self.refused(format!("{} is {found:?}, its index says {listed:?}", child.digest)));
        }
        Ok((fetched.bytes.to_vec(), fetched.media_type))
    }

    /// The children of an index that are wanted.
    fn choose(&mut self, index: &Index, choice: &Choice<'_>) -> Result<Vec<Descriptor>, PullError> {
        let manifests: Vec<&Descriptor> = index.manifests.iter().filter(|child| is_listed_image(child)).collect();
        let (wanted, named) = match choice {
            Choice::All => return Ok(manifests.into_iter().cloned().collect()),
            Choice::One(wanted, named) => (*wanted, *named),
        };
        let with_platform: Vec<&Descriptor> =
            manifests.iter().copied().filter(|child| child.platform.is_some()).collect();
        let platforms: Vec<Platform> = with_platform.iter().filter_map(|child| child.platform.clone()).collect();
        if let Some(best) = wanted.best_of(&platforms) {
            return Ok(vec![with_platform[best].clone()]);
        }
        match &manifests[..] {
            // Without a platform the document itself has to tell.
            [only] if only.platform.is_none() => Ok(vec![(*only).clone()]),
            [only] if !named => {
                self.found.notes.push(format!("{} is there only for {}", self.name, listed(&platforms)));
                Ok(vec![(*only).clone()])
            }
            [] => Err(self.refused("its index lists no image")),
            _ => Err(PullError::Platform { name: self.name.clone(), wanted: wanted.clone(), there: platforms }),
        }
    }

    /// An image's manifest with its configuration; `None` for what is no image, unless `must` be one.
    async fn image(&mut self, digest: Digest, bytes: Vec<u8>, must: bool) -> Result<Option<Image>, PullError> {
        let manifest: Raw<Manifest> = parse("manifest", digest, bytes)?;
        if let Err(problem) = judge(manifest.value()) {
            if must {
                return Err(self.refused(problem));
            }
            self.found.notes.push(format!("{digest} was left out: {problem}"));
            return Ok(None);
        }
        let descriptor = &manifest.value().config;
        let bytes = match kept(self.store, &descriptor.digest)? {
            Some(bytes) => bytes,
            None => {
                let bytes = small_blob(self.sources, descriptor).await?;
                self.found.moved += bytes.len() as u64;
                bytes
            }
        };
        let config: Raw<ImageConfig> = parse("configuration", descriptor.digest, bytes)?;
        let (layers, diff_ids) = (manifest.value().layers.len(), config.value().rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(self.refused(format!("its manifest lists {layers} layers, its configuration {diff_ids}")));
        }
        Ok(Some(Image { digest, manifest, config }))
    }

    /// An image that somebody wants for a platform must be for it; the one image that there is may be for another.
    fn check_platform(&mut self, image: &Image, choice: &Choice<'_>, told: bool) -> Result<(), PullError> {
        let Choice::One(wanted, named) = choice else { return Ok(()) };
        let own = image.config.value().platform();
        // What an index says of an image was compared already.
        if told || wanted.best_of([&own]).is_some() {
            return Ok(());
        }
        if *named {
            return Err(PullError::Platform { name: self.name.clone(), wanted: (*wanted).clone(), there: vec![own] });
        }
        self.found.notes.push(format!("{} is for {}, and this machine is {wanted}", self.name, listed(&[own])));
        Ok(())
    }
}

/// Asks for what the reference names: by digest in the store first, then at the sources.
pub(super) async fn top(store: &Store, client: &Client, reference: &Reference) -> Result<Top, PullError> {
    let route = client.route(reference)?;
    let mut notes = Vec::new();
    if let Some(digest) = reference.digest() {
        if let Some(bytes) = kept(store, digest)? {
            return kept_top(&route, bytes, *digest);
        }
        let (fetched, giver) = by_digest(route.sources(), digest, &mut notes).await?;
        return fetched_top(&route, fetched, &giver, notes);
    }
    let tag = tag_of(reference)?;
    // Where the store knows the name, most often nothing has changed: registries do not count a HEAD.
    if store.index().image(&reference.to_string())?.is_some()
        && let Ok(digest) = tagged(&route, &tag).await
        && let Some(bytes) = kept(store, &digest)?
    {
        return kept_top(&route, bytes, digest);
    }
    let mut failed = None;
    for source in route.sources() {
        match source.manifest_by_tag(&tag, &Accept::default()).await {
            Ok(fetched) => return fetched_top(&route, fetched, source, notes),
            Err(error) => failed = Some(passed_over(&mut notes, source, error)),
        }
    }
    Err(no_source(failed))
}

fn kept_top(route: &Route, bytes: Vec<u8>, digest: Digest) -> Result<Top, PullError> {
    let fetched = Fetched { bytes: bytes.into(), media_type: String::new(), digest };
    let itself = route.content().last().cloned().ok_or_else(|| no_source(None))?;
    Ok(Top { fetched, moved: 0, sources: route.content().to_vec(), itself, notes: Vec::new() })
}

fn fetched_top(route: &Route, fetched: Fetched, giver: &Repository, notes: Vec<String>) -> Result<Top, PullError> {
    let itself = route.content().last().cloned().ok_or_else(|| no_source(None))?;
    let others = route.content().iter().filter(|other| place(other) != place(giver));
    let sources = std::iter::once(giver).chain(others).cloned().collect();
    Ok(Top { moved: fetched.bytes.len() as u64, fetched, sources, itself, notes })
}

/// What tells one source from another.
fn place(source: &Repository) -> (&str, &str) {
    (source.registry().name(), source.name().as_str())
}

/// Remembers that a mirror failed: people want to know why a pull was slow.
fn passed_over(notes: &mut Vec<String>, source: &Repository, error: remote::Error) -> remote::Error {
    if source.registry().is_mirror() {
        notes.push(format!("mirror passed over: {error}"));
    }
    error
}

/// The digest that a tag names now.
pub(super) async fn tagged(route: &Route, tag: &Tag) -> Result<Digest, PullError> {
    let mut failed = None;
    for source in route.sources() {
        match source.head_manifest(tag, &Accept::default()).await {
            Ok(remote::Known { digest: Some(digest), .. }) => return Ok(digest),
            // Some hosts name no digest: then the document has to come.
            Ok(_) => return Ok(source.manifest_by_tag(tag, &Accept::default()).await?.digest),
            Err(error) => failed = Some(error),
        }
    }
    Err(no_source(failed))
}

/// The tag of a reference; `latest` where it names none.
pub(super) fn tag_of(reference: &Reference) -> Result<Tag, PullError> {
    match reference.tag() {
        Some(tag) => Ok(tag.clone()),
        None => "latest".parse().map_err(|error| PullError::Broken(format!("{error}"))),
    }
}

async fn by_digest(
    sources: &[Repository],
    digest: &Digest,
    notes: &mut Vec<String>,
) -> Result<(Fetched, Repository), PullError> {
    let mut failed = None;
    for source in sources {
        match source.manifest_by_digest(digest, &Accept::default()).await {
            Ok(fetched) => return Ok((fetched, source.clone())),
            Err(error) => failed = Some(passed_over(notes, source, error)),
        }
    }
    Err(no_source(failed))
}

fn no_source(failed: Option<remote::Error>) -> PullError {
    failed.map_or_else(|| PullError::Broken("the reference leads to no registry".to_owned()), PullError::from)
}

/// A blob that is read into memory, compared with its descriptor.
async fn small_blob(sources: &[Repository], descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
    if descriptor.size > MAX_DOCUMENT {
        return Err(PullError::Refused {
            name: descriptor.digest.to_string(),
            problem: format!(
                "a configuration of {} bytes is more than the {MAX_DOCUMENT} that we take",
                descriptor.size
            ),
        });
    }
    let mut failed = None;
    // Each from its first byte: what one sent wrong must not spoil the next one's.
    for source in sources {
        match small_blob_of(source, descriptor).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => failed = Some(error),
        }
    }
    Err(no_source(failed))
}

async fn small_blob_of(source: &Repository, descriptor: &Descriptor) -> Result<Vec<u8>, remote::Error> {
    let nothing = remote::ReadAhead::new(0);
    let hasher = Hasher::new(descriptor.digest.algorithm());
    let sources = std::slice::from_ref(source);
    let mut fetch = remote::Fetch::new(sources, &descriptor.digest, descriptor.size, 0, Some(hasher), &nothing);
    let mut bytes = Vec::new();
    while let Some(more) = fetch.next().await? {
        bytes.extend_from_slice(&more);
    }
    Ok(bytes)
}

/// A document of the store, if it is there and whole.
pub(super) fn kept(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>, PullError> {
    match store.blobs().read_bytes(digest, MAX_DOCUMENT) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(store::blobs::Error::Missing { .. } | store::blobs::Error::Digest { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(
    what: &'static str,
    digest: Digest,
    bytes: Vec<u8>,
) -> Result<Raw<T>, PullError> {
    Raw::parse(bytes).map_err(|source| PullError::Document { what, digest, source })
}

enum Shape {
    Image,
    Index,
}

/// What a document is, by its own word or else by its form; why we do not take it.
fn shape(bytes: &[u8], media_type: &str) -> Result<Shape, String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Outline {
        #[serde(default)]
        schema_version: u32,
        #[serde(default)]
        media_type: Option<String>,
        #[serde(default)]
        manifests: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        config: Option<serde::de::IgnoredAny>,
    }
    let outline: Outline = serde_json::from_slice(bytes).map_err(|error| format!("its manifest is none: {error}"))?;
    let own = outline.media_type.as_deref().unwrap_or(media_type);
    if let (Some(said), Some(meant)) = (kind(media_type), kind(own))
        && said != meant
    {
        return Err(format!("its manifest is sent as {media_type:?}, and says to be {own:?}"));
    }
    if outline.schema_version == 1 || own.contains("distribution.manifest.v1+") {
        return Err(
            "it has the manifest of docker before 1.10 (schema 1), which is no longer read: push it again with a \
                    newer docker, or convert it with `skopeo copy --format v2s2`"
                .to_owned(),
        );
    }
    match (outline.manifests.is_some(), outline.config.is_some()) {
        (true, true) => Err("its manifest is both an image's and an index".to_owned()),
        (true, false) if !media_type::is_manifest(own) => Ok(Shape::Index),
        (false, true) if !media_type::is_index(own) => Ok(Shape::Image),
        _ => Err(format!("a manifest of type {own:?} is none that we know")),
    }
}

/// Whether a media type is an index's (or an image's); `None` for others.
fn kind(media_type: &str) -> Option<bool> {
    (media_type::is_index(media_type) || media_type::is_manifest(media_type)).then(|| media_type::is_index(media_type))
}

/// Whether an entry of an index may be an image: not, say, what a builder attests of one.
fn is_listed_image(child: &Descriptor) -> bool {
    let unknown = child.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
    (media_type::is_manifest(&child.media_type) || media_type::is_index(&child.media_type)) && !unknown
}

/// Why a manifest is none of an image that we take.
fn judge(manifest: &Manifest) -> Result<(), String> {
    let own = &manifest.config.media_type;
    if !media_type::is_config(own) && own != BINARY {
        let kind = manifest.artifact_type.as_ref().unwrap_or(own);
        return Err(format!("it is no image but an artifact ({kind:?}): `estiba copy` fetches those"));
    }
    if manifest.layers.len() > MAX_LAYERS {
        return Err(format!("it has {} layers, more than the {MAX_LAYERS} that we take", manifest.layers.len()));
    }
    match manifest.layers.iter().find(|layer| !media_type::is_layer(&layer.media_type) && !is_foreign(layer)) {
        Some(other) => {
            Err(format!("layer {} is of type {:?}, which is none that we unpack", other.digest, other.media_type))
        }
        None => Ok(()),
    }
}

/// Layers that their makers do not want distributed, and that registries therefore often lack.
pub(super) fn is_foreign(layer: &Descriptor) -> bool {
    matches!(
        layer.media_type.as_str(),
        "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    )
}

fn listed(platforms: &[Platform]) -> String {
    super::error::listed(platforms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_known_by_word_and_form() {
        for (media_type, body, expected) in [
            (media_type::OCI_MANIFEST, r#"{"schemaVersion":2,"config":{},"layers":[]}"#, Some("image")),
            ("", r#"{"schemaVersion":2,"config":{},"layers":[]}"#, Some("image")),
            (media_type::OCI_INDEX, r#"{"schemaVersion":2,"manifests":[]}"#, Some("index")),
            ("application/json", r#"{"manifests":[]}"#, Some("index")),
            (media_type::OCI_INDEX, r#"{"config":{}}"#, None),
            (media_type::OCI_MANIFEST, r#"{"manifests":[]}"#, None),
            ("", r#"{"manifests":[],"config":{}}"#, None),
            (media_type::OCI_INDEX, r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{}}"#, None),
            ("", r#"{"schemaVersion":1,"fsLayers":[]}"#, None),
            ("", "{}", None),
            ("", "[", None),
        ] {
            let found = shape(body.as_bytes(), media_type).ok().map(|shape| match shape {
                Shape::Image => "image",
                Shape::Index => "index",
            });
            assert_eq!(found, expected, "{media_type} {body}");
        }
        let old = shape(br#"{"schemaVersion":1}"#, "").err().unwrap();
        assert!(old.contains("schema 1"), "{old}");
    }

    #[test]
    fn artifacts_and_odd_layers_are_no_images() {
        let blob = |media_type: &str| Descriptor::new(media_type, Digest::sha256(media_type.as_bytes()), 1);
        let manifest = |config: &str, layers: &[&str]| {
            Manifest::new(blob(config), layers.iter().map(|layer| blob(layer)).collect())
        };
        assert_eq!(
            judge(&manifest(media_type::OCI_CONFIG, &[media_type::OCI_LAYER_ZSTD, media_type::DOCKER_LAYER_GZIP])),
            Ok(())
        );
        assert_eq!(judge(&manifest(BINARY, &[media_type::DOCKER_LAYER_GZIP])), Ok(()));
        assert!(judge(&manifest(media_type::OCI_EMPTY, &[])).unwrap_err().contains("estiba copy"));
        let encrypted = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
        assert!(judge(&manifest(media_type::OCI_CONFIG, &[encrypted])).unwrap_err().contains("encrypted"));
        let many = vec![media_type::OCI_LAYER; MAX_LAYERS + 1];
        assert!(judge(&manifest(media_type::OCI_CONFIG, &many)).is_err());
    }
}
