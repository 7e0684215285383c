//! Whether a timetable can be carried out. Written from what a problem says, not from how it is planned.

use crate::Outcome;
use muster_core::timetable::{Problem, Task, Timetable};
use std::collections::BTreeMap;

/// A planned move: its place, its begin and its end, in nanoseconds.
struct Planned<'a> {
    place: usize,
    task: &'a Task,
    start_ns: u64,
    end_ns: u64,
}

/// Checks links, readiness, order, waves, memory and the deadline.
///
/// # Errors
/// The first thing that it breaks.
pub fn check(problem: &Problem, timetable: &Timetable, deadline_ns: Option<u64>) -> Outcome<()> {
    if timetable.starts_ns.len() != problem.tasks().len() {
        return Err(format!("{} starts for {} moves", timetable.starts_ns.len(), problem.tasks().len()));
    }
    let starts = timetable.starts_ns.iter().zip(problem.tasks()).enumerate();
    let planned: Vec<Planned<'_>> = starts
        .filter_map(|(place, (start_ns, task))| {
            start_ns.map(|start_ns| Planned { place, task, start_ns, end_ns: start_ns + task.duration_ns })
        })
        .collect();
    for of in &planned {
        alone(problem, timetable, of, deadline_ns)?;
    }
    links(problem, &planned)?;
    waves(&planned)?;
    memory(problem, &planned)
}

fn alone(problem: &Problem, timetable: &Timetable, of: &Planned<'_>, deadline_ns: Option<u64>) -> Outcome<()> {
    let Planned { place, task, start_ns, end_ns } = of;
    if *start_ns < problem.hosts()[task.destination as usize].ready_ns {
        return Err(format!("move {place} begins before its destination is ready"));
    }
    if deadline_ns.is_some_and(|deadline_ns| end_ns + problem.hosts()[task.source as usize].shutdown_ns > deadline_ns) {
        return Err(format!("move {place} is not over by the deadline"));
    }
    for before in &task.after {
        let end =
            timetable.starts_ns[*before as usize].map(|start| start + problem.tasks()[*before as usize].duration_ns);
        if end.is_none_or(|end| end > *start_ns) {
            return Err(format!("move {place} begins before move {before} has ended"));
        }
    }
    Ok(())
}

fn links(problem: &Problem, planned: &[Planned<'_>]) -> Outcome<()> {
    // At one time, what ends is taken away before what begins is added.
    let mut changes: BTreeMap<(u32, u64), (i128, i128)> = BTreeMap::new();
    for of in planned {
        for link in &of.task.path {
            changes.entry((*link, of.start_ns)).or_default().1 += i128::from(of.task.rate_bit_s);
            changes.entry((*link, of.end_ns)).or_default().0 -= i128::from(of.task.rate_bit_s);
        }
    }
    let (mut current, mut used) = (u32::MAX, 0);
    for ((link, at_ns), (ended, begun)) in changes {
        if link != current {
            (current, used) = (link, 0);
        }
        used += ended + begun;
        if used > i128::from(problem.links()[link as usize].capacity_bit_s) {
            return Err(format!("link {link} carries {used} bit/s at {at_ns} ns"));
        }
    }
    Ok(())
}

fn waves(planned: &[Planned<'_>]) -> Outcome<()> {
    let mut spans: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for of in planned {
        let (first, last) = spans.entry(of.task.wave).or_insert((u64::MAX, 0));
        (*first, *last) = ((*first).min(of.start_ns), (*last).max(of.end_ns));
    }
    let mut ended = 0;
    for (wave, (first, last)) in spans {
        if first < ended {
            return Err(format!("wave {wave} begins before those before it have ended"));
        }
        ended = ended.max(last);
    }
    Ok(())
}

fn memory(problem: &Problem, planned: &[Planned<'_>]) -> Outcome<()> {
    let mut changes: BTreeMap<(u64, bool), Vec<(u32, i128)>> = BTreeMap::new();
    for of in planned {
        let memory_mib = i128::from(of.task.memory_mib);
        changes.entry((of.end_ns, false)).or_default().push((of.task.source, memory_mib));
        changes.entry((of.start_ns, true)).or_default().push((of.task.destination, -memory_mib));
    }
    let mut free: Vec<Option<i128>> = problem.hosts().iter().map(|host| host.free_mib.map(i128::from)).collect();
    for ((at_ns, _), changes) in changes {
        for (host, change) in changes {
            if let Some(free) = &mut free[host as usize] {
                *free += change;
                if *free < 0 {
                    return Err(format!("host {host} has {free} MiB left at {at_ns} ns"));
                }
            }
        }
    }
    Ok(())
}
