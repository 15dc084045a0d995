//! Steps that would run programs of another processor: whether that works is said before anything starts.

use graph::Op;

use crate::Error;
use crate::build::{Build, vertex_error};
use crate::cache::record::Lookup;
use crate::solver::state::V;

/// Finds the first step that misses and whose programs nothing runs here. Steps that the cache has need nobody to run them.
pub(crate) fn check(build: &Build<'_>) -> Result<(), Error> {
    let Some(sandbox) = build.sandbox else { return Ok(()) };
    let count = build.definitions.order.len();
    let refused = |v: V| {
        let platform = build.vertex(v).meta().platform.as_ref()?;
        sandbox.emulation.interpreter(platform).err().cloned()
    };
    if (0..count).all(|v| refused(v).is_none()) {
        return Ok(());
    }
    for v in misses(build).map_err(|error| Error::other("look up the cache", error))? {
        if let Some(missing) = refused(v) {
            return Err(vertex_error(build.vertex(v).meta(), None, None, missing));
        }
    }
    Ok(())
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
