//! `estiba rmi`.

use std::collections::BTreeSet;

use store::Store;

use crate::context::Context;
use crate::error::{Error, Result, code};
use crate::image::{self, Meant, familiar, is_anonymous};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  estiba rmi app:old
  estiba rmi -f 0a1b2c3d4e5f      Remove every name of an image
  estiba rmi $(estiba images -q)

A name goes at once; the layers that no image and no cache needs any more go with `estiba prune`.";

/// Arguments of `estiba rmi`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Remove an image by id though several names point at it; say nothing of absent ones
    #[arg(short, long)]
    force: bool,
    /// Accepted for docker's sake
    #[arg(long, hide = true)]
    no_prune: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, context: &Context) -> Result<u8> {
    let store = context.existing_store()?;
    let mut exit = 0;
    for text in &args.images {
        let removed = match &store {
            Some(store) => remove(store, text, args.force),
            None => Err(image::missing_without_store(text)),
        };
        match removed {
            Ok(lines) => ui::out(&lines)?,
            Err(error) if args.force && error.exit_code() == code::FAILED => {}
            Err(error) => {
                error.report();
                exit = error.exit_code();
            }
        }
    }
    Ok(exit)
}

/// Removes one name, or all names of an id. Gives the lines that docker prints.
fn remove(store: &Store, text: &str, force: bool) -> Result<String> {
    let (found, meant) = image::find(store, text, None)?;
    let id = found.id();
    let mut rows = Vec::new();
    for named in image::all(store)? {
        if named.image.id() == id {
            rows.extend(named.rows);
        }
    }
    let doomed: BTreeSet<String> = match meant {
        Meant::Name(name) => {
            let last = rows.iter().all(|row| row.name == name || is_anonymous(&row.name));
            rows.iter()
                .filter(|row| row.name == name || (last && is_anonymous(&row.name)))
                .map(|row| row.name.clone())
                .collect()
        }
        Meant::Id => rows.iter().map(|row| row.name.clone()).collect(),
    };
    let names = doomed.iter().filter(|name| !is_anonymous(name)).count();
    if names > 1 && !force {
        let shown: Vec<_> = doomed.iter().filter_map(|name| familiar(name)).map(|name| name.familiar()).collect();
        return Err(Error::failed(format!("`{text}` has several names: {}", shown.join(", ")))
            .hint("name one of them, or give --force to remove all")
            .code(code::USAGE));
    }
    if doomed.len() == rows.len() && !force {
        refuse_used(store, text, &id)?;
    }
    let mut out = String::new();
    for name in &doomed {
        store.index().remove_image(name)?;
        if let Some(name) = familiar(name) {
            out.push_str(&format!("Untagged: {}\n", name.familiar()));
        }
    }
    if doomed.len() == rows.len() {
        out.push_str(&format!("Deleted: {id}\n"));
    }
    Ok(out)
}

/// As docker: the last name of an image that containers were made of goes by force only. Their layers stay in any case.
fn refuse_used(store: &Store, text: &str, id: &oci::Digest) -> Result {
    let containers = containers::Containers::new(store.layout()).list_whole()?;
    match containers.into_iter().find(|container| container.config.image.id == *id) {
        Some(container) => Err(Error::failed(format!("`{text}` is the image of container {}", container.config.name))
            .hint("remove the container, or give --force: it keeps what it needs")),
        None => Ok(()),
    }
}
