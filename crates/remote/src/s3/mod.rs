//! Buckets of S3, and of what speaks as it does: objects by name, and nothing else.
//!
//! Calls are signed where there are keys. An answer is not followed elsewhere, and objects are not believed: whoever asks for
//! one compares it.

mod sign;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use oci::Digest;
use url::Url;

use self::sign::{Signed, authorization, encoded};
use crate::{hop, tls};

/// The largest object that one call may bring (S3 API reference, `PutObject`).
const MAX_OBJECT: u64 = 5 << 30;
/// Tries of one call.
const TRIES: u32 = 4;
/// Before the second try; doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// An answer that stands still for so long is given up.
const IDLE: Duration = Duration::from_secs(60);
/// So much of an error's text is read.
const MAX_ERROR: usize = 16 << 10;
/// One piece of an upload.
const PIECE: usize = 256 << 10;

/// What calls are signed with.
#[derive(Clone)]
pub struct Keys {
    /// Names the key.
    pub id: String,
    /// The key.
    pub secret: String,
    /// Goes with a key that ends.
    pub token: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Where a bucket is.
#[derive(Clone, Debug, Default)]
pub struct Place<'p> {
    /// Its name.
    pub bucket: &'p str,
    /// Its region.
    pub region: &'p str,
    /// Another host than Amazon's, as a URL.
    pub endpoint: Option<&'p str>,
    /// The bucket stands in the path, and not in the host's name.
    pub path_style: bool,
}

/// A call that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// The place cannot be one.
    #[error("s3 bucket {bucket}: {problem}")]
    Place {
        /// The bucket.
        bucket: String,
        /// Why not.
        problem: String,
    },
    /// The host was not reached, or broke off.
    #[error("s3 bucket {bucket}: {what}: {source}")]
    Transport {
        /// The bucket.
        bucket: String,
        /// What was asked.
        what: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The host refused.
    #[error("s3 bucket {bucket}: {what}: {status}{}{detail}", if .detail.is_empty() { "" } else { ": " })]
    Refused {
        /// The bucket.
        bucket: String,
        /// What was asked.
        what: String,
        /// The answer.
        status: StatusCode,
        /// The host's own words.
        detail: String,
    },
    /// The object cannot be sent in one call.
    #[error("s3 bucket {bucket}: {what} has {size} bytes, more than one upload may have ({MAX_OBJECT})")]
    Size {
        /// The bucket.
        bucket: String,
        /// What was to be sent.
        what: String,
        /// Its size.
        size: u64,
    },
    /// The file that was to be sent.
    #[error("read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What an object is made of.
#[derive(Clone, Debug)]
pub enum Body {
    /// These bytes.
    Bytes(Bytes),
    /// A file.
    File(PathBuf),
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    name: String,
    region: String,
    base: Url,
    host: String,
    keys: Option<Keys>,
    pool: reqwest::Client,
}

/// An object that is being read.
#[derive(Debug)]
pub struct Object {
    response: reqwest::Response,
    bucket: String,
    what: String,
}

impl Object {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`S3Error::Transport`], and [`S3Error::Place`] when nothing comes any more.
    pub async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        match tokio::time::timeout(IDLE, self.response.chunk()).await {
            Ok(read) => read.map_err(|source| {
                let (bucket, what) = (self.bucket.clone(), self.what.clone());
                S3Error::Transport { bucket, what, source }
            }),
            Err(_) => {
                let problem = format!("{}: nothing came for {} seconds", self.what, IDLE.as_secs());
                Err(S3Error::Place { bucket: self.bucket.clone(), problem })
            }
        }
    }
}

impl Bucket {
    /// A bucket; nothing is asked yet.
    ///
    /// # Errors
    /// [`S3Error::Place`].
    pub fn new(place: &Place<'_>, keys: Option<Keys>) -> Result<Self, S3Error> {
        let wrong = |problem: String| S3Error::Place { bucket: place.bucket.to_owned(), problem };
        let amazon = format!("https://s3.{}.amazonaws.com", place.region);
        let text = place.endpoint.unwrap_or(&amazon);
        let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let mut base = Url::parse(&text).map_err(|error| wrong(format!("endpoint {text}: {error}")))?;
        // A signature tells nobody the key; what goes with a key that ends is sent as it is.
        let tells = keys.as_ref().is_some_and(|keys| keys.token.is_some());
        if base.scheme() == "http" && !hop::is_local(&base) && tells {
            return Err(wrong(format!("endpoint {text}: a session token goes over https only")));
        }
        if place.path_style {
            let path = format!("{}/{}", base.path().trim_end_matches('/'), place.bucket);
            base.set_path(&path);
        } else {
            let host = base.host_str().ok_or_else(|| wrong("the endpoint has no host".to_owned()))?;
            let host = format!("{}.{host}", place.bucket);
            base.set_host(Some(&host)).map_err(|error| wrong(format!("host {host}: {error}")))?;
        }
        let host = base.host_str().ok_or_else(|| wrong("the endpoint has no host".to_owned()))?;
        let host = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let tls = tls::config(base.scheme() == "https", &[], None, true).map_err(|error| wrong(error.to_string()))?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(Duration::from_secs(30))
            .tcp_nodelay(true);
        if hop::is_local(&base) {
            builder = builder.no_proxy();
        }
        let pool = builder.build().map_err(|error| wrong(error.to_string()))?;
        let (name, region) = (place.bucket.to_owned(), place.region.to_owned());
        Ok(Self { name, region, base, host, keys, pool })
    }

    /// Opens an object; `None` where there is none.
    ///
    /// # Errors
    /// See [`S3Error`].
    pub async fn get(&self, object: &str) -> Result<Option<Object>, S3Error> {
        let what = format!("read {object}");
        let response = self.call(Method::GET, object, &what, None).await?;
        Ok(response.map(|response| Object { response, bucket: self.name.clone(), what }))
    }

    /// The size of an object; `None` where there is none.
    ///
    /// # Errors
    /// See [`S3Error`].
    pub async fn size(&self, object: &str) -> Result<Option<u64>, S3Error> {
        let response = self.call(Method::HEAD, object, &format!("look for {object}"), None).await?;
        let length = |response: reqwest::Response| {
            let value = response.headers().get(http::header::CONTENT_LENGTH)?;
            value.to_str().ok()?.parse().ok()
        };
        Ok(response.and_then(length))
    }

    /// Brings an object, in place of an earlier one: whole, or not at all. `digest` is that of its bytes, which the host
    /// compares.
    ///
    /// # Errors
    /// See [`S3Error`].
    pub async fn put(&self, object: &str, body: &Body, digest: &Digest, size: u64) -> Result<(), S3Error> {
        let what = format!("write {object}");
        if size > MAX_OBJECT {
            return Err(S3Error::Size { bucket: self.name.clone(), what, size });
        }
        self.call(Method::PUT, object, &what, Some((body, digest, size))).await.map(drop)
    }

    /// One call, tried again where that may help. `None`: there is no such object.
    async fn call(
        &self,
        method: Method,
        object: &str,
        what: &str,
        body: Option<(&Body, &Digest, u64)>,
    ) -> Result<Option<reqwest::Response>, S3Error> {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let sent = tokio::time::timeout(IDLE * 60, self.once(&method, object, body)?.send()).await;
            let again = attempt < TRIES;
            match sent {
                Ok(Ok(response)) if response.status().is_success() => return Ok(Some(response)),
                Ok(Ok(response)) if response.status() == StatusCode::NOT_FOUND && body.is_none() => return Ok(None),
                Ok(Ok(response))
                    if again && (response.status().is_server_error() || response.status().as_u16() == 429) => {}
                Ok(Ok(response)) => return Err(self.refused(what, response).await),
                Ok(Err(_)) | Err(_) if again => {}
                Ok(Err(source)) => {
                    return Err(S3Error::Transport { bucket: self.name.clone(), what: what.to_owned(), source });
                }
                Err(_) => break,
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Err(S3Error::Place { bucket: self.name.clone(), problem: format!("{what}: no answer") })
    }

    fn once(
        &self,
        method: &Method,
        object: &str,
        body: Option<(&Body, &Digest, u64)>,
    ) -> Result<reqwest::RequestBuilder, S3Error> {
        let path = format!("{}/{}", self.base.path().trim_end_matches('/'), encoded(object));
        let mut url = self.base.clone();
        url.set_path(&path);
        let empty = Digest::sha256(b"");
        let payload = body.map_or(&empty, |(_, digest, _)| digest);
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut request = self.pool.request(method.clone(), url);
        if let Some(keys) = &self.keys {
            let (host, region) = (self.host.as_str(), self.region.as_str());
            let call = Signed { method: method.as_str(), host, path: &path, query: "", region, payload, time: &time };
            request = request
                .header("x-amz-date", &time)
                .header("x-amz-content-sha256", payload.hex())
                .header(http::header::AUTHORIZATION, authorization(&call, keys));
            if let Some(token) = &keys.token {
                request = request.header("x-amz-security-token", token);
            }
        }
        let Some((body, _, size)) = body else { return Ok(request) };
        let request = request.header(http::header::CONTENT_LENGTH, size);
        Ok(match body {
            Body::Bytes(bytes) => request.body(bytes.clone()),
            Body::File(path) => request.body(file(path.clone())?),
        })
    }

    /// What the host says of a refusal: `<Code>` and `<Message>` of its answer.
    async fn refused(&self, what: &str, mut response: reqwest::Response) -> S3Error {
        let status = response.status();
        let mut text = Vec::new();
        while text.len() < MAX_ERROR
            && let Ok(Some(bytes)) = response.chunk().await
        {
            text.extend_from_slice(&bytes);
        }
        let text = String::from_utf8_lossy(&text);
        let part = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            rest.split_once('<').map(|(value, _)| value.to_owned())
        };
        let parts: Vec<String> = ["Code", "Message"].into_iter().filter_map(part).collect();
        let detail = parts.join(", ").chars().filter(|letter| !letter.is_control()).take(300).collect();
        S3Error::Refused { bucket: self.name.clone(), what: what.to_owned(), status, detail }
    }
}

/// A file as a body, read by a thread that may wait for the disk.
fn file(path: PathBuf) -> Result<reqwest::Body, S3Error> {
    let opened = File::open(&path).map_err(|source| S3Error::File { path: path.clone(), source })?;
    let pieces = futures_util::stream::try_unfold(opened, |mut opened| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            (&mut opened).take(PIECE as u64).read_to_end(&mut piece).map(|_| (piece, opened))
        });
        let (piece, opened) = read.await.map_err(std::io::Error::other)??;
        Ok::<_, std::io::Error>((!piece.is_empty()).then_some((Bytes::from(piece), opened)))
    });
    Ok(reqwest::Body::wrap_stream(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_token_is_not_sent_in_the_clear() {
        let keys =
            |token: Option<&str>| Some(Keys { id: "i".into(), secret: "s".into(), token: token.map(str::to_owned) });
        let bucket = |endpoint, keys| {
            Bucket::new(&Place { bucket: "b", region: "r", endpoint: Some(endpoint), path_style: true }, keys)
        };
        assert!(bucket("http://minio:9000", keys(None)).is_ok());
        assert!(bucket("http://127.0.0.1:9000", keys(Some("t"))).is_ok());
        assert!(bucket("https://minio:9000", keys(Some("t"))).is_ok());
        let said = bucket("http://minio:9000", keys(Some("t"))).unwrap_err().to_string();
        assert!(said.contains("over https only"), "{said}");
    }
}
