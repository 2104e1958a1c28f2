//! The order in which assets can be made, and why there may be none.

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry};

use super::limits::PROBLEMS_MAX;

/// An asset's index, in the order of names.
type Index = usize;

/// Who depends on whom; self-dependencies are left out, for they order partitions and not assets.
pub(crate) struct Graph<'a> {
    names: Vec<&'a str>,
    upstreams: Vec<BTreeSet<Index>>,
    downstreams: Vec<BTreeSet<Index>>,
}

impl<'a> Graph<'a> {
    /// From each asset's name and the names it depends on; unknown names are ignored.
    pub(crate) fn new<D: Iterator<Item = &'a str>>(assets: impl Iterator<Item = (&'a str, D)>) -> Self {
        let (names, deps): (Vec<&str>, Vec<D>) = assets.unzip();
        let indices: BTreeMap<&str, Index> = names.iter().copied().zip(0..).collect();
        let mut graph = Self {
            upstreams: vec![BTreeSet::new(); names.len()],
            downstreams: vec![BTreeSet::new(); names.len()],
            names,
        };
        for (asset, deps) in deps.into_iter().enumerate() {
            for dep in deps.filter_map(|dep| indices.get(dep).copied()).filter(|dep| *dep != asset) {
                graph.upstreams[asset].insert(dep);
                graph.downstreams[dep].insert(asset);
            }
        }
        graph
    }

    /// Every upstream before its downstreams, by name where the graph leaves the choice; or the cycles, each as
    /// the assets on it where each depends on the next and the last on the first.
    pub(crate) fn topological(&self) -> Result<Vec<&'a str>, Vec<Vec<&'a str>>> {
        let order = peel(&self.upstreams, &self.downstreams);
        if order.len() == self.names.len() {
            return Ok(order.into_iter().map(|index| self.names[index]).collect());
        }
        // What can be peeled from neither end lies on a cycle or between two.
        let peeled: BTreeSet<Index> =
            order.into_iter().chain(peel(&self.downstreams, &self.upstreams)).collect();
        let knot = (0..self.names.len()).filter(|index| !peeled.contains(index)).collect();
        Err(self.cycles(&knot))
    }

    /// For every asset of the knot that is on a cycle and on none shown before, the shortest cycle through it.
    fn cycles(&self, knot: &BTreeSet<Index>) -> Vec<Vec<&'a str>> {
        let mut cycles = Vec::new();
        let mut shown = BTreeSet::new();
        for &start in knot {
            if cycles.len() == PROBLEMS_MAX {
                break;
            }
            if shown.contains(&start) {
                continue;
            }
            let cycle = self.shortest_cycle(start, knot);
            if !cycle.is_empty() {
                shown.extend(cycle.iter().copied());
                cycles.push(cycle.into_iter().map(|index| self.names[index]).collect());
            }
        }
        cycles
    }

    /// From `start` along dependencies back to it, breadth first; empty if no way leads back.
    fn shortest_cycle(&self, start: Index, knot: &BTreeSet<Index>) -> Vec<Index> {
        let mut came_from: BTreeMap<Index, Index> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(here) = queue.pop_front() {
            for &next in self.upstreams[here].iter().filter(|next| knot.contains(next)) {
                if next == start {
                    let back = std::iter::successors(Some(here), |index| came_from.get(index).copied());
                    let mut cycle: Vec<Index> = back.collect();
                    cycle.reverse();
                    return cycle;
                }
                if let Entry::Vacant(entry) = came_from.entry(next) {
                    entry.insert(here);
                    queue.push_back(next);
                }
            }
        }
        Vec::new()
    }
}

/// Takes away, again and again, what no longer waits for anything; smallest first.
fn peel(waits_for: &[BTreeSet<Index>], awaited_by: &[BTreeSet<Index>]) -> Vec<Index> {
    let mut waits: Vec<usize> = waits_for.iter().map(BTreeSet::len).collect();
    let mut ready: BTreeSet<Index> = (0..waits.len()).filter(|&index| waits[index] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for &next in &awaited_by[index] {
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.insert(next);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topological<'a>(assets: &[(&'a str, &[&'a str])]) -> Result<Vec<&'a str>, Vec<Vec<&'a str>>> {
        Graph::new(assets.iter().map(|(name, deps)| (*name, deps.iter().copied()))).topological()
    }

    #[test]
    fn upstreams_come_first_and_ties_go_by_name() {
        let order = topological(&[("a", &["z"]), ("b", &[]), ("m", &["b", "z"]), ("z", &[])]);
        assert_eq!(order, Ok(vec!["b", "z", "a", "m"]));
    }

    #[test]
    fn every_separate_cycle_is_shown_and_what_hangs_on_it_is_not() {
        let cycles = topological(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a", "source"]),
            ("down", &["c"]),
            ("source", &[]),
            ("x", &["y"]),
            ("y", &["x"]),
        ]);
        assert_eq!(cycles, Err(vec![vec!["a", "b", "c"], vec!["x", "y"]]));
    }

    #[test]
    fn a_bridge_between_two_cycles_is_on_neither() {
        let cycles = topological(&[
            ("a", &["b"]),
            ("b", &["a"]),
            ("bridge", &["a"]),
            ("x", &["bridge", "y"]),
            ("y", &["x"]),
        ]);
        assert_eq!(cycles, Err(vec![vec!["a", "b"], vec!["x", "y"]]));
    }

    #[test]
    fn an_assets_own_earlier_partitions_are_no_cycle() {
        assert_eq!(topological(&[("a", &["a"])]), Ok(vec!["a"]));
    }
}
