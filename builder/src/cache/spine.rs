//! The steps that an image consists of, and the layers of each: what `mode=min` and an inline cache keep.

use std::ops::Range;

use graph::{Edge, Graph, Op, Source};

use super::content::Definitions;
use crate::solver::state::V;

/// The vertices whose results are parts of a root's chain, and which parts of it. Pure: every step has one layer, so that
/// nothing but the chain's length must be known.
pub(crate) fn spine(graph: &Graph, definitions: &Definitions, root: V, length: usize) -> Vec<(V, Range<usize>)> {
    let mut found = Vec::new();
    let mut open = vec![(root, 0..length)];
    while let Some((v, part)) = open.pop() {
        let inputs = &definitions.inputs[v];
        match op(graph, definitions.order[v]) {
            Op::Source(_) => continue,
            Op::Exec(_) | Op::File(_) => {
                if part.is_empty() {
                    continue;
                }
                if let Some(below) = inputs.first() {
                    open.push((*below, part.start..part.end - 1));
                }
            }
            Op::Merge(_) => {
                let mut end = part.end;
                for input in inputs.iter().skip(1).rev() {
                    let Some(length) = height(graph, definitions, *input).filter(|length| *length <= end - part.start)
                    else {
                        end = part.start;
                        break;
                    };
                    open.push((*input, end - length..end));
                    end -= length;
                }
                if let Some(below) = inputs.first().filter(|_| end > part.start) {
                    open.push((*below, part.start..end));
                }
            }
        }
        found.push((v, part));
    }
    found
}

/// The layers of a result that stands on nothing; `None` where it stands on an image.
fn height(graph: &Graph, definitions: &Definitions, v: V) -> Option<usize> {
    let inputs = &definitions.inputs[v];
    match op(graph, definitions.order[v]) {
        Op::Source(Source::Scratch) => Some(0),
        Op::Source(_) => None,
        Op::Exec(_) | Op::File(_) => Some(height(graph, definitions, *inputs.first()?)? + 1),
        Op::Merge(_) => inputs.iter().try_fold(0, |sum, input| Some(sum + height(graph, definitions, *input)?)),
    }
}

fn op(graph: &Graph, edge: Edge) -> &Op {
    graph.vertex(edge).op()
}
