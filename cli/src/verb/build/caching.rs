//! Where results come from, and where they are kept: `--cache-from` and `--cache-to` as buildx writes them, and as buildah does.

use std::path::PathBuf;

use builder::{CacheFrom, CachePlace, CacheTo, Caching, Compress, Request, S3Keys, S3Place};
use oci::Reference;
use remote::Setup;

use crate::context::variable;
use crate::error::{Error, Result};
use crate::keyed::{self, Keyed};
use crate::{duration, wire};

/// The types there are.
const TYPES: [&str; 4] = ["registry", "inline", "local", "s3"];

/// Attributes of any type.
const KEYS: [&str; 26] = [
    "type",
    "ref",
    "src",
    "dest",
    "tag",
    "digest",
    "mode",
    "image-manifest",
    "oci-mediatypes",
    "compression",
    "compression-level",
    "force-compression",
    "ignore-error",
    "cache-mounts",
    "bucket",
    "region",
    "endpoint_url",
    "use_path_style",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "prefix",
    "blobs_prefix",
    "manifests_prefix",
    "name",
    "upload_parallelism",
];

/// Those of [`KEYS`] whose values nobody may see.
const SECRET_KEYS: [&str; 3] = ["access_key_id", "secret_access_key", "session_token"];

/// Options about the cache.
#[derive(Debug, clap::Args)]
pub(super) struct CachingArgs {
    /// Take no step from the cache
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Take no step of these stages from the cache
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(super) no_cache_filter: Vec<String>,
    /// Also look for results there (may be repeated): IMAGE, or type=registry,ref=IMAGE | local,src=DIR | s3,region=…,bucket=…
    #[arg(long, value_name = "CACHE")]
    pub(super) cache_from: Vec<String>,
    /// Keep results there (may be repeated): IMAGE, or type=registry,ref=IMAGE | inline | local,dest=DIR | s3,…; mode=max keeps those of all stages
    #[arg(long, value_name = "CACHE")]
    pub(super) cache_to: Vec<String>,
    /// Take no result that is older: 24h, 7d
    #[arg(long, value_name = "AGE")]
    pub(super) cache_ttl: Option<String>,
}

impl CachingArgs {
    /// What the builder does.
    pub(super) fn all(&self) -> Result<Caching> {
        let mut caching = Caching::default();
        for written in &self.cache_from {
            let (from, keys) = from(written)?;
            caching.from.push(from);
            caching.keys.push(keys);
        }
        for written in &self.cache_to {
            let (to, keys) = to(written)?;
            caching.to.push(to);
            caching.keys.push(keys);
        }
        if let Some(written) = &self.cache_ttl {
            let age = duration::parse(written)
                .ok_or_else(|| Error::usage(format!("--cache-ttl {written}: expected a time such as 24h or 7d")))?;
            caching.ttl = Some(age.as_secs());
        }
        Ok(caching)
    }

    /// What is accepted and has no effect.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for written in self.cache_to.iter().filter(|written| written.contains('=')) {
            let Ok(mut keyed) = Keyed::parse(written) else { continue };
            if keyed.take(&["type"]).as_deref() == Some("inline") && keyed.take(&["mode"]).as_deref() == Some("max") {
                notes.push(
                    "--cache-to type=inline keeps what the image consists of: mode=max has no effect there".to_owned(),
                );
            }
            for name in ["image-manifest", "oci-mediatypes"] {
                if matches!(keyed.take_switch(&[name]), Ok(Some(false))) {
                    notes.push(format!(
                        "--cache-to: a cache is always an OCI image manifest: {name}=false has no effect"
                    ));
                }
            }
        }
        notes
    }
}

/// Imports what `--cache-from` names. What cannot be used costs a line, and no build.
pub(super) fn import(request: &mut Request, setup: &Setup) -> Result<Vec<String>> {
    let (client, note) = wire::client_or_note(setup);
    let (documents, mut notes) = builder::import_caches(request, client.as_ref())?;
    notes.extend(note);
    request.options.caching.imported = documents;
    Ok(notes)
}

fn from(written: &str) -> Result<(CacheFrom, Option<S3Keys>)> {
    let what = named("--cache-from", written);
    let Some((kind, mut keyed)) = typed(&what, written)? else {
        return Ok((CacheFrom { place: registry(&what, written)?, mounts: true }, None));
    };
    let (place, keys) = match kind.as_str() {
        "inline" => {
            return Err(Error::usage(format!("{what}: an inline cache is in an image"))
                .hint("name the image: --cache-from type=registry,ref=IMAGE"));
        }
        kind => place(&what, kind, &mut keyed, &["src"])?,
    };
    let mounts = keyed.take_switch(&["cache-mounts"])?.unwrap_or(true);
    keyed.finish(&what, &KEYS)?;
    Ok((CacheFrom { place, mounts }, keys))
}

fn to(written: &str) -> Result<(CacheTo, Option<S3Keys>)> {
    let what = named("--cache-to", written);
    let Some((kind, mut keyed)) = typed(&what, written)? else {
        let place = registry(&what, written)?;
        // As buildah, whose `--cache-to REPOSITORY` keeps every step.
        let to = CacheTo { place, max: true, compression: Compress::default(), ignore_error: false, mounts: true };
        return Ok((to, None));
    };
    let mode = keyed.take(&["mode"]);
    let max = match mode.as_deref() {
        None | Some("min") => false,
        Some("max") => true,
        Some(other) => return Err(Error::usage(format!("{what}: mode={other}: expected min or max"))),
    };
    let (place, keys) = match kind.as_str() {
        "inline" => (CachePlace::Inline, None),
        kind => place(&what, kind, &mut keyed, &["dest"])?,
    };
    for name in ["image-manifest", "oci-mediatypes"] {
        // Always so: see `notes`.
        keyed.take_switch(&[name])?;
    }
    keyed.take(&["upload_parallelism"]);
    let compression = super::output::compression(&mut keyed)?;
    let ignore_error = keyed.take_switch(&["ignore-error"])?.unwrap_or(false);
    let mounts = keyed.take_switch(&["cache-mounts"])?.unwrap_or(max);
    keyed.finish(&what, &KEYS)?;
    Ok((CacheTo { place, max, compression, ignore_error, mounts }, keys))
}

/// An option as messages name it: without a bucket's keys, however they are misspelt.
fn named(option: &str, written: &str) -> String {
    if !written.contains('=') {
        return format!("{option} {written}");
    }
    let harmless: Vec<&str> = KEYS.into_iter().filter(|key| !SECRET_KEYS.contains(key)).collect();
    format!("{option} {}", keyed::shown(written, &harmless))
}

/// The type and the other attributes; `None` for a bare reference.
fn typed(what: &str, written: &str) -> Result<Option<(String, Keyed)>> {
    if !written.contains('=') {
        return Ok(None);
    }
    let mut keyed = Keyed::parse(written)?;
    let kind = keyed.take(&["type"]).ok_or_else(|| {
        Error::usage(format!("{what}: type= is missing")).hint(format!("the types are {}", TYPES.join(", ")))
    })?;
    Ok(Some((kind, keyed)))
}

fn place(what: &str, kind: &str, keyed: &mut Keyed, folder: &[&str]) -> Result<(CachePlace, Option<S3Keys>)> {
    let missing = |name: &str| Error::usage(format!("{what}: {name}= is missing"));
    match kind {
        "registry" => {
            let reference = keyed.take(&["ref"]).ok_or_else(|| missing("ref"))?;
            Ok((registry(what, &reference)?, None))
        }
        "local" => {
            let dir = keyed.take(folder).ok_or_else(|| missing(folder[0]))?;
            let digest = keyed.take(&["digest"]);
            let digest = digest.map(|digest| digest.parse()).transpose();
            let digest = digest.map_err(|error| Error::usage(format!("{what}: digest: {error}")))?;
            let dir = std::path::absolute(PathBuf::from(dir))?;
            Ok((CachePlace::Local { dir, tag: keyed.take(&["tag"]), digest }, None))
        }
        "s3" => s3(what, keyed),
        "gha" => Err(Error::usage(format!("{what}: GitHub's cache service has no interface that others may use"))
            .hint(
                "type=registry with ghcr.io travels between runs, too; or keep a type=local folder with actions/cache",
            )),
        "azblob" => {
            Err(Error::usage(format!("{what}: azblob is not supported")).hint("type=registry, local and s3 are"))
        }
        other => {
            Err(Error::usage(format!("{what}: unknown type `{other}`"))
                .hint(format!("the types are {}", TYPES.join(", "))))
        }
    }
}

fn registry(what: &str, written: &str) -> Result<CachePlace> {
    let reference: Reference = written.parse().map_err(|error| Error::usage(format!("{what}: {error}")))?;
    Ok(CachePlace::Registry { reference: reference.to_string() })
}

/// Attributes, else the variables that Amazon's own tools read. Keys never stand in the request.
fn s3(what: &str, keyed: &mut Keyed) -> Result<(CachePlace, Option<S3Keys>)> {
    let missing =
        |name: &str, or: &str| Error::usage(format!("{what}: {name}= is missing")).hint(format!("or set {or}"));
    let or = |value: Option<String>, names: &[&str]| value.or_else(|| names.iter().find_map(|name| variable(name)));
    let bucket = or(keyed.take(&["bucket"]), &["AWS_BUCKET"]).ok_or_else(|| missing("bucket", "AWS_BUCKET"))?;
    let region = or(keyed.take(&["region"]), &["AWS_REGION", "AWS_DEFAULT_REGION"])
        .ok_or_else(|| missing("region", "AWS_REGION"))?;
    let id = or(keyed.take(&["access_key_id"]), &["AWS_ACCESS_KEY_ID"]);
    let secret = or(keyed.take(&["secret_access_key"]), &["AWS_SECRET_ACCESS_KEY"]);
    let token = or(keyed.take(&["session_token"]), &["AWS_SESSION_TOKEN"]);
    let keys = match (id, secret) {
        (Some(id), Some(secret)) => Some(S3Keys { id, secret, token }),
        (None, None) => None,
        _ => {
            return Err(Error::usage(format!("{what}: access_key_id and secret_access_key go together"))
                .hint("or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
        }
    };
    let place = S3Place {
        bucket,
        region,
        endpoint: or(keyed.take(&["endpoint_url"]), &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
        path_style: keyed.take_switch(&["use_path_style"])?.unwrap_or(false),
        prefix: keyed.take(&["prefix"]).unwrap_or_default(),
        blobs: keyed.take(&["blobs_prefix"]).unwrap_or_else(|| "blobs/".to_owned()),
        manifests: keyed.take(&["manifests_prefix"]).unwrap_or_else(|| "manifests/".to_owned()),
        name: keyed.take(&["name"]).unwrap_or_else(|| "buildkit".to_owned()),
    };
    Ok((CachePlace::S3(place), keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_people_write() {
        let reference = |written: &str| match from(written).unwrap().0.place {
            CachePlace::Registry { reference } => reference,
            other => panic!("{other:?}"),
        };
        assert_eq!(reference("user/app:cache"), "docker.io/user/app:cache");
        assert_eq!(reference("type=registry,ref=localhost:5000/app"), "localhost:5000/app:latest");
        let to = |written: &str| to(written).unwrap().0;
        assert!(to("type=registry,ref=a/b,mode=max,image-manifest=true,oci-mediatypes=true").max);
        assert!(to("type=local,dest=/c,compression=zstd,ignore-error=true").ignore_error);
        assert_eq!(to("type=inline").place, CachePlace::Inline);
        assert!(to("localhost:5000/app/cache").max, "as buildah");
        assert!(!to("type=registry,ref=a/b").mounts && to("type=registry,ref=a/b,mode=max").mounts);
    }

    #[test]
    fn what_is_refused_says_what_to_do() {
        for (written, expected) in [
            ("type=gha", "GitHub"),
            ("type=azblob,account_url=x", "azblob"),
            ("type=registri,ref=a", "unknown type"),
            ("type=registry", "ref= is missing"),
            ("type=registry,ref=a,mode=most", "min or max"),
            ("type=local", "dest= is missing"),
            ("type=registry,ref=a,rf=b", "unknown key"),
            ("type=registry,ref=A B", "--cache-to"),
            ("mode=max,ref=a", "type= is missing"),
        ] {
            let error = to(written).unwrap_err();
            assert!(error.message().contains(expected), "{written}: {}", error.message());
        }
        for written in [
            "type=s3,bucket=b,access_key_id=SECRET",
            "type=s3,bucket=b,region=r,secret_access_key=SECRET,access_key_id=SECRET,nope=x",
            "type=s3,session_token=SECRET,SECRET,mode=most",
            "type=s3,bucket=b,region=r,Secret_acces_key=SECRET",
            "type=s3,\"secret_access_key=SECRET,SECRET",
        ] {
            for error in [to(written).unwrap_err(), from(written).unwrap_err()] {
                assert!(!error.message().contains("SECRET"), "{}", error.message());
                assert!(error.message().contains("type="), "{}", error.message());
            }
        }
        assert!(from("type=inline").unwrap_err().message().contains("inline cache is in an image"));
    }
}
