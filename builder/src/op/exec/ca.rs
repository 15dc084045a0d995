//! `--ca-bundle`: a RUN trusts one more authority, and nothing of it is ever part of a layer, a key or history.
//!
//! The target's own bundle and the added certificates become one file on a mount of its own; variables lead to it those
//! programs that read them. The distribution's files are not touched.

use std::fs;
use std::path::Path;

use runtime::container::{Mount, Source};

use super::{ExecError, truststore};
use crate::build::Build;
use crate::solver::state::V;

/// Where it is mounted.
const FOLDER: &str = "/run/estiba/ca";

/// Where distributions keep theirs.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Variables that name a PEM bundle, by who reads them: OpenSSL and Go, curl, git, pip, requests, Node.js, cargo.
const VARIABLES: [&str; 7] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
];

/// A bundle is a few hundred kilobytes.
const MAX_BUNDLE: u64 = 16 << 20;

/// What a RUN gets.
pub(super) struct Trusted {
    pub(super) env: Vec<(String, String)>,
    pub(super) mounts: Vec<Mount>,
}

/// Prepares it in `scratch`.
pub(super) fn inject(build: &Build<'_>, v: V, bundle: &Path, scratch: &Path) -> Result<Trusted, ExecError> {
    let io = |call, path: &Path| {
        let path = path.to_path_buf();
        move |source| ExecError::Io { call, path, source }
    };
    let added = fs::read(bundle).map_err(io("read", bundle))?;
    let mut all = own_bundle(build, v)?;
    if !all.is_empty() && !all.ends_with(b"\n") {
        all.push(b'\n');
    }
    all.extend_from_slice(&added);
    let folder = scratch.join("ca");
    fs::create_dir_all(&folder).map_err(io("mkdir", &folder))?;
    let apt = format!("Acquire::https::CAInfo \"{FOLDER}/bundle.pem\";\n");
    let files =
        [("bundle.pem", all.clone()), ("truststore.p12", truststore::pkcs12(&all)), ("apt.conf", apt.into_bytes())];
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(io("write", &path))?;
        readable(&path, 0o644).map_err(io("chmod", &path))?;
    }
    readable(&folder, 0o755).map_err(io("chmod", &folder))?;
    let mut env: Vec<(String, String)> =
        VARIABLES.iter().map(|name| ((*name).to_owned(), format!("{FOLDER}/bundle.pem"))).collect();
    env.push(("APT_CONFIG".to_owned(), format!("{FOLDER}/apt.conf")));
    let java = format!(
        "-Djavax.net.ssl.trustStore={FOLDER}/truststore.p12 -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword="
    );
    env.push(("JAVA_TOOL_OPTIONS".to_owned(), java));
    let source = Source::Path { path: folder, recursive: false };
    Ok(Trusted { env, mounts: vec![Mount { target: FOLDER.to_owned(), source, readonly: true }] })
}

fn readable(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

/// What the tree that runs trusts already; empty where it has no bundle.
fn own_bundle(build: &Build<'_>, v: V) -> Result<Vec<u8>, ExecError> {
    use std::io::Read as _;
    let view = build.layers.view(build.chain(build.inputs(v)[0]))?;
    for path in BUNDLES {
        let Ok(Some(node)) = view.lookup(path.as_bytes(), true) else { continue };
        let Ok(reader) = view.open(&node) else { continue };
        let mut bytes = Vec::new();
        let read = reader.take(MAX_BUNDLE).read_to_end(&mut bytes);
        read.map_err(|source| ExecError::Io { call: "read", path: path.into(), source })?;
        return Ok(bytes);
    }
    Ok(Vec::new())
}
