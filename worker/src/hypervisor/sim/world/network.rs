//! Who gets how much of the wires. Max-min fair: no flow can get more without one that has no more getting less.

use std::collections::BTreeMap;

/// A path through shared wires; the flow takes the same rate from each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path<Wire> {
    /// The wires.
    pub(super) wires: Vec<Wire>,
}

/// The fair rate of each flow, in the order given, where `capacity` tells what a wire carries.
///
/// Progressive filling: the wire that gives its flows least is filled first, its flows are settled at that share and
/// taken off the other wires, and so on. Takes one pass over the wires for each wire that fills.
pub(super) fn fair_rates<Wire: Ord + Copy>(paths: &[Path<Wire>], capacity: impl Fn(Wire) -> f64) -> Vec<f64> {
    let mut wires: BTreeMap<Wire, Load> = BTreeMap::new();
    for (flow, path) in paths.iter().enumerate() {
        for wire in &path.wires {
            let load = wires.entry(*wire).or_insert_with(|| Load { left: capacity(*wire), open: 0, flows: Vec::new() });
            load.open += 1;
            load.flows.push(flow);
        }
    }
    let mut rates: Vec<Option<f64>> = vec![None; paths.len()];
    while let Some((share, flows)) = tightest(&wires) {
        for flow in flows {
            if rates[flow].is_some() {
                continue;
            }
            rates[flow] = Some(share);
            for wire in &paths[flow].wires {
                if let Some(load) = wires.get_mut(wire) {
                    load.left = (load.left - share).max(0.0);
                    load.open -= 1;
                }
            }
        }
    }
    rates.into_iter().map(|rate| rate.unwrap_or(0.0)).collect()
}

struct Load {
    left: f64,
    open: u32,
    flows: Vec<usize>,
}

fn tightest<Wire: Ord>(wires: &BTreeMap<Wire, Load>) -> Option<(f64, Vec<usize>)> {
    wires
        .values()
        .filter(|load| load.open > 0)
        .map(|load| (load.left / f64::from(load.open), load))
        .min_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(share, load)| (share, load.flows.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(paths: &[&[usize]], capacities: &[f64]) -> Vec<f64> {
        let paths: Vec<_> = paths.iter().map(|wires| Path { wires: wires.to_vec() }).collect();
        fair_rates(&paths, |wire| capacities[wire])
    }

    #[test]
    fn one_wire_is_shared_equally() {
        assert_eq!(rates(&[&[0], &[0], &[0], &[0]], &[100.0]), vec![25.0; 4]);
    }

    #[test]
    fn what_a_narrow_flow_leaves_goes_to_the_others() {
        // Three flows on a link of 90; the first is held to 10 by its own card: the others get 40 each.
        assert_eq!(rates(&[&[0, 1], &[0], &[0]], &[90.0, 10.0]), vec![10.0, 40.0, 40.0]);
    }

    #[test]
    fn the_classic_line_of_three() {
        // A long flow over two wires against one short flow on each: the narrower wire decides for the long one.
        assert_eq!(rates(&[&[0, 1], &[0], &[1]], &[10.0, 4.0]), vec![2.0, 8.0, 2.0]);
    }

    #[test]
    fn no_wire_carries_more_than_it_can_and_each_flow_has_a_full_wire() {
        let paths: Vec<Vec<usize>> = (0..64).map(|flow| vec![flow % 7, 7 + flow % 5, 12]).collect();
        let capacities: Vec<f64> = (0..13).map(|wire| 50.0 + 13.0 * wire as f64).collect();
        let slices: Vec<&[usize]> = paths.iter().map(Vec::as_slice).collect();
        let rates = rates(&slices, &capacities);
        let load = |wire: usize| -> f64 {
            paths.iter().zip(&rates).filter(|(path, _)| path.contains(&wire)).map(|(_, rate)| rate).sum()
        };
        for (wire, capacity) in capacities.iter().enumerate() {
            assert!(load(wire) <= capacity + 1e-6, "wire {wire} is overloaded");
        }
        for path in &paths {
            assert!(path.iter().any(|wire| load(*wire) >= capacities[*wire] - 1e-6), "a flow could get more");
        }
    }
}
