//! Steps that would run programs of another processor: whether that works is said before anything starts.

use std::collections::HashSet;

use graph::Op;
use runtime::emulation::Missing;

use crate::Error;
use crate::build::{Build, vertex_error};
use crate::cache::key::{Keyed, Preimage};
use crate::cache::record::Lookup;
use crate::solver::state::V;

/// Finds the first step that misses, that was never done on anything, and whose programs nothing runs here. One that may be
/// found by its content is refused when it is about to run ([`refused`]). Steps that the cache has need nobody to run them.
pub(crate) fn check(build: &Build<'_>) -> Result<(), Error> {
    if (0..build.definitions.order.len()).all(|v| refused(build, v).is_none()) {
        return Ok(());
    }
    let failed = |error| Error::other("look up the cache", error);
    let missed = misses(build).map_err(failed)?;
    let mut first = missed.into_iter().filter_map(|v| Some((v, refused(build, v)?))).peekable();
    if first.peek().is_none() {
        return Ok(());
    }
    let done = operations(build).map_err(failed)?;
    let may_match = |v: V| {
        let caches = !build.records.caches().is_empty();
        !build.vertex(v).meta().ignore_cache && (caches || done.contains(&operation(build, v)))
    };
    match first.find(|(v, _)| !may_match(*v)) {
        Some((v, missing)) => Err(vertex_error(build.vertex(v).meta(), None, None, missing)),
        None => Ok(()),
    }
}

/// Why nothing runs a step's programs here, if nothing does.
pub(crate) fn refused(build: &Build<'_>, v: V) -> Option<Missing> {
    let platform = build.vertex(v).meta().platform.as_ref()?;
    build.sandbox?.emulation.interpreter(platform).err().cloned()
}

/// The line of a key that says what a step does.
fn operation(build: &Build<'_>, v: V) -> String {
    let mut preimage = Preimage::empty();
    preimage.op(build.vertex(v).op());
    preimage.into_text().lines().next().unwrap_or_default().to_owned()
}

/// Such lines of all results that are kept by content.
fn operations(build: &Build<'_>) -> store::Result<HashSet<String>> {
    let index = build.store.index();
    let mut all = HashSet::new();
    for (key, ..) in index.records()? {
        let Some(record) = index.record(&key)? else { continue };
        let Some(keyed) = Keyed::of_content(&key, record.preimage) else { continue };
        all.extend(keyed.preimage.lines().find(|line| line.starts_with("op\t")).map(str::to_owned));
    }
    Ok(all)
}

/// The RUNs that will be looked for and not found, by their definitions, in the order of the graph.
fn misses(build: &Build<'_>) -> store::Result<Vec<V>> {
    let definitions = build.definitions;
    let mut wanted = vec![false; definitions.order.len()];
    definitions.roots.iter().for_each(|root| wanted[*root] = true);
    let mut found = Vec::new();
    for v in (0..wanted.len()).rev() {
        let is_step = !matches!(build.vertex(v).op(), Op::Source(_));
        if !wanted[v] || !is_step {
            continue;
        }
        let hit = definitions.usable[v] && matches!(build.records.find(&definitions.keyed[v], None)?, Lookup::Hit(_));
        if hit {
            continue;
        }
        definitions.inputs[v].iter().for_each(|input| wanted[*input] = true);
        if matches!(build.vertex(v).op(), Op::Exec(_)) {
            found.push(v);
        }
    }
    found.reverse();
    Ok(found)
}
