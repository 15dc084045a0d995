//! An inventory as an SPDX 2.3 document in JSON. Two looks at one tree give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use oci::Digest;
use serde_json::{Map, Value, json};

use crate::{Distribution, Ecosystem, Inventory, Package};

/// The predicate of an in-toto statement that is such a document.
pub const PREDICATE: &str = "https://spdx.dev/Document";

const NOTHING_SAID: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

/// Identifiers of SPDX's list that packages use day by day. What is not among them is kept in its own words.
const KNOWN: [&str; 58] = [
    "0BSD",
    "AFL-2.1",
    "AFL-3.0",
    "AGPL-3.0",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-1.1",
    "Apache-2.0",
    "Artistic-1.0",
    "Artistic-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-4-Clause",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC0-1.0",
    "CDDL-1.0",
    "CPL-1.0",
    "EPL-1.0",
    "EPL-2.0",
    "EUPL-1.2",
    "FTL",
    "GPL-1.0-or-later",
    "GPL-2.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "ISC",
    "LGPL-2.0-or-later",
    "LGPL-2.1",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "LPPL-1.3c",
    "MIT",
    "MIT-0",
    "MPL-1.1",
    "MPL-2.0",
    "MS-PL",
    "NCSA",
    "OFL-1.1",
    "OpenSSL",
    "PSF-2.0",
    "PostgreSQL",
    "Python-2.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "WTFPL",
    "X11",
    "Zlib",
    "ZPL-2.1",
];

/// What an inventory was made of.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The image's name, or its digest.
    pub name: String,
    /// Its digest, or any word that no other document has.
    pub digest: String,
    /// When: `2026-01-02T03:04:05Z`.
    pub created: String,
    /// Who: a name and a version, `estiba-0.1.0`.
    pub tool: String,
}

/// The document.
pub fn document(inventory: &Inventory, subject: &Subject) -> Value {
    let mut licences = Licences::default();
    let distribution = inventory.distribution.as_ref();
    let mut packages = vec![image(subject, distribution)];
    let mut relationships = vec![related(DOCUMENT, "DESCRIBES", IMAGE)];
    let mut taken = BTreeSet::new();
    for one in &inventory.packages {
        let id = identifier(one, distribution);
        if taken.insert(id.clone()) {
            packages.push(package(one, &id, distribution, &mut licences));
            relationships.push(related(IMAGE, "CONTAINS", &id));
        }
    }
    let place = format!("{}-{}", sanitised(&subject.name), sanitised(&subject.digest));
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": subject.name,
        "documentNamespace": format!("https://spdx.org/spdxdocs/estiba/{place}"),
        "creationInfo": {
            "created": subject.created,
            "creators": [format!("Tool: {}", subject.tool)],
        },
        "packages": packages,
        "relationships": relationships,
    });
    let problems = inventory.problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message));
    let problems: Vec<String> = problems.collect();
    if let Some(fields) = document.as_object_mut() {
        if !problems.is_empty() {
            fields.insert("comment".to_owned(), json!(format!("not read: {}", problems.join("; "))));
        }
        if !licences.0.is_empty() {
            let texts = licences.0.iter().map(|(id, text)| json!({ "licenseId": id, "extractedText": text }));
            fields.insert("hasExtractedLicensingInfos".to_owned(), texts.collect());
        }
    }
    document
}

fn related(from: &str, how: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": how, "relatedSpdxElement": to })
}

/// The image itself.
fn image(subject: &Subject, distribution: Option<&Distribution>) -> Value {
    let mut fields = Map::new();
    fields.insert("SPDXID".to_owned(), json!(IMAGE));
    fields.insert("name".to_owned(), json!(subject.name));
    fields.insert("versionInfo".to_owned(), json!(subject.digest));
    fields.insert("primaryPackagePurpose".to_owned(), json!("CONTAINER"));
    if let Some(distribution) = distribution {
        fields.insert("comment".to_owned(), json!(format!("distribution: {}", distribution.name)));
    }
    unsaid(&mut fields, NOTHING_SAID);
    Value::Object(fields)
}

/// What every package must say, and we don't know.
fn unsaid(fields: &mut Map<String, Value>, licence: &str) {
    fields.insert("downloadLocation".to_owned(), json!(NOTHING_SAID));
    fields.insert("filesAnalyzed".to_owned(), json!(false));
    fields.insert("licenseConcluded".to_owned(), json!(NOTHING_SAID));
    fields.insert("licenseDeclared".to_owned(), json!(licence));
    fields.insert("copyrightText".to_owned(), json!(NOTHING_SAID));
}

fn package(one: &Package, id: &str, distribution: Option<&Distribution>, licences: &mut Licences) -> Value {
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    set("SPDXID", json!(id));
    set("name", json!(one.name));
    if !one.version.is_empty() {
        set("versionInfo", json!(one.version));
    }
    set("sourceInfo", json!(format!("found in /{}", one.found_in)));
    set("supplier", json!(supplier(one)));
    if let Some(page) = one.homepage.as_deref().filter(|page| is_address(page)) {
        set("homepage", json!(page));
    }
    if let Some((algorithm, digits)) = &one.checksum {
        set("checksums", json!([{ "algorithm": algorithm.to_uppercase(), "checksumValue": digits }]));
    }
    let purl = one.purl(distribution);
    set(
        "externalRefs",
        json!([{ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl }]),
    );
    let licence = one.licence.as_deref().map_or_else(|| NOTHING_SAID.to_owned(), |words| licences.expression(words));
    unsaid(&mut fields, &licence);
    Value::Object(fields)
}

/// SPDX wants an address that begins with a scheme, and has no space.
fn is_address(page: &str) -> bool {
    let rest = page.strip_prefix("https://").or_else(|| page.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte))
    })
}

/// `Name <address>` in SPDX's words.
fn supplier(one: &Package) -> String {
    let Some(words) = &one.supplier else { return NOTHING_SAID.to_owned() };
    let kind = if one.ecosystem == Ecosystem::Rpm { "Organization" } else { "Person" };
    let plain = |text: &str| text.replace(['(', ')'], " ").trim().to_owned();
    match words.split_once('<') {
        Some((name, rest)) if !name.trim().is_empty() => {
            let address = rest.trim_end_matches('>').trim();
            match address.contains(char::is_whitespace) || !address.contains('@') {
                true => format!("{kind}: {}", plain(name)),
                false => format!("{kind}: {} ({})", plain(name), plain(address)),
            }
        }
        _ if plain(words).is_empty() => NOTHING_SAID.to_owned(),
        _ => format!("{kind}: {}", plain(words)),
    }
}

/// A name within the document: the same for the same package at the same place.
fn identifier(one: &Package, distribution: Option<&Distribution>) -> String {
    let whole = format!("{}\n{}\n{}", one.purl(distribution), one.found_in, one.version);
    let digest = Digest::sha256(whole.as_bytes()).hex().to_string();
    let kind = format!("{:?}", one.ecosystem).to_lowercase();
    format!("SPDXRef-{kind}-{}-{}", sanitised(&one.name), &digest[..16])
}

/// Letters, digits, dots and hyphens, as SPDX allows in names.
fn sanitised(text: &str) -> String {
    let good = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    text.chars().take(100).map(good).collect()
}

/// Licences in their own words, by the names that they get in the document.
#[derive(Default)]
struct Licences(BTreeMap<String, String>);

impl Licences {
    /// An expression of SPDX: the words, where they are one, else a reference to them.
    fn expression(&mut self, words: &str) -> String {
        if is_expression(words) {
            return words.to_owned();
        }
        let digest = Digest::sha256(words.as_bytes()).hex().to_string();
        let id = format!("LicenseRef-{}", &digest[..16]);
        self.0.insert(id.clone(), words.to_owned());
        id
    }
}

/// Whether words are known licences joined by AND and OR. Others may be, too: theirs are kept as words.
fn is_expression(words: &str) -> bool {
    let mut wants_licence = true;
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        let joins = matches!(word, "AND" | "OR");
        if joins == wants_licence || (!joins && !KNOWN.contains(&word)) {
            return false;
        }
        wants_licence = joins;
    }
    !wants_licence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences() {
        for (words, yes) in [
            ("MIT", true),
            ("MIT OR Apache-2.0", true),
            ("MIT Apache-2.0", false),
            ("OR MIT", false),
            ("BSD", false),
            ("", false),
            ("MIT AND", false),
        ] {
            assert_eq!(is_expression(words), yes, "{words}");
        }
        let mut licences = Licences::default();
        assert_eq!(licences.expression("GPL v2"), licences.expression("GPL v2"));
        assert_eq!(licences.0.len(), 1);
    }

    #[test]
    fn people() {
        let with = |words: &str| {
            supplier(&Package { supplier: Some(words.to_owned()), ..Package::new(Ecosystem::Deb, "a".to_owned(), "p") })
        };
        assert_eq!(with("A B <a@b.org>"), "Person: A B (a@b.org)");
        assert_eq!(with("A (b)"), "Person: A  b");
        assert_eq!(with("<a@b.org>"), "Person: <a@b.org>");
    }
}
