//! Where moves wait for room, the most urgent first.
//!
//! A crowd waits as one: whatever keeps one of its moves at a wide link keeps all of them. Its most urgent move stands for it in the queue of
//! a link, so that only that goes from one full link to the next, however many are behind it.

use super::layout::Layout;
use std::collections::BinaryHeap;

/// A move that waits, as one number to compare by: its priority, its urgency, and of equals the lower place first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting(u128);

impl Waiting {
    pub(super) fn new(priority: u32, urgency: f64, task: u32) -> Self {
        let bits = urgency.to_bits();
        // The order of numbers as the order of their bits: IEEE 754's totalOrder.
        let ordered = if urgency.is_sign_negative() { !bits } else { bits | 1 << 63 };
        Waiting(u128::from(priority) << 96 | u128::from(ordered) << 32 | u128::from(!task))
    }

    pub(super) fn task(self) -> u32 {
        !(self.0 as u32)
    }
}

/// Where a move waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gate {
    Link(u32),
    Host(u32),
    /// Nothing is known of that would keep it.
    Open,
}

/// A crowd's moves that wait.
#[derive(Clone, Default)]
struct Crowd {
    /// The one that stands for it, and at which link.
    first: Option<(Waiting, u32)>,
    behind: BinaryHeap<Waiting>,
}

impl Crowd {
    /// Lets its most urgent stand for it in a link's queue.
    fn stand(&mut self, link: u32, queue: &mut BinaryHeap<Waiting>) {
        self.first = self.behind.pop().map(|first| (first, link));
        queue.extend(self.first.map(|(first, _)| first));
    }
}

/// All that wait.
pub(super) struct Queues<'a> {
    layout: &'a Layout<'a>,
    /// Of a wide link only those that stand for their crowds; and what once did, which is passed over.
    at_link: Vec<BinaryHeap<Waiting>>,
    at_host: Vec<BinaryHeap<Waiting>>,
    fresh: BinaryHeap<Waiting>,
    crowds: Vec<Crowd>,
}

impl<'a> Queues<'a> {
    pub(super) fn new(layout: &'a Layout<'a>) -> Self {
        Queues {
            layout,
            at_link: vec![BinaryHeap::new(); layout.problem.links().len()],
            at_host: vec![BinaryHeap::new(); layout.problem.hosts().len()],
            fresh: BinaryHeap::new(),
            crowds: vec![Crowd::default(); layout.crowds],
        }
    }

    pub(super) fn peek(&self, gate: Gate) -> Option<Waiting> {
        let queue = match gate {
            Gate::Link(link) => &self.at_link[link as usize],
            Gate::Host(host) => &self.at_host[host as usize],
            Gate::Open => &self.fresh,
        };
        queue.peek().copied()
    }

    /// Takes the first at a gate; none where it only once stood for its crowd. Until it is put somewhere, or [`Queues::follow`] is called,
    /// what is behind it waits for nothing.
    pub(super) fn pop(&mut self, gate: Gate) -> Option<Waiting> {
        let waiting = self.queue(gate).pop()?;
        if let Some((crowd, link)) = self.crowd_at(gate, waiting) {
            if self.crowds[crowd].first != Some((waiting, link)) {
                return None;
            }
            self.crowds[crowd].first = None;
        }
        Some(waiting)
    }

    /// Lets the next of its crowd stand where one did that has been taken from there and does not wait for a wide link any more.
    pub(super) fn follow(&mut self, gate: Gate, taken: Waiting) {
        if let Some((place, link)) = self.crowd_at(gate, taken) {
            self.crowds[place].stand(link, &mut self.at_link[link as usize]);
        }
    }

    /// Puts one that has been taken from a gate to the one that keeps it.
    pub(super) fn pass_on(&mut self, from: Gate, to: Gate, waiting: Waiting) {
        self.push(to, waiting);
        if self.crowd_at(to, waiting).is_none() {
            self.follow(from, waiting);
        }
    }

    /// Puts one to a gate that keeps it.
    pub(super) fn push(&mut self, gate: Gate, waiting: Waiting) {
        if let Some((place, link)) = self.crowd_at(gate, waiting) {
            let crowd = &mut self.crowds[place];
            match crowd.first {
                Some((first, _)) if first > waiting => return crowd.behind.push(waiting),
                // It still is in its link's queue, and is passed over there.
                Some((first, _)) => crowd.behind.push(first),
                None => {}
            }
            crowd.first = Some((waiting, link));
        }
        self.queue(gate).push(waiting);
    }

    pub(super) fn clear(&mut self) {
        self.fresh.clear();
        self.at_link.iter_mut().chain(&mut self.at_host).for_each(BinaryHeap::clear);
        self.crowds.fill(Crowd::default());
    }

    /// Tells anew how urgent everything is that waits for a link.
    pub(super) fn tell_anew(&mut self, tell: impl Fn(u32) -> Waiting) {
        let anew = |queue: &mut BinaryHeap<Waiting>| {
            let mut all = std::mem::take(queue).into_vec();
            all.iter_mut().for_each(|waiting| *waiting = tell(waiting.task()));
            *queue = all.into();
        };
        for (queue, is_wide) in self.at_link.iter_mut().zip(&self.layout.is_wide) {
            if *is_wide {
                queue.retain(|waiting| self.layout.crowd_of[waiting.task() as usize].is_none());
            }
            anew(queue);
        }
        for crowd in &mut self.crowds {
            if let Some((first, link)) = crowd.first {
                crowd.behind.push(first);
                anew(&mut crowd.behind);
                crowd.stand(link, &mut self.at_link[link as usize]);
            }
        }
    }

    /// The crowd that a move would stand for at a gate, and the gate's link.
    fn crowd_at(&self, gate: Gate, waiting: Waiting) -> Option<(usize, u32)> {
        match gate {
            Gate::Link(link) if self.layout.is_wide[link as usize] => {
                self.layout.crowd_of[waiting.task() as usize].map(|crowd| (crowd as usize, link))
            }
            Gate::Link(_) | Gate::Host(_) | Gate::Open => None,
        }
    }

    fn queue(&mut self, gate: Gate) -> &mut BinaryHeap<Waiting> {
        match gate {
            Gate::Link(link) => &mut self.at_link[link as usize],
            Gate::Host(host) => &mut self.at_host[host as usize],
            Gate::Open => &mut self.fresh,
        }
    }
}
