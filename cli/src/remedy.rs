//! What to do when a registry refuses, or cannot be reached.

use std::time::Duration;

use builder::transfer::copy::CopyError;
use builder::transfer::pull::PullError;
use builder::transfer::push::PushError;
use oci::Reference;
use remote::{Client, Distrust, Error as Refusal};

use crate::error::Error;

/// Tags that are named when the one that was asked for is not there.
const SUGGESTED: usize = 3;

/// The registry's part in an error: libraries pass it on without adding words.
pub(crate) fn refusal<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Refusal> {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return Some(refusal);
    }
    if let Some(PullError::Remote(refusal)) = error.downcast_ref() {
        return Some(refusal);
    }
    if let Some(PushError::Remote(refusal)) = error.downcast_ref() {
        return Some(refusal);
    }
    match error.downcast_ref() {
        Some(CopyError::Remote(refusal)) => Some(refusal),
        _ => None,
    }
}

/// The next step after a refusal.
pub(crate) fn hint(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::Unauthorized { place, had_credentials: false, .. } => {
            Some(format!("`estiba login {}` first, or give --creds USER", place.registry))
        }
        Refusal::Unauthorized { place, had_credentials: true, .. } => {
            Some(format!("`estiba login {}` with a name that may do this", place.registry))
        }
        Refusal::Status { status, place, retry_after, .. } => by_status(status.as_u16(), &place.registry, *retry_after),
        Refusal::Transport { message, place, connect, .. } => {
            unreachable(&message.to_lowercase(), &place.registry, *connect)
        }
        Refusal::Certificate { place, distrust, .. } => Some(certificate(*distrust, &place.registry)),
        Refusal::Blocked { .. } => Some("the file says so; --registries-conf names another".to_owned()),
        Refusal::Plaintext { .. } => {
            Some("`--tls-verify=false` allows plain http; the password is readable on the way".to_owned())
        }
        Refusal::AuthFile(_) => Some("mend the file, or name another with --authfile".to_owned()),
        Refusal::Helper(_) => {
            Some("the program is named by `credHelpers` or `credsStore` in the file of credentials".to_owned())
        }
        _ => None,
    }
}

fn by_status(status: u16, registry: &str, retry_after: Option<Duration>) -> Option<String> {
    match (status, retry_after) {
        (401 | 403, _) => Some(format!("`estiba login {registry}` with a name that may do this")),
        (429, Some(wait)) => Some(format!("the registry wants to be asked again in {} seconds", wait.as_secs())),
        (429, None) => Some(format!("the registry limits how often it is asked: wait, or `estiba login {registry}`")),
        (413, _) => Some("the registry, or a proxy before it, takes no body of this size".to_owned()),
        (500..=599, _) => Some("the fault is the registry's: `--retry N` tries more often".to_owned()),
        _ => None,
    }
}

/// What may be done about a certificate that one side does not believe.
fn certificate(distrust: Distrust, registry: &str) -> String {
    match distrust {
        Distrust::Ours => format!(
            "put our certificate and its key into a folder as client.cert and client.key, and give --cert-dir DIR \
             (or use /etc/containers/certs.d/{registry})"
        ),
        Distrust::Unknown => format!(
            "put the certificate of the authority that signed it into a folder as ca.crt, and give --cert-dir DIR \
             (or use /etc/containers/certs.d/{registry}); --tls-verify=false takes any"
        ),
        Distrust::Name => "call it by a name that stands in its certificate; --tls-verify=false takes any".to_owned(),
        Distrust::Time => "is this machine's clock right? --tls-verify=false takes any certificate".to_owned(),
        _ => "--tls-verify=false takes any certificate".to_owned(),
    }
}

/// What may be done about a host that does not answer as it should.
fn unreachable(message: &str, registry: &str, connect: bool) -> Option<String> {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["invalidcontenttype", "corrupt message", "wrong version"]) {
        return Some("it speaks no TLS: `--tls-verify=false` allows plain http".to_owned());
    }
    if says(&["dns", "lookup", "resolve"]) {
        return Some(format!("is `{registry}` the registry's name, and is this machine online?"));
    }
    connect.then(|| format!("does a registry listen at {registry}? A proxy is taken from $HTTPS_PROXY and $NO_PROXY"))
}

/// Adds the tags that come near, where a tag is not there; what the registry does not tell is not worth a word.
pub(crate) async fn with_near_tags(error: Error, client: &Client, reference: &Reference) -> Error {
    let Some(tag) = reference.tag() else { return error };
    let Ok(route) = client.route(reference) else { return error };
    match route.target().tags(Some(1000), None).await {
        Ok(page) if page.tags.is_empty() => error.hint(format!("{} has no tags", reference.familiar_name())),
        Ok(page) => error.hint(near_tags(tag.as_str(), &page.tags, &reference.familiar_name())),
        Err(_) => error.hint(format!(
            "is `{}` the right name? `estiba login {}` may show more",
            reference.familiar_name(),
            reference.registry()
        )),
    }
}

fn near_tags(tag: &str, tags: &[oci::Tag], name: &str) -> String {
    let near = crate::near::ranked(tag, tags.iter().map(oci::Tag::as_str));
    let begin = tags.iter().map(oci::Tag::as_str).filter(|there| there.starts_with(tag) || tag.starts_with(there));
    let mut shown: Vec<String> = Vec::new();
    for tag in near.into_iter().chain(begin) {
        let written = format!("`{name}:{tag}`");
        if !shown.contains(&written) && shown.len() < SUGGESTED {
            shown.push(written);
        }
    }
    if shown.is_empty() {
        let some: Vec<_> = tags.iter().rev().take(SUGGESTED).map(oci::Tag::as_str).collect();
        let more = if tags.len() > SUGGESTED { ", …" } else { "" };
        return format!("{name} has the tags {}{more} (`estiba tags {name}` lists them)", some.join(", "));
    }
    format!("did you mean {}?", shown.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use remote::Place;

    #[test]
    fn refusals_have_a_next_step() {
        let place = Place { registry: "example.com".to_owned(), repository: "app".to_owned() };
        let transport = |message: &str| Refusal::Transport {
            place: place.clone(),
            what: "its base".to_owned(),
            message: message.to_owned(),
            connect: true,
        };
        for (refusal, words) in [
            (
                Refusal::Unauthorized {
                    place: place.clone(),
                    what: String::new(),
                    had_credentials: false,
                    errors: Vec::new(),
                },
                "estiba login example.com",
            ),
            (transport("received corrupt message of type InvalidContentType"), "--tls-verify=false"),
            (transport("dns error: failed to lookup address information"), "online"),
            (transport("tcp connect error: Connection refused"), "listen"),
        ] {
            let hint = hint(&refusal).unwrap();
            assert!(hint.contains(words), "{refusal}: {hint}");
        }
        let by = |status, wait: Option<u64>| by_status(status, "example.com", wait.map(Duration::from_secs));
        assert!(by(403, None).unwrap().contains("estiba login example.com"));
        assert!(by(429, None).unwrap().contains("wait") && by(429, Some(7)).unwrap().contains("in 7 seconds"));
        assert!(by(503, None).unwrap().contains("--retry"));
        assert_eq!(by(404, None), None);
        assert!(certificate(Distrust::Unknown, "example.com").contains("--cert-dir"));
    }

    #[test]
    fn tags_that_come_near() {
        let tags: Vec<oci::Tag> = ["1.2.0", "1.2.1", "latest", "edge"].iter().map(|tag| tag.parse().unwrap()).collect();
        assert_eq!(near_tags("1.2.2", &tags, "app"), "did you mean `app:1.2.0` or `app:1.2.1`?");
        assert_eq!(near_tags("lates", &tags, "app"), "did you mean `app:latest`?");
        assert_eq!(
            near_tags("zzzzzz", &tags, "app"),
            "app has the tags edge, latest, 1.2.1, … (`estiba tags app` lists them)"
        );
    }
}
