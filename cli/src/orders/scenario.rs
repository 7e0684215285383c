//! A scenario, read from JSON: hosts, links and moves by their names, made into what can be planned.

use super::input::read;
use crate::error::CliError;
use muster_core::predict::{Assumed, Calibration, Move, Route, Workload};
use muster_core::timetable::{Host, Link, Problem, ProblemError, SECOND_NS, Task};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// How long to look for a better plan, where the scenario doesn't say.
const BUDGET: Duration = Duration::from_secs(2);
/// Longest that it may say, in milliseconds: an hour.
const BUDGET_MAX_MS: u64 = 3_600_000;
/// Latest time, in seconds from the start: a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;
/// Largest memory and rate, in their own units.
const QUANTITY_MAX: f64 = 1e12;

/// What is planned.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) problem: Problem,
    /// The moves' VMs, in the order of the tasks.
    pub(crate) vms: Vec<Name>,
    /// The links' names, in their order.
    pub(crate) links: Vec<Name>,
    pub(crate) deadline_ns: Option<u64>,
    pub(crate) budget: Duration,
}

/// A name, as the scenario writes it: a text or a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Name {
    Number(u64),
    Text(String),
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Number(number) => number.fmt(formatter),
            Name::Text(text) => text.fmt(formatter),
        }
    }
}

#[derive(Deserialize)]
struct Written {
    hosts: Vec<WrittenHost>,
    links: Vec<WrittenLink>,
    moves: Vec<WrittenMove>,
    deadline_s: Option<f64>,
    budget_ms: Option<u64>,
}

#[derive(Deserialize)]
struct WrittenHost {
    id: Name,
    memory_mib: Option<f64>,
    used_mib: Option<f64>,
    ready_at_s: Option<f64>,
    shutdown_s: Option<f64>,
}

#[derive(Deserialize)]
struct WrittenLink {
    id: Name,
    capacity_mbit_s: f64,
}

#[derive(Deserialize)]
struct WrittenMove {
    vm: Name,
    source: Name,
    destination: Name,
    path: Vec<Name>,
    rate_mbit_s: f64,
    duration_s: Option<f64>,
    memory_mib: Option<f64>,
    hot_set_mib: Option<f64>,
    hot_set_s: Option<f64>,
    cold_dirty_mib_s: Option<f64>,
    storage_mib: Option<f64>,
    #[serde(default)]
    after: Option<Several>,
    wave: Option<u32>,
    priority: Option<i64>,
    value: Option<f64>,
}

/// One name or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Several {
    One(Name),
    List(Vec<Name>),
}

/// What is wrong, and where.
struct Wrong {
    what: String,
    mend: &'static str,
}

type Places<'a> = HashMap<&'a Name, u32>;

impl Scenario {
    /// A scenario, read whole.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let path = path.to_owned();
        let text = match read(&path) {
            Ok(text) => text,
            Err(source) => return Err(CliError::File { path, doing: "reading the scenario", source }),
        };
        let written = serde_json::from_str(&text).map_err(|error| Wrong {
            what: error.to_string(),
            mend: "see what a scenario has with: muster plan --help",
        });
        written.and_then(made).map_err(|Wrong { what, mend }| CliError::Scenario { path, what, mend })
    }
}

fn made(written: Written) -> Result<Scenario, Wrong> {
    let hosts = places("host", written.hosts.iter().map(|host| &host.id))?;
    let links = places("link", written.links.iter().map(|link| &link.id))?;
    let vms = places("move of VM", written.moves.iter().map(|of| &of.vm))?;
    // As muster assumes of a site that it doesn't know.
    let calibration = Calibration::learn(Assumed::default(), &[]);
    let tasks =
        written.moves.iter().map(|of| task(of, &hosts, &links, &vms, &calibration)).collect::<Result<_, _>>()?;
    let made_links = written.links.iter().map(link).collect::<Result<_, _>>()?;
    let made_hosts = written.hosts.iter().map(host).collect::<Result<_, _>>()?;
    let problem =
        Problem::new(made_links, made_hosts, tasks).map_err(|error| told(&error, &written.moves, &written.links))?;
    let deadline = written.deadline_s.map(|deadline_s| nanoseconds("deadline_s", deadline_s)).transpose()?;
    let budget = match written.budget_ms {
        None => BUDGET,
        Some(budget_ms) if budget_ms <= BUDGET_MAX_MS => Duration::from_millis(budget_ms),
        Some(budget_ms) => {
            return Err(Wrong { what: format!("budget_ms is {budget_ms}"), mend: "use 3600000 at most" });
        }
    };
    Ok(Scenario {
        problem,
        vms: written.moves.into_iter().map(|of| of.vm).collect(),
        links: written.links.into_iter().map(|link| link.id).collect(),
        deadline_ns: deadline,
        budget,
    })
}

fn places<'a>(what: &str, names: impl Iterator<Item = &'a Name>) -> Result<Places<'a>, Wrong> {
    let mut places = Places::new();
    for (place, name) in (0..).zip(names) {
        if places.insert(name, place).is_some() {
            return Err(Wrong { what: format!("{what} {name} is there twice"), mend: "give each its own name" });
        }
    }
    Ok(places)
}

fn link(written: &WrittenLink) -> Result<Link, Wrong> {
    let capacity_bit_s = bits(&format!("link {}: capacity_mbit_s", written.id), written.capacity_mbit_s)?;
    Ok(Link { capacity_bit_s })
}

fn host(written: &WrittenHost) -> Result<Host, Wrong> {
    let of = |field: &str| format!("host {}: {field}", written.id);
    let used_mib = quantity(&of("used_mib"), written.used_mib.unwrap_or(0.0))?;
    let free_mib = match written.memory_mib {
        None => None,
        Some(memory_mib) => Some((quantity(&of("memory_mib"), memory_mib)? - used_mib).max(0.0).floor() as u64),
    };
    Ok(Host {
        free_mib,
        ready_ns: nanoseconds(&of("ready_at_s"), written.ready_at_s.unwrap_or(0.0))?,
        shutdown_ns: nanoseconds(&of("shutdown_s"), written.shutdown_s.unwrap_or(0.0))?,
    })
}

fn task(
    written: &WrittenMove,
    hosts: &Places<'_>,
    links: &Places<'_>,
    vms: &Places<'_>,
    calibration: &Calibration,
) -> Result<Task, Wrong> {
    let of = |field: &str| format!("move of VM {}: {field}", written.vm);
    let find = |field: &str, name: &Name, among: &Places<'_>, mend| {
        let place = among.get(name).copied();
        place.ok_or_else(|| Wrong { what: format!("{} names {name}, which is not there", of(field)), mend })
    };
    let path = written.path.iter().map(|link| find("path", link, links, "add it to the links, or correct the name"));
    let after: &[Name] = match &written.after {
        None => &[],
        Some(Several::One(one)) => std::slice::from_ref(one),
        Some(Several::List(list)) => list,
    };
    let after = after.iter().map(|vm| find("after", vm, vms, "name a VM that has a move here"));
    let mut after: Vec<u32> = after.collect::<Result<_, _>>()?;
    after.sort_unstable();
    after.dedup();
    let duration_s = match written.duration_s {
        Some(duration_s) => duration_s,
        None => predicted_s(written, calibration)?,
    };
    let host = "add it to the hosts, or correct the name";
    Ok(Task {
        source: find("source", &written.source, hosts, host)?,
        destination: find("destination", &written.destination, hosts, host)?,
        path: path.collect::<Result<_, _>>()?,
        rate_bit_s: bits(&of("rate_mbit_s"), written.rate_mbit_s)?,
        duration_ns: nanoseconds(&of("duration_s"), duration_s)?,
        memory_mib: quantity(&of("memory_mib"), written.memory_mib.unwrap_or(0.0))?.ceil() as u64,
        wave: written.wave.unwrap_or(0),
        priority: written.priority.unwrap_or(0),
        value: written.value.unwrap_or(1.0),
        after,
    })
}

/// By the model.
fn predicted_s(written: &WrittenMove, calibration: &Calibration) -> Result<f64, Wrong> {
    let needs = |field: &'static str, given: Option<f64>| {
        given.ok_or_else(|| Wrong {
            what: format!("move of VM {}: neither duration_s nor {field} is there", written.vm),
            mend: "give duration_s, or memory_mib, hot_set_mib, hot_set_s and cold_dirty_mib_s to predict it from",
        })
    };
    let workload = Workload {
        memory_mib: needs("memory_mib", written.memory_mib)?,
        storage_mib: written.storage_mib.unwrap_or(0.0),
        hot_set_mib: needs("hot_set_mib", written.hot_set_mib)?,
        hot_set_s: needs("hot_set_s", written.hot_set_s)?,
        cold_dirty_mib_s: needs("cold_dirty_mib_s", written.cold_dirty_mib_s)?,
    };
    let of = Move::new(workload, written.rate_mbit_s, Route::default())
        .map_err(|unfit| Wrong { what: format!("move of VM {}: {unfit}", written.vm), mend: "correct it" })?;
    Ok(calibration.predict(&of).duration_s)
}

fn quantity(field: &str, value: f64) -> Result<f64, Wrong> {
    let is_good = (0.0..=QUANTITY_MAX).contains(&value);
    is_good
        .then_some(value)
        .ok_or_else(|| Wrong { what: format!("{field} is {value}"), mend: "use a number from 0 to 1e12" })
}

fn bits(field: &str, mbit_s: f64) -> Result<u64, Wrong> {
    Ok((quantity(field, mbit_s)? * 1e6).round() as u64)
}

fn nanoseconds(field: &str, seconds: f64) -> Result<u64, Wrong> {
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err(Wrong { what: format!("{field} is {seconds}"), mend: "use seconds, from 0 to a year (31622400)" });
    }
    Ok((seconds * SECOND_NS as f64).round() as u64)
}

/// A problem's error, by the names that the scenario has.
fn told(error: &ProblemError, moves: &[WrittenMove], links: &[WrittenLink]) -> Wrong {
    let of_move = |task: usize| moves.get(task).map_or_else(String::new, |of| format!("move of VM {}: ", of.vm));
    let of_link = |link: u32| links.get(link as usize).map_or_else(String::new, |link| format!(" (link {})", link.id));
    let (what, mend) = match error {
        ProblemError::TooMany { .. } | ProblemError::TooLong => (String::new(), "plan it in parts"),
        ProblemError::NoCapacity { link } => (
            links.get(*link).map_or_else(String::new, |link| format!("link {}: ", link.id)),
            "give it a capacity, or leave it out",
        ),
        ProblemError::Unknown { task, .. } => (of_move(*task), "add it, or correct the name"),
        ProblemError::Nowhere { task } => (of_move(*task), "leave the move out, or correct its hosts"),
        ProblemError::Nothing { task, .. } => (of_move(*task), "use a number above 0"),
        ProblemError::TooFast { task, link, .. } => {
            return Wrong { what: format!("{}{error}{}", of_move(*task), of_link(*link)), mend: "lower its rate" };
        }
        ProblemError::LinkTwice { task, link } => {
            return Wrong { what: format!("{}{error}{}", of_move(*task), of_link(*link)), mend: "name each link once" };
        }
        ProblemError::Worth { task, .. } => (of_move(*task), "use a number of at least 0"),
        ProblemError::Circle { task } => (of_move(*task), "break the circle, or give both the same wave"),
    };
    Wrong { what: format!("{what}{error}"), mend }
}
