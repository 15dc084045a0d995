//! From a request to a page: who asks, what may be shown, and the headers of every answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use oci::{ErrorCode, RepositoryName, Tag};
use url::Url;

use super::home::{self, Home};
use super::manifest::ManifestView;
use super::place::Place;
use super::pull::Host;
use super::query::Fields;
use super::repository::Repository;
use super::shell::{Section, Sheet, Shell, Who};
use super::storage::StorageView;
use super::tag::TagView;
use super::{fault, style, undo};
use crate::auth::{Action, Principal};
use crate::body::Body;
use crate::collect::{Pressure, Rules};
use crate::refusal::{Refusal, Result};
use crate::server::{Call, linger};
use crate::time::Instant;

/// What a page may load: our style sheet and icon; nothing runs, nothing frames it, forms go nowhere else.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Answers a request for a page. Only where pages are off is there a refusal in the API's form.
///
/// # Errors
/// 404 where `[page]` is off.
pub(crate) async fn answer(mut call: Call) -> Result<Response<Body>> {
    if !call.registry.config.page.enabled {
        return Err(nothing_here());
    }
    let outcome = match Place::parse(call.parts.uri.path()) {
        Some(Place::Style) => return Ok(file("text/css; charset=utf-8", style::SHEET)),
        Some(Place::Icon) => return Ok(file("image/svg+xml", style::ICON)),
        Some(place) => identified(&mut call, place).await,
        None => Err(nothing_here()),
    };
    match outcome {
        Ok(response) => Ok(response),
        Err(refusal) => {
            linger(&call.parts.headers, &mut call.body).await;
            Ok(refused(&call, refusal))
        }
    }
}

async fn identified(call: &mut Call, place: Place) -> Result<Response<Body>> {
    call.principal = call.registry.gate.authenticate(&call.parts, &call.peer).await?;
    if call.parts.method == Method::POST {
        let Place::Tag(repository, tag) = place else { return Err(nothing_here()) };
        return undo::undo(call, repository, tag).await;
    }
    match place {
        Place::Home => home(call).await,
        Place::Repository(name) => repository(call, name).await,
        Place::Find => find(call),
        Place::Tag(name, tag) => self::tag(call, name, tag).await,
        Place::Manifest(name, digest) => manifest(call, name, digest).await,
        Place::Storage => storage(call).await,
        Place::Login => log_in(call),
        Place::Style | Place::Icon => Err(nothing_here()),
    }
}

async fn home(call: &Call) -> Result<Response<Body>> {
    let catalog = call.registry.gate.catalog(&call.principal)?;
    let fields = fields(call);
    let wanted = home::Wanted { prefix: fields.get("q").unwrap_or_default(), after: fields.get("after") };
    let host = host(call).authority;
    let read = move |registry: &crate::Registry| {
        let visible = |name: &RepositoryName| registry.gate.shows(&catalog, name);
        Ok(Home::read(&*registry.metadata, wanted, &visible, host)?)
    };
    Ok(shown(call, Section::Repositories, &call.registry.blocking(read).await?.sheet()))
}

async fn repository(call: &Call, name: RepositoryName) -> Result<Response<Body>> {
    let pull = call.registry.gate.pull(&call.principal, &name)?;
    let after = fields(call).get("after");
    let read = move |registry: &crate::Registry| Ok(Repository::read(&*registry.metadata, pull.repository(), after)?);
    let found = call.registry.blocking(read).await?;
    let found =
        found.ok_or_else(|| unknown(ErrorCode::NameUnknown, format!("There is no repository {}.", name.as_str())))?;
    Ok(shown(call, Section::Repositories, &found.sheet(&host(call), Instant::now())))
}

/// Leads from the form of a repository to the page of a tag.
fn find(call: &Call) -> Result<Response<Body>> {
    let fields = fields(call);
    let name =
        fields.get("repository").and_then(|text| text.parse::<RepositoryName>().ok()).ok_or_else(nothing_here)?;
    let tag = fields.get("tag").and_then(|text| text.parse::<Tag>().ok());
    let place = tag.map_or_else(|| Place::Repository(name.clone()), |tag| Place::Tag(name.clone(), tag));
    Ok(see(&place.to_string()))
}

async fn tag(call: &Call, name: RepositoryName, tag: Tag) -> Result<Response<Body>> {
    let pull = call.registry.gate.pull(&call.principal, &name)?;
    let moved = fields(call).get("moved").and_then(|text| text.parse().ok());
    let gate = &call.registry.gate;
    let may_undo = gate.may(&call.principal, Action::Push, &name)
        && gate.may(&call.principal, Action::Update, &name)
        && !gate.immutable(&name, &tag);
    let unknown =
        || unknown(ErrorCode::ManifestUnknown, format!("{} never had a tag {}.", name.as_str(), tag.as_str()));
    let wanted = tag.clone();
    let read = move |registry: &crate::Registry| Ok(TagView::read(&*registry.metadata, pull.repository(), &wanted)?);
    let found = call.registry.blocking(read).await?.ok_or_else(unknown)?;
    Ok(shown(call, Section::Repositories, &found.sheet(&host(call), may_undo, moved, Instant::now())))
}

async fn manifest(call: &Call, name: RepositoryName, digest: oci::Digest) -> Result<Response<Body>> {
    let pull = call.registry.gate.pull(&call.principal, &name)?;
    let tag = fields(call).get("tag").and_then(|text| text.parse().ok());
    let read = move |registry: &crate::Registry| {
        ManifestView::read(&*registry.metadata, &*registry.objects, pull.repository(), &digest, tag)
            .map_err(Refusal::internal)
    };
    let unknown = || unknown(ErrorCode::ManifestUnknown, format!("{} does not hold {digest}.", name.as_str()));
    let found = call.registry.blocking(read).await?.ok_or_else(unknown)?;
    Ok(shown(call, Section::Repositories, &found.sheet(&host(call), Instant::now())))
}

async fn storage(call: &Call) -> Result<Response<Body>> {
    call.registry.gate.administer(&call.principal)?;
    let catalog = call.registry.gate.catalog(&call.principal)?;
    let now = Instant::now();
    let read = move |registry: &crate::Registry| {
        let cutoff = Rules::new(&registry.config.gc, &registry.config.storage).cutoff(now, Pressure::None);
        let freeable = registry.figures.freeable(&*registry.metadata, &cutoff, now)?;
        let visible = |name: &RepositoryName| registry.gate.shows(&catalog, name);
        Ok(StorageView::read(&*registry.metadata, registry.objects.space()?, freeable, &visible)?)
    };
    Ok(shown(call, Section::Storage, &call.registry.blocking(read).await?.sheet(now)))
}

/// Makes the browser ask for name and password, and goes home with them.
fn log_in(call: &Call) -> Result<Response<Body>> {
    if call.principal.is_anonymous() && call.registry.config.auth.htpasswd.is_some() {
        let message = "Come back with the name and password that you push and pull with.";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message));
    }
    Ok(see(&Place::Home.to_string()))
}

/// The request's query.
fn fields(call: &Call) -> Fields<'_> {
    Fields::new(call.parts.uri.query().unwrap_or_default().as_bytes())
}

/// `host[:port]` as the client says it.
pub(super) fn authority(call: &Call) -> Option<&str> {
    let named = call.parts.uri.authority().map(http::uri::Authority::as_str);
    named.or_else(|| call.parts.headers.get(header::HOST)?.to_str().ok())
}

/// The address by the configuration.
pub(super) fn external(call: &Call) -> Option<Url> {
    call.registry.config.server.url.as_deref().and_then(|url| Url::parse(url).ok())
}

fn host(call: &Call) -> Host {
    Host::new(external(call).as_ref(), authority(call), call.peer.tls)
}

fn unknown(code: ErrorCode, message: String) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, code, message)
}

pub(super) fn nothing_here() -> Refusal {
    unknown(ErrorCode::Unsupported, "Nothing is at this address.".to_owned())
}

/// Another page: the browser goes there by itself.
pub(super) fn see(address: &str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(address) = HeaderValue::from_str(address) {
        response.headers_mut().insert(header::LOCATION, address);
    }
    guard(response.headers_mut());
    response
}

fn shown(call: &Call, section: Section, sheet: &Sheet) -> Response<Body> {
    let site = &call.registry.config.page.title;
    let shell = Shell { site, who: who(call, &call.principal), section };
    let mut response = Response::new(Body::from(Bytes::from(shell.render(sheet))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    guard(response.headers_mut());
    response
}

fn who<'a>(call: &Call, principal: &'a Principal) -> Who<'a> {
    match (principal.is_anonymous(), call.registry.config.auth.htpasswd.is_some()) {
        (false, _) => Who::Named(&principal.name),
        (true, true) => Who::MayLogIn,
        (true, false) => Who::Nobody,
    }
}

/// A refusal as a page. Browsers know how to ask for a password, and nothing of tokens.
fn refused(call: &Call, refusal: Refusal) -> Response<Body> {
    if refusal.status.is_server_error() {
        let cause = refusal.cause.as_deref().unwrap_or_default();
        tracing::error!(request = %call.id, path = ?call.parts.uri.path(), status = refusal.status.as_u16(), cause, "page failed");
    }
    let mut response = shown(call, Section::None, &fault::sheet(&refusal));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    for (name, value) in refusal.headers {
        if name != header::WWW_AUTHENTICATE && name != header::CONTENT_TYPE {
            headers.append(name, value);
        }
    }
    if refusal.status == StatusCode::UNAUTHORIZED && call.registry.config.auth.htpasswd.is_some() {
        let challenge = HeaderValue::from_static("Basic realm=\"registry\", charset=\"UTF-8\"");
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Headers of every page.
fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A file that comes with the program: its address changes with it.
fn file(content_type: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(text.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response
}
