//! Package URLs: names that all tools agree on. See the purl specification, "purl-spec".

use crate::{Distribution, Ecosystem, Package};

impl Package {
    /// Its package URL. `distribution` gives Debian's, Alpine's and rpm's packages their maker.
    pub fn purl(&self, distribution: Option<&Distribution>) -> String {
        let maker = |otherwise: &str| distribution.map_or_else(|| otherwise.to_owned(), |known| known.id.clone());
        let (kind, namespace, name) = match self.ecosystem {
            Ecosystem::Deb => ("deb", vec![maker("debian")], self.name.to_ascii_lowercase()),
            Ecosystem::Apk => ("apk", vec![maker("alpine")], self.name.to_ascii_lowercase()),
            Ecosystem::Rpm => {
                ("rpm", distribution.map(|known| known.id.clone()).into_iter().collect(), self.name.clone())
            }
            Ecosystem::Python => ("pypi", Vec::new(), self.name.to_lowercase().replace('_', "-")),
            Ecosystem::Npm => parted("npm", &self.name.to_lowercase()),
            Ecosystem::Cargo => ("cargo", Vec::new(), self.name.clone()),
            Ecosystem::Go => parted("golang", &self.name.to_lowercase()),
        };
        let mut url = format!("pkg:{kind}/");
        for part in namespace.iter().chain([&name]) {
            url.push_str(&encoded(part));
            url.push('/');
        }
        url.pop();
        let (epoch, version) = self.epoch();
        if !version.is_empty() {
            url.push('@');
            url.push_str(&encoded(version));
        }
        url.push_str(&self.qualifiers(epoch, distribution));
        url
    }

    /// rpm's epoch stands apart.
    fn epoch(&self) -> (Option<&str>, &str) {
        match (self.ecosystem, self.version.split_once(':')) {
            (Ecosystem::Rpm, Some((epoch, version))) => (Some(epoch), version),
            _ => (None, &self.version),
        }
    }

    /// In the order of their names, as the specification wants it.
    fn qualifiers(&self, epoch: Option<&str>, distribution: Option<&Distribution>) -> String {
        if !matches!(self.ecosystem, Ecosystem::Deb | Ecosystem::Apk | Ecosystem::Rpm) {
            return String::new();
        }
        let distro = distribution.filter(|known| !known.version.is_empty());
        let distro = distro.map(|known| format!("{}-{}", known.id, known.version));
        let upstream = self.source.as_deref();
        let all = [
            ("arch", self.architecture.as_deref()),
            ("distro", distro.as_deref()),
            ("epoch", epoch),
            ("upstream", upstream),
        ];
        let given = all.iter().filter_map(|(key, value)| Some(format!("{key}={}", encoded((*value)?))));
        let given: Vec<String> = given.collect();
        if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
    }
}

/// A name whose slashes part a namespace from it.
fn parted<'k>(kind: &'k str, name: &str) -> (&'k str, Vec<String>, String) {
    let mut parts: Vec<String> = name.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let last = parts.pop().unwrap_or_default();
    (kind, parts, last)
}

/// Percent-encodes all that is not a letter, a digit or one of `.-_~:`.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_specification_writes_them() {
        let debian = Distribution { id: "debian".into(), version: "12".into(), name: "Debian".into() };
        let fedora = Distribution { id: "fedora".into(), version: "40".into(), name: "Fedora".into() };
        let package = |ecosystem, name: &str, version: &str| Package {
            version: version.to_owned(),
            ..Package::new(ecosystem, name.to_owned(), "p")
        };
        let curl = Package {
            architecture: Some("amd64".into()),
            source: Some("curl-src".into()),
            ..package(Ecosystem::Deb, "curl", "7.88.1-10+deb12u8")
        };
        assert_eq!(
            curl.purl(Some(&debian)),
            "pkg:deb/debian/curl@7.88.1-10%2Bdeb12u8?arch=amd64&distro=debian-12&upstream=curl-src"
        );
        let bash = Package { architecture: Some("x86_64".into()), ..package(Ecosystem::Rpm, "bash", "1:5.2-1.fc40") };
        assert_eq!(bash.purl(Some(&fedora)), "pkg:rpm/fedora/bash@5.2-1.fc40?arch=x86_64&distro=fedora-40&epoch=1");
        for (ecosystem, name, version, url) in [
            (Ecosystem::Npm, "@angular/core", "1.0.0", "pkg:npm/%40angular/core@1.0.0"),
            (Ecosystem::Python, "Flask_X", "3.0", "pkg:pypi/flask-x@3.0"),
            (Ecosystem::Cargo, "serde", "1.0.0", "pkg:cargo/serde@1.0.0"),
            (Ecosystem::Go, "github.com/A/b/v2", "v2.0.0", "pkg:golang/github.com/a/b/v2@v2.0.0"),
            (Ecosystem::Apk, "musl", "1.2.5-r0", "pkg:apk/alpine/musl@1.2.5-r0"),
            (Ecosystem::Go, "stdlib", "", "pkg:golang/stdlib"),
        ] {
            assert_eq!(package(ecosystem, name, version).purl(None), url);
        }
    }
}
