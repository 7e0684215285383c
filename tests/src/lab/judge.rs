//! The outsider's judge: where each guest runs, and whether it ever ran twice. It asks virsh, the machine's processes, the
//! guests' serial logs and their disks; never muster.

use super::command::attempt;
use super::disk::{self, Sequence, Written};
use super::error::LabError;
use super::guest::{Guest, Kind};
use super::layout::Host;
use super::serial::{self, Printed};
use super::{Lab, processes};
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::time::sleep;

/// How long the judge watches counters where nothing else is asked for, in milliseconds: two records and a half.
pub const WATCH_MS: u64 = 2_500;
/// How long a host may take to list its guests, in milliseconds; past that it counts as one that doesn't answer.
const LISTED_LIMIT_MS: u64 = 3_000;

/// What is true of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It runs on this host and nowhere else, and never ran twice.
    Once {
        /// The host.
        host: String,
    },
    /// It is paused, on these hosts, and runs nowhere.
    Paused {
        /// The hosts.
        hosts: Vec<String>,
    },
    /// No host has an instance of it.
    Nowhere,
    /// It runs on more than one host now, or the same part of its life was lived twice.
    Twice {
        /// What shows it.
        why: String,
    },
    /// Two instances have written to its disk. This stays, whatever happens afterwards.
    TwoWriters {
        /// What shows it.
        why: String,
    },
}

impl Answer {
    /// Whether it is what no evacuation may ever end in.
    #[must_use]
    pub fn is_red(&self) -> bool {
        match self {
            Self::Once { .. } | Self::Paused { .. } | Self::Nowhere => false,
            Self::Twice { .. } | Self::TwoWriters { .. } => true,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once { host } => write!(to, "runs once, on {host}"),
            Self::Paused { hosts } => write!(to, "is paused, on {}", hosts.join(" and ")),
            Self::Nowhere => write!(to, "runs nowhere"),
            Self::Twice { why } => write!(to, "RAN TWICE: {why}"),
            Self::TwoWriters { why } => write!(to, "HAD TWO WRITERS: {why}"),
        }
    }
}

/// What one host shows of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnHost {
    /// The host.
    pub host: String,
    /// What virsh calls its state; none where it isn't defined there.
    pub state: Option<String>,
    /// Whether this host's libvirtd answers at all.
    pub answers: bool,
    /// QEMU processes of it there.
    pub instances: usize,
    /// What it printed there, ever.
    pub printed: Printed,
    /// Whether it printed a further record while the judge watched.
    pub counts: bool,
}

impl OnHost {
    /// A process that libvirt calls running; where libvirt is silent, one that counts.
    fn runs(&self) -> bool {
        self.instances > 0 && (self.state.as_deref() == Some("running") || (!self.answers && self.counts))
    }
}

/// The judge's opinion of one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opinion {
    /// The guest.
    pub guest: String,
    /// What each host shows.
    pub hosts: Vec<OnHost>,
    /// Its disk; of a local one, that of the host it is on. None where there is none to read.
    pub disk: Option<Sequence>,
    /// What is true.
    pub answer: Answer,
}

impl Opinion {
    /// Everything it printed on all hosts, in the order of its life.
    #[must_use]
    pub fn life(&self) -> Vec<Written> {
        let mut life: Vec<Written> = self.hosts.iter().flat_map(|host| host.printed.records.clone()).collect();
        life.sort_unstable();
        life
    }

    /// The newest thing it printed, on any host.
    #[must_use]
    pub fn newest(&self) -> Option<Written> {
        self.life().last().copied()
    }
}

impl Lab {
    /// Judges every guest of the lab, watching their counters for `watch_ms` milliseconds.
    ///
    /// # Errors
    /// Where /proc, a serial log or a disk can't be read. Hosts that don't answer are no error.
    pub async fn judge(&self, watch_ms: u64) -> Result<Vec<Opinion>, LabError> {
        let before = self.everything_printed()?;
        sleep(Duration::from_millis(watch_ms)).await;
        let hosts = &self.record.hosts;
        let listed = try_join_all(hosts.iter().map(|host| self.listed(host))).await?;
        let running = processes::of_lab(self.layout.name())?;
        let after = self.everything_printed()?;
        let mut opinions = Vec::new();
        for (index, guest) in self.record.guests.iter().enumerate() {
            let of_host = |(at, host): (usize, &Host)| OnHost {
                host: host.name.clone(),
                state: listed[at].as_ref().and_then(|states| states.get(&guest.name).cloned()),
                answers: listed[at].is_some(),
                instances: running
                    .iter()
                    .filter(|process| process.place == host.name && process.guest() == Some(&guest.name))
                    .count(),
                printed: after[index][at].clone(),
                counts: after[index][at].records.len() > before[index][at].records.len(),
            };
            let shown: Vec<OnHost> = hosts.iter().enumerate().map(of_host).collect();
            let disk = self.disk_of(guest, &shown)?;
            opinions.push(Opinion {
                answer: answer(&shown, disk.as_ref()),
                guest: guest.name.clone(),
                hosts: shown,
                disk,
            });
        }
        Ok(opinions)
    }

    /// By guest, then by host.
    fn everything_printed(&self) -> Result<Vec<Vec<Printed>>, LabError> {
        let of = |guest: &Guest| {
            self.record.hosts.iter().map(|host| serial::printed(host, &guest.name)).collect::<Result<Vec<_>, _>>()
        };
        self.record.guests.iter().map(of).collect()
    }

    /// The states by the guests' names, or none where the host doesn't answer.
    async fn listed(&self, host: &Host) -> Result<Option<BTreeMap<String, String>>, LabError> {
        let command = ["virsh", "--connect", &host.libvirt_uri, "list", "--all"];
        let ran = match attempt(&command, LISTED_LIMIT_MS).await {
            Ok(ran) if ran.success => ran,
            Ok(_) | Err(LabError::TooSlow { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let row = |line: &str| {
            let mut words = line.split_whitespace();
            let (_, name) = (words.next()?, words.next()?.to_owned());
            Some((name, words.collect::<Vec<_>>().join(" ")))
        };
        Ok(Some(ran.stdout.lines().skip(2).filter_map(row).collect()))
    }

    fn disk_of(&self, guest: &Guest, shown: &[OnHost]) -> Result<Option<Sequence>, LabError> {
        let path = match guest.kind {
            Kind::Quiet | Kind::Dirty => guest.disk.clone(),
            Kind::Local => {
                let Some(on) = shown.iter().find(|host| host.instances > 0) else { return Ok(None) };
                let name = guest.disk.file_name().unwrap_or_default();
                self.host(&on.host)?.local_folder.join(name)
            }
        };
        if path.exists() { disk::look(&path).map(Some) } else { Ok(None) }
    }
}

fn answer(shown: &[OnHost], disk: Option<&Sequence>) -> Answer {
    if let Some(why) = two_writers(shown, disk) {
        return Answer::TwoWriters { why };
    }
    let names = |hosts: Vec<&OnHost>| hosts.into_iter().map(|host| host.host.clone()).collect::<Vec<_>>();
    let mut runs = names(shown.iter().filter(|host| host.runs()).collect());
    let here = names(shown.iter().filter(|host| host.instances > 0).collect());
    if runs.len() > 1 {
        return Answer::Twice { why: format!("it runs on {}", runs.join(" and ")) };
    }
    if let Some(host) = shown.iter().find(|host| host.instances > 1) {
        return Answer::Twice { why: format!("{} has {} processes of it", host.host, host.instances) };
    }
    if let Some(why) = lived_twice(shown) {
        return Answer::Twice { why };
    }
    match runs.pop() {
        Some(host) => Answer::Once { host },
        None if here.is_empty() => Answer::Nowhere,
        None => Answer::Paused { hosts: here },
    }
}

fn two_writers(shown: &[OnHost], disk: Option<&Sequence>) -> Option<String> {
    if let Some(host) = shown.iter().find(|host| host.printed.clashes > 0) {
        return Some(format!("on {} it found another's record on its disk", host.host));
    }
    let disk = disk?;
    if disk.is_marked {
        return Some("its disk bears a clash mark".to_owned());
    }
    disk.broken.as_ref().map(|why| format!("the sequence on its disk is broken: {why}"))
}

/// The same count of the same boot printed at two times: an older memory was let run beside, or after, the newer one.
fn lived_twice(shown: &[OnHost]) -> Option<String> {
    let mut seen: BTreeMap<(u32, u32), (&str, u64)> = BTreeMap::new();
    for host in shown {
        for record in &host.printed.records {
            let Written { boot, count, tsc, .. } = *record;
            if let Some((other, _)) = seen.insert((boot, count), (&host.host, tsc)) {
                return Some(format!("boot {boot} count {count} was printed on {other} and again on {}", host.host));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(host: &str, state: Option<&str>, instances: usize, counts: &[u32]) -> OnHost {
        let record = |count: &u32| Written { boot: 1, count: *count, slot: *count, tsc: u64::from(*count) };
        let printed = Printed { records: counts.iter().map(record).collect(), ..Printed::default() };
        let state = state.map(str::to_owned);
        OnHost { host: host.to_owned(), state, answers: true, instances, printed, counts: false }
    }

    fn clean() -> Sequence {
        Sequence { head: None, is_marked: false, broken: None }
    }

    #[test]
    fn a_guest_that_moved_runs_once() {
        let shown = [on("a", Some("shut off"), 0, &[1, 2]), on("b", Some("running"), 1, &[3, 4])];
        assert_eq!(answer(&shown, Some(&clean())), Answer::Once { host: "b".to_owned() });
    }

    #[test]
    fn two_that_run_are_seen() {
        let shown = [on("a", Some("running"), 1, &[1, 2]), on("b", Some("running"), 1, &[3, 4])];
        assert!(matches!(answer(&shown, Some(&clean())), Answer::Twice { .. }));
    }

    #[test]
    fn a_silent_host_with_a_counting_guest_runs_it() {
        let mut silent = on("a", None, 1, &[1, 2]);
        (silent.answers, silent.counts) = (false, true);
        let other = on("b", Some("running"), 1, &[3, 4]);
        assert!(matches!(answer(&[silent.clone(), other], Some(&clean())), Answer::Twice { .. }));
        assert_eq!(answer(&[silent], Some(&clean())), Answer::Once { host: "a".to_owned() });
    }

    #[test]
    fn a_life_lived_twice_is_seen_afterwards() {
        let shown = [on("a", None, 0, &[1, 2, 3]), on("b", Some("running"), 1, &[3, 4])];
        assert!(matches!(answer(&shown, Some(&clean())), Answer::Twice { .. }));
    }

    #[test]
    fn a_mark_on_the_disk_outlives_everything() {
        let shown = [on("a", Some("running"), 1, &[1, 2])];
        let marked = Sequence { is_marked: true, ..clean() };
        let broken = Sequence { broken: Some("slot 3 holds slot 5".to_owned()), ..clean() };
        for disk in [marked, broken] {
            assert!(matches!(answer(&shown, Some(&disk)), Answer::TwoWriters { .. }), "{disk:?}");
        }
    }

    #[test]
    fn paused_and_nowhere_are_told_apart() {
        let shown = [on("a", Some("shut off"), 0, &[1]), on("b", Some("paused"), 1, &[])];
        assert_eq!(answer(&shown, None), Answer::Paused { hosts: vec!["b".to_owned()] });
        assert_eq!(answer(&shown[..1], None), Answer::Nowhere);
    }
}
