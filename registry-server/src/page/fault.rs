//! A refusal as a page: what is wrong, and a way on.

use http::StatusCode;
use maud::html;

use super::place::Place;
use super::shell::Sheet;
use super::text::cell;
use crate::refusal::Refusal;

/// The page of a refusal.
pub(crate) fn sheet(refusal: &Refusal) -> Sheet {
    let title = match refusal.status {
        StatusCode::UNAUTHORIZED => "Log in to see this",
        StatusCode::FORBIDDEN => "You may not do this",
        StatusCode::NOT_FOUND => "There is no such page",
        StatusCode::CONFLICT => "Something else happened first",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        status if status.is_server_error() => "The registry failed",
        _ => "This request makes no sense",
    };
    let content = html! {
        h1 { (title) }
        p { (cell(&refusal.message)) }
        p { a href=(Place::Home) { "To the repositories" } }
    };
    Sheet { title: title.to_owned(), above: Vec::new(), content }
}
