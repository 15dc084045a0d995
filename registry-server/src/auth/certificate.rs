//! Client certificates: whose they are.
//!
//! The connection has proven that the certificate comes from an authority of `client_ca` and that the client holds its key.
//! The name is the first of: an e-mail address, a URI, a DNS name of its subject alternative names, the common name of its subject. Its
//! groups are the organizational units of its subject.

use std::collections::BTreeSet;

use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

use super::{Method, Principal};

/// The longest name or group.
const LONGEST: usize = 255;
/// The most groups.
const MOST_GROUPS: usize = 64;

/// Who a certificate names; `None` where it names nobody.
pub(crate) fn principal(der: &[u8]) -> Option<Principal> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut principal = Principal::known(Method::Certificate, name(&certificate)?);
    let units = certificate.subject().iter_organizational_unit().filter_map(|unit| unit.as_str().ok());
    principal.groups =
        units.filter(|unit| is_plain(unit)).take(MOST_GROUPS).map(str::to_owned).collect::<BTreeSet<_>>();
    Some(principal)
}

fn name(certificate: &X509Certificate<'_>) -> Option<String> {
    let alternatives = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(names.general_names.as_slice()),
        _ => None,
    });
    let first = |pick: fn(&GeneralName<'_>) -> Option<String>| alternatives.into_iter().flatten().find_map(pick);
    let email = |name: &GeneralName<'_>| match name {
        GeneralName::RFC822Name(text) => Some((*text).to_owned()),
        _ => None,
    };
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(text) => Some((*text).to_owned()),
        _ => None,
    };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) => Some((*text).to_owned()),
        _ => None,
    };
    let common = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok().map(str::to_owned));
    first(email).or_else(|| first(uri)).or_else(|| first(dns)).or(common).filter(|name| is_plain(name))
}

fn is_plain(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(subject: &[(DnType, &str)], names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = names;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_first_name_counts() {
        let email = || SanType::Rfc822Name("ann@example.com".try_into().unwrap());
        let uri = || SanType::URI("spiffe://example.com/ann".try_into().unwrap());
        let dns = || SanType::DnsName("ann.example.com".try_into().unwrap());
        let common = [(DnType::CommonName, "ann")];
        let cases = [
            (certificate(&common, vec![dns(), uri(), email()]), Some("ann@example.com")),
            (certificate(&common, vec![dns(), uri()]), Some("spiffe://example.com/ann")),
            (certificate(&common, vec![dns()]), Some("ann.example.com")),
            (certificate(&common, vec![]), Some("ann")),
            (certificate(&[], vec![]), None),
            (certificate(&[(DnType::CommonName, "a\nb")], vec![]), None),
            (b"nonsense".to_vec(), None),
        ];
        for (der, expected) in cases {
            assert_eq!(principal(&der).map(|principal| principal.name).as_deref(), expected);
        }
    }

    #[test]
    fn units_are_groups() {
        let der = certificate(&[(DnType::CommonName, "ann"), (DnType::OrganizationalUnitName, "dev")], vec![]);
        let principal = principal(&der).unwrap();
        assert_eq!(principal.groups, BTreeSet::from(["dev".to_owned()]));
        assert_eq!(principal.actor(), "certificate:ann");
    }
}
