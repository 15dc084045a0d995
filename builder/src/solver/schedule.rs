//! The queue of vertices that could run: the one with the longest way to the root goes first, so that a slow chain starts early.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::state::V;

/// What is ready, in the order it should start.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    heap: BinaryHeap<(u32, Reverse<V>)>,
    heights: Vec<u32>,
}

impl Ready {
    /// A queue for a graph whose vertices come after their inputs.
    pub(crate) fn new(inputs: &[Vec<V>]) -> Self {
        let mut heights = vec![0; inputs.len()];
        for v in (0..inputs.len()).rev() {
            for &input in &inputs[v] {
                heights[input] = heights[input].max(heights[v] + 1);
            }
        }
        Self { heap: BinaryHeap::new(), heights }
    }

    /// Adds a vertex.
    pub(crate) fn push(&mut self, v: V) {
        self.heap.push((self.heights[v], Reverse(v)));
    }

    /// Takes the one to start next.
    pub(crate) fn pop(&mut self) -> Option<V> {
        self.heap.pop().map(|(_, Reverse(v))| v)
    }

    /// Takes all, in no order.
    pub(crate) fn drain(&mut self) -> Vec<V> {
        self.heap.drain().map(|(_, Reverse(v))| v).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_way_goes_first() {
        // 0 and 1 feed 2, 3 feeds 4 directly; 2 feeds 4.
        let inputs = vec![vec![], vec![], vec![0, 1], vec![], vec![2, 3]];
        let mut ready = Ready::new(&inputs);
        for v in [3, 1, 0] {
            ready.push(v);
        }
        assert_eq!(std::iter::from_fn(|| ready.pop()).collect::<Vec<_>>(), [0, 1, 3]);
    }
}
