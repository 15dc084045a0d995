//! What lists have in common: pages of JSON, and the way to the next one.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::body::Body;
use crate::refusal::{Refusal, Result};

/// What may stand in a query as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One page as JSON.
pub(crate) fn page(value: &Value, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(value.to_string())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds `Link: <path?query>; rel="next"`. Relative, so that it holds behind any proxy.
///
/// # Errors
/// Never in practice: what is encoded is a valid header.
pub(crate) fn link_next(response: &mut Response<Body>, path: &str, query: &[(&str, &str)]) -> Result<()> {
    let mut link = format!("<{path}");
    for (at, (name, value)) in query.iter().enumerate() {
        let mark = if at == 0 { '?' } else { '&' };
        let _ = write!(link, "{mark}{name}={}", utf8_percent_encode(value, PLAIN));
    }
    link.push_str(">; rel=\"next\"");
    response.headers_mut().insert(header::LINK, HeaderValue::try_from(link).map_err(Refusal::internal)?);
    Ok(())
}
