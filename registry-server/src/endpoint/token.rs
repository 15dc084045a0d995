//! `GET` and `POST /token`: a name and a password, or another proof, for a token.
//! Specifications: distribution's "Token Authentication Specification" and "Oauth2 Token Authentication".

use http::{HeaderValue, Method, Response, StatusCode, header};
use oci::ErrorCode;

use crate::auth::{NOT_KEPT, Proof, Wish, audit};
use crate::body::Body;
use crate::refusal::{Refusal, Result};
use crate::server::Call;

/// The largest form: two tokens and their scopes.
const LARGEST_FORM: usize = 64 * 1024;

/// The token, as JSON.
pub(crate) async fn answer(mut call: Call) -> Result<Response<Body>> {
    let wish = if call.parts.method == Method::POST {
        form(&read(&mut call).await?)?
    } else {
        query(call.parts.uri.query().unwrap_or_default())
    };
    let gate = &call.registry.gate;
    let (principal, answer) = gate.exchange(&call.parts, &call.peer, &wish).await?;
    if !principal.is_anonymous() {
        call.registry.audit.record(&audit::Event {
            what: "token.granted",
            who: Some(&principal.actor()),
            from: call.peer.address,
            repository: None,
            digest: None,
            tag: None,
            status: StatusCode::OK,
            why: None,
        });
    }
    let bytes = serde_json::to_vec(&answer).map_err(Refusal::internal)?;
    let mut response = Response::new(Body::from(bytes::Bytes::from(bytes)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(NOT_KEPT.0, NOT_KEPT.1);
    Ok(response)
}

async fn read(call: &mut Call) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = call.body.next().await? {
        if bytes.len() + chunk.len() > LARGEST_FORM {
            return Err(wrong(StatusCode::PAYLOAD_TOO_LARGE, "the form is larger than 64 KiB"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A wish in a query. Fields that nobody knows mean nothing (`account`, `client_id`).
fn query(text: &str) -> Wish {
    let mut wish = Wish::default();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        match &*name {
            "service" => wish.service = Some(value.into_owned()),
            "scope" => wish.scopes.push(value.into_owned()),
            "offline_token" => wish.offline = matches!(&*value, "true" | "1"),
            "access_type" => wish.offline = value == "offline",
            _ => {}
        }
    }
    wish
}

/// A wish in a form, with its proof.
fn form(bytes: &[u8]) -> Result<Wish> {
    let text = std::str::from_utf8(bytes).map_err(|_| wrong(StatusCode::BAD_REQUEST, "the form is not UTF-8"))?;
    let field = |wanted: &str| {
        let mut found = url::form_urlencoded::parse(bytes).filter(|(name, _)| name == wanted);
        let (first, second) = (found.next(), found.next());
        if second.is_some() { None } else { first.map(|(_, value)| value.into_owned()) }
    };
    let missing = || wrong(StatusCode::BAD_REQUEST, "the form lacks a field of its grant_type, or holds one twice");
    let proof = match field("grant_type").as_deref() {
        Some("password") => Proof::Password {
            name: field("username").ok_or_else(missing)?,
            password: field("password").ok_or_else(missing)?,
        },
        Some("refresh_token") => Proof::Refresh(field("refresh_token").ok_or_else(missing)?),
        _ => {
            let message = "the grant_type must be `password` or `refresh_token`";
            return Err(wrong(StatusCode::BAD_REQUEST, message));
        }
    };
    Ok(Wish { proof, ..query(text) })
}

fn wrong(status: StatusCode, message: &str) -> Refusal {
    Refusal::new(status, ErrorCode::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_write() {
        let wish =
            query("account=a&service=reg&scope=repository%3Aa%3Apull&scope=repository:b:push+x&offline_token=true");
        assert_eq!(wish.service.as_deref(), Some("reg"));
        assert_eq!(wish.scopes, ["repository:a:pull", "repository:b:push x"]);
        assert!(wish.offline);
        let wish =
            form(b"grant_type=password&username=a%40b&password=p%26q&service=reg&access_type=offline").ok().unwrap();
        let proof = Proof::Password { name: "a@b".to_owned(), password: "p&q".to_owned() };
        assert!(wish.proof == proof && wish.offline);
        let wish = form(b"grant_type=refresh_token&refresh_token=abc&scope=x").ok().unwrap();
        assert!(wish.proof == Proof::Refresh("abc".to_owned()));
        for bad in [
            &b""[..],
            b"grant_type=client_credentials",
            b"grant_type=password&username=a",
            b"grant_type=password&username=a&username=b&password=x",
            b"grant_type=password&grant_type=refresh_token&refresh_token=x",
            b"\xff",
        ] {
            assert!(form(bad).is_err());
        }
    }
}
