//! The same timetable after something has changed, without planning anew: what waits keeps its turn.

use super::dispatch::Dispatch;
use super::layout::Layout;
use super::line::Line;
use super::{Problem, Timetable, improve};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Makes the timetable of a changed problem in the order of an earlier one.
///
/// The problem's time begins now: what is under way stands in it with what is left of its duration, and with 0 among the `turns`. A turn is when a move was to begin;
/// a move that is tried again has [`u64::MAX`], which puts it at the end. There is one turn for each task.
#[must_use]
pub fn repair(problem: &Problem, turns_ns: &[u64]) -> Timetable {
    if !improve::has_room(problem) {
        return Dispatch::new(&Layout::of(problem)).run_in_turn(turns_ns);
    }
    let order = in_order(problem, turns_ns);
    let mut line = Line::new(problem);
    line.forward(&order);
    Timetable { starts_ns: line.heads_ns.into_iter().map(Some).collect() }
}

/// By wave and turn, each behind those that it comes after.
pub(super) fn in_order(problem: &Problem, turns_ns: &[u64]) -> Vec<u32> {
    let key = |task: u32| Reverse((problem.tasks()[task as usize].wave, turns_ns[task as usize], task));
    let mut to_end: Vec<usize> = problem.tasks().iter().map(|task| task.after.len()).collect();
    let mut free: BinaryHeap<_> =
        (0..).zip(&to_end).filter(|(_, left)| **left == 0).map(|(task, _)| key(task)).collect();
    let mut order = Vec::with_capacity(to_end.len());
    while let Some(Reverse((_, _, task))) = free.pop() {
        order.push(task);
        for follower in problem.followers(task) {
            to_end[*follower as usize] -= 1;
            if to_end[*follower as usize] == 0 {
                free.push(key(*follower));
            }
        }
    }
    order
}
