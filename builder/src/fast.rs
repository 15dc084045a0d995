//! The build that changes nothing: stat, look up, answer.

use graph::{Edge, Op, Source};
use store::Store;

use crate::build::{Failure, unix_now};
use crate::cache::content::{Contexts, DefineError, Definitions, define};
use crate::cache::export;
use crate::cache::key::Chain;
use crate::cache::record::{Lookup, Records};
use crate::export::image;
use crate::export::images::Images;
use crate::gc::used;
use crate::layers::Layers;
use crate::op::exec::entitlement;
use crate::op::source;
use crate::solver::state::V;
use crate::{Built, CachePlace, Cached, Error, Output, Request, build};

/// See [`crate::cached`].
pub(crate) fn cached(request: &Request, store: &Store) -> Result<Cached, Error> {
    let contexts = contexts(request, store)?;
    let definitions = definitions(request, &contexts)?;
    contexts.save().map_err(|error| Error::other("write the stat cache", error))?;
    let records = Records::of_build(store, request).map_err(|error| Error::other("open the cache", error))?;
    let miss = |error| Error::other("look up the cache", error);
    let layers = Layers::new(store, &records, None);
    if !request.options.attesting.is_asked()
        && let Some(images) = images(request, store, &records, &definitions, &layers).map_err(miss)?
        && request.outputs.iter().all(|output| matches!(output, Output::Image | Output::CacheOnly))
    {
        let wanted = request.outputs.contains(&Output::Image);
        let caches = &request.options.caching.to;
        let exports = caches.iter().any(|to| !matches!(to.place, CachePlace::Inline));
        if exports {
            // All is there; what another cache lacks is still to be sent, and may be files of other owners.
            let trees = !rustix::process::geteuid().is_root();
            return Ok(Cached::Miss { needs_sandbox: trees || images.have_trees(), found: true });
        }
        if !wanted || images.are_committed(store, &request.tags).map_err(miss)? {
            let steps =
                definitions.order.iter().filter(|edge| !matches!(request.graph.vertex(**edge).op(), Op::Source(_)));
            let count = u32::try_from(steps.count()).unwrap_or(u32::MAX);
            mark_used(store, &definitions);
            return Ok(Cached::Hit(Built {
                images: if wanted { images.built() } else { Vec::new() },
                index: if wanted { images.index() } else { None },
                tags: if wanted { request.tags.clone() } else { Vec::new() },
                cached: (count, count),
                fresh: Vec::new(),
            }));
        }
        let homeless = records.caches().have_backends();
        return Ok(Cached::Miss { needs_sandbox: images.have_trees() || homeless, found: true });
    }
    let needs_sandbox = needs_sandbox(request, store, &records, &definitions);
    Ok(Cached::Miss { needs_sandbox, found: false })
}

/// Says that all of this was used, for those who collect what was not.
fn mark_used(store: &Store, definitions: &Definitions) {
    if let Some(last) = definitions.keyed.last() {
        used::mark(store, last.key.digest(), definitions.keyed.iter().map(|keyed| keyed.key.digest()));
    }
}

/// Opens a request's contexts.
pub(crate) fn contexts(request: &Request, store: &Store) -> Result<Contexts, Error> {
    Contexts::open(&request.contexts, store).map_err(|error| Error::other("open the build context", error))
}

/// Makes a request's keys; what is wrong with a context, or not allowed, is said of the step that it is about.
pub(crate) fn definitions(request: &Request, contexts: &Contexts) -> Result<Definitions, Error> {
    let blame =
        |(edge, error): (Edge, DefineError)| build::vertex_error(request.graph.vertex(edge).meta(), None, None, error);
    let definitions = define(&request.graph, &request.roots(), contexts).map_err(blame)?;
    entitlement::check(&request.graph, &definitions.order, request.options.running.allow)
        .map_err(|(edge, error)| build::vertex_error(request.graph.vertex(edge).meta(), None, None, error))?;
    Ok(definitions)
}

/// The images, if the cache has the result of every root, and all that names them.
fn images(
    request: &Request,
    store: &Store,
    records: &Records<'_>,
    definitions: &Definitions,
    layers: &Layers<'_>,
) -> Result<Option<Images>, Failure> {
    let mut all = Vec::with_capacity(request.images.len());
    for (image, &root) in request.images.iter().zip(&definitions.roots) {
        let Some(chain) = result(request, store, records, definitions, root)? else { return Ok(None) };
        let inline = export::inline(request, definitions, root, chain.0.len());
        let Some(composed) = image::compose(image, &request.options, store, layers, &chain, &inline)? else {
            return Ok(None);
        };
        all.push(composed);
    }
    Images::new(request, all, Vec::new()).map(Some)
}

/// A root's result, if the cache has it.
fn result(
    request: &Request,
    store: &Store,
    records: &Records<'_>,
    definitions: &Definitions,
    root: V,
) -> Result<Option<Chain>, Failure> {
    match request.graph.vertex(definitions.order[root]).op() {
        Op::Source(Source::Image { manifest, .. }) => {
            match source::image::chain(store, records, None, manifest, unix_now()) {
                Ok(chain) => Ok(Some(chain)),
                // To be pulled.
                Err(source::image::ImageError::Layer { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
        Op::Source(Source::Scratch) => Ok(Some(Chain::default())),
        Op::Source(Source::Local { .. } | Source::Http(_) | Source::Git(_)) => Ok(None),
        Op::Exec(_) | Op::File(_) | Op::Merge(_) => {
            if !definitions.usable[root] {
                return Ok(None);
            }
            match records.find(&definitions.keyed[root], None)? {
                Lookup::Hit(chain) => Ok(Some(chain)),
                Lookup::Dead | Lookup::Miss => Ok(None),
            }
        }
    }
}

/// Whether the rest of the build takes namespaces: a RUN, or a tree below that may hold other owners' files, or is to be
/// pulled.
fn needs_sandbox(request: &Request, store: &Store, records: &Records<'_>, definitions: &Definitions) -> bool {
    definitions.order.iter().any(|edge| match request.graph.vertex(*edge).op() {
        Op::Exec(_) => true,
        Op::Source(Source::Image { manifest, .. }) => {
            match source::image::chain(store, records, None, manifest, unix_now()) {
                Ok(chain) => chain
                    .layers()
                    .any(|id| records.layer(id).is_ok_and(|row| row.is_some_and(|row| row.blob.is_none()))),
                // What is pulled becomes a tree.
                Err(source::image::ImageError::Layer { .. }) => true,
                // The build will say what is wrong.
                Err(_) => false,
            }
        }
        Op::Source(Source::Scratch | Source::Local { .. } | Source::Http(_) | Source::Git(_))
        | Op::File(_)
        | Op::Merge(_) => false,
    })
}
