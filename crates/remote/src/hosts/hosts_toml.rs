//! `hosts.toml`: the hosts that answer for a registry.
//! Format: containerd, `docs/hosts.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::file::{ConfigError, Source};

/// Hosts of a file; headers of a host; files of certificates of a host.
const MOST_HOSTS: usize = 64;
const MOST_HEADERS: usize = 32;
const MOST_FILES: usize = 64;

/// One such file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsToml {
    /// Asked in order.
    pub hosts: Vec<Host>,
    /// Asked last.
    pub server: Host,
}

/// A host and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its address; the path is what stands before `v2`, or with [`Host::override_path`] instead of it.
    /// `None`: the registry itself.
    pub address: Option<Url>,
    /// What it is asked for.
    pub capabilities: Capabilities,
    /// Files of roots.
    pub ca: Vec<PathBuf>,
    /// Files of client certificates, with the file of the key where it is another.
    pub client: Vec<(PathBuf, Option<PathBuf>)>,
    /// Certificates are not verified.
    pub skip_verify: bool,
    /// The path of the address is the whole path: `v2` is not added.
    pub override_path: bool,
    /// Sent along with each call to this host.
    pub headers: HeaderMap,
}

/// What a host is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// What is named by a digest.
    pub pull: bool,
    /// What a tag means.
    pub resolve: bool,
    /// To take pushes.
    pub push: bool,
}

impl Capabilities {
    const ALL: Self = Self { pull: true, resolve: true, push: true };
}

#[derive(Deserialize)]
struct File {
    server: Option<Spanned<String>>,
    #[serde(default)]
    host: BTreeMap<Spanned<String>, Section>,
    #[serde(flatten)]
    itself: Section,
}

#[derive(Deserialize)]
struct Section {
    capabilities: Option<Vec<String>>,
    ca: Option<Files>,
    client: Option<Clients>,
    #[serde(default)]
    skip_verify: bool,
    #[serde(default)]
    override_path: bool,
    #[serde(default)]
    header: BTreeMap<String, Texts>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

type Files = Texts;

#[derive(Deserialize)]
#[serde(untagged)]
enum Clients {
    One(String),
    Many(Vec<Client>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Client {
    /// Certificate and key in one file.
    Both(String),
    /// Certificate and key.
    Pair(String, String),
    /// A list of one.
    Single([String; 1]),
}

impl From<Texts> for Vec<String> {
    fn from(texts: Texts) -> Self {
        match texts {
            Texts::One(text) => vec![text],
            Texts::Many(texts) => texts,
        }
    }
}

impl HostsToml {
    /// Reads a file. `path` stands in errors, and relative files are looked for beside it.
    ///
    /// # Errors
    /// Names the line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let file: File = source.parse()?;
        let at = file.server.as_ref().map_or(0, |server| server.span().start);
        let server = host(source, at, file.server.as_ref().map(|server| server.get_ref().as_str()), file.itself)?;
        if file.host.len() > MOST_HOSTS {
            return Err(source.wrong(0, format!("more than {MOST_HOSTS} hosts")));
        }
        // Tables come sorted by name; their order is the one in the file.
        let mut sections: Vec<_> = file.host.into_iter().collect();
        sections.sort_by_key(|(name, _)| name.span().start);
        let hosts =
            sections.into_iter().map(|(name, section)| host(source, name.span().start, Some(name.get_ref()), section));
        Ok(Self { hosts: hosts.collect::<Result<_, _>>()?, server })
    }
}

fn host(source: Source<'_>, at: usize, address: Option<&str>, section: Section) -> Result<Host, ConfigError> {
    let wrong = |problem: String| source.wrong(at, problem);
    let beside = |file: String| source.path.parent().unwrap_or(Path::new("")).join(file);
    let client = match section.client {
        None => Vec::new(),
        Some(Clients::One(file)) => vec![(beside(file), None)],
        Some(Clients::Many(files)) => files
            .into_iter()
            .map(|client| match client {
                Client::Both(file) | Client::Single([file]) => (beside(file), None),
                Client::Pair(certificate, key) => {
                    (beside(certificate), Some(key).filter(|key| !key.is_empty()).map(beside))
                }
            })
            .collect(),
    };
    let ca: Vec<PathBuf> = section.ca.map(Vec::from).unwrap_or_default().into_iter().map(beside).collect();
    if ca.len() > MOST_FILES || client.len() > MOST_FILES {
        return Err(wrong(format!("more than {MOST_FILES} files of certificates")));
    }
    Ok(Host {
        address: address.map(address_of).transpose().map_err(wrong)?,
        capabilities: capabilities(section.capabilities).map_err(wrong)?,
        ca,
        client,
        skip_verify: section.skip_verify,
        override_path: section.override_path,
        headers: headers(section.header).map_err(wrong)?,
    })
}

/// `https://` is added where no scheme is written.
fn address_of(text: &str) -> Result<Url, String> {
    let shown = crate::error::printable(text);
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&full).map_err(|error| format!("`{shown}` is not the address of a host: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("`{shown}` is not an http or https address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address of a host holds no login".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{shown}`: the address of a host has neither query nor fragment"));
    }
    Ok(url)
}

fn capabilities(named: Option<Vec<String>>) -> Result<Capabilities, String> {
    let Some(named) = named.filter(|named| !named.is_empty()) else { return Ok(Capabilities::ALL) };
    let mut found = Capabilities { pull: false, resolve: false, push: false };
    for name in named {
        match name.to_ascii_lowercase().as_str() {
            "pull" => found.pull = true,
            "resolve" => found.resolve = true,
            "push" => found.push = true,
            // Of a newer containerd: what is about other things than ours.
            "referrers" => {}
            _ => return Err(format!("`{}` is not a capability: pull, resolve, push", crate::error::printable(&name))),
        }
    }
    Ok(found)
}

fn headers(named: BTreeMap<String, Texts>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, values) in named {
        let shown = crate::error::printable(&name);
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{shown}` is not the name of a header"))?;
        for value in Vec::from(values) {
            if headers.len() == MOST_HEADERS {
                return Err(format!("more than {MOST_HEADERS} headers"));
            }
            // Not shown: headers hold keys.
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| format!("header `{shown}` has a value that no header may have"))?;
            value.set_sensitive(true);
            headers.append(name.clone(), value);
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<HostsToml, String> {
        HostsToml::parse(Path::new("/c/hosts.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn as_containerd_writes_it() {
        let file = parse(
            r#"
server = "https://registry-1.docker.io"
ca = "own.crt"

[host."https://zzz.example:5000/base"]
  capabilities = ["pull", "resolve"]
  ca = ["/etc/a.crt", "b.crt"]
  client = [["c.cert", "c.key"], "both.pem"]
  skip_verify = true
  [host."https://zzz.example:5000/base".header]
    x-one = "1"
    x-two = ["2", "3"]

[host."aaa.example/v2/proxy"]
  override_path = true
  dial_timeout = "1s"
"#,
        )
        .unwrap();
        let address = |host: &Host| host.address.as_ref().map(Url::to_string);
        assert_eq!(file.server.ca, [PathBuf::from("/c/own.crt")]);
        assert_eq!(address(&file.server).as_deref(), Some("https://registry-1.docker.io/"));
        let [first, second] = &file.hosts[..] else { panic!("{:?}", file.hosts) };
        assert_eq!(address(first).as_deref(), Some("https://zzz.example:5000/base"), "the order is the file's");
        assert_eq!(first.capabilities, Capabilities { pull: true, resolve: true, push: false });
        assert_eq!(first.ca, [PathBuf::from("/etc/a.crt"), "/c/b.crt".into()]);
        assert_eq!(first.client, [("/c/c.cert".into(), Some("/c/c.key".into())), ("/c/both.pem".into(), None)]);
        assert!(first.skip_verify && !first.override_path);
        assert_eq!(first.headers.get_all("x-two").iter().count(), 2);
        assert!(second.override_path && !second.skip_verify);
        assert_eq!(address(second).as_deref(), Some("https://aaa.example/v2/proxy"));
        assert_eq!(second.capabilities, Capabilities::ALL);
        let empty = parse("").unwrap();
        assert_eq!((empty.hosts.len(), empty.server.address), (0, None));
    }

    #[test]
    fn errors_name_the_line_and_no_secret() {
        for (text, line, word) in [
            ("server = 7", 1, "string"),
            ("\n\n[host.\"ftp://x\"]\n", 3, "http or https"),
            ("[host.\"https://me:word@x\"]\n", 1, "login"),
            ("\n[host.\"https://x?y\"]\n", 2, "query"),
            ("\n[host.\"https://x\"]\ncapabilities = [\"fly\"]", 2, "fly"),
            ("\n[host.\"https://x\"]\nskip_verify = 3", 3, "bool"),
            ("[host.\"https://x\".header]\n\"a b\" = \"secret\"", 1, "a b"),
            ("[host.\"https://x\".header]\na = \"sec\\nret\"", 1, "`a`"),
            ("a = [", 1, ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("/c/hosts.toml:{line}: ")) && error.contains(word), "{text}: {error}");
            assert!(!error.contains("sec") && !error.contains("me:word"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(server|=|\"https://x\"|\\[host\\.\"a\"\\]|ca|client|\\[|\\]|\n| |header|é|\"){0,30}") {
            let _ = parse(&text);
        }
    }
}
