//! What is true of each guest, seen from outside, and whether a verdict of muster's agrees with it. It knows the lab's judge
//! and the words of the verdicts; nothing of how muster reaches them.

use crate::Outcome;
use crate::stand::{DESTINATION, SOURCE, SOURCE_HOST, vm_of};
use muster_core::verdict::{Doubt, Verdict};
use muster_tests::lab::judge::OnHost;
use muster_tests::lab::{Lab, Opinion};
use muster_tests::roll_call::RollCall;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a worker may need until it hears a libvirtd that has just come up.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// What a site has of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Copy {
    /// Nothing, not even a definition.
    Nothing,
    /// No process; its libvirtd doesn't answer, so that nobody knows what is defined.
    Silent,
    /// A definition, and no process.
    Inert,
    /// A process that libvirt calls paused: one that arrives, or has arrived.
    Paused,
    /// A process whose libvirtd doesn't answer, or is just between two states.
    Unclear,
    /// It runs.
    Running,
}

impl Copy {
    fn has_process(self) -> bool {
        match self {
            Copy::Nothing | Copy::Silent | Copy::Inert => false,
            Copy::Paused | Copy::Unclear | Copy::Running => true,
        }
    }

    fn of(on: &OnHost) -> Copy {
        match (on.instances > 0, on.state.as_deref()) {
            (false, None) if on.answers => Copy::Nothing,
            (false, None) => Copy::Silent,
            (false, Some(_)) => Copy::Inert,
            (true, Some("running")) => Copy::Running,
            (true, Some("paused")) => Copy::Paused,
            (true, Some(_) | None) => Copy::Unclear,
        }
    }
}

/// What both sites have of a guest, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) source: Copy,
    pub(crate) destination: Copy,
    /// The source's hypervisor has a job on it: its memory may be whole elsewhere at any moment.
    pub(crate) is_sent: bool,
    /// On how many hosts it runs.
    pub(crate) running: usize,
}

/// Who could be heard while the roll was called, as seen from outside: processes that answer, and the libvirtds behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) source: bool,
    pub(crate) destination: bool,
}

/// What one look has found.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) guests: BTreeMap<String, Seen>,
    /// Every libvirtd of the site answers, and has for long enough to be heard.
    pub(crate) source_answers: bool,
    pub(crate) destination_answers: bool,
}

impl Look {
    /// All run at the source, and the destination has nothing of any.
    pub(crate) fn nothing_has_begun(&self) -> bool {
        self.guests.values().all(|seen| seen.source == Copy::Running && seen.destination == Copy::Nothing)
    }

    /// Looks at these guests.
    ///
    /// # Errors
    /// Where the judge can't look, and where one of them runs twice or had two writers: that is never right, but for those
    /// that were doubled on purpose.
    pub(crate) async fn at(lab: &Lab, guests: &[String], doubled: &BTreeSet<String>) -> Outcome<Look> {
        let opinions = lab.judge(0).await.map_err(|error| error.to_string())?;
        let mut look = Look { guests: BTreeMap::new(), source_answers: true, destination_answers: true };
        for opinion in opinions.iter().filter(|opinion| guests.contains(&opinion.guest)) {
            if opinion.answer.is_red() && !doubled.contains(&opinion.guest) {
                return Err(format!("RED: {} {}: {opinion:#?}", opinion.guest, opinion.answer));
            }
            let answers = |site| hosts_of(opinion, site).all(|on| on.answers);
            look.source_answers &= answers(SOURCE) && can_be_heard(lab, SOURCE);
            look.destination_answers &= answers(DESTINATION) && can_be_heard(lab, DESTINATION);
            let most = |site| hosts_of(opinion, site).map(Copy::of).max().unwrap_or(Copy::Nothing);
            let (source, destination) = (most(SOURCE), most(DESTINATION));
            let is_sent = source == Copy::Running && is_sent(lab, &opinion.guest).await?;
            let running = opinion.hosts.iter().filter(|on| Copy::of(on) == Copy::Running).count();
            let seen = Seen { source, destination, is_sent, running };
            look.guests.insert(opinion.guest.clone(), seen);
        }
        Ok(look)
    }
}

/// Whether every libvirtd of a site has listened for a while: each makes its socket when it comes up.
fn can_be_heard(lab: &Lab, site: &str) -> bool {
    let age = |path| std::fs::metadata(path).and_then(|socket| socket.modified()).ok()?.elapsed().ok();
    let mut hosts = lab.record().hosts.iter().filter(|host| host.site == site);
    hosts.all(|host| age(&host.libvirt_socket).is_some_and(|age| age >= HEARD_WITHIN))
}

async fn is_sent(lab: &Lab, guest: &str) -> Outcome<bool> {
    let told = lab.virsh(SOURCE_HOST, &["domjobinfo", guest]).await.map_err(|error| error.to_string())?;
    let is_none = |line: &str| line.starts_with("Job type:") && line.ends_with("None");
    Ok(told.success && !told.stdout.lines().map(str::trim_end).any(is_none))
}

/// What is wrong with a roll call, by what was seen before it and after it. Only what neither bears out is wrong.
pub(crate) fn wrong_verdicts(
    lab: &Lab,
    guests: &[String],
    call: &RollCall,
    looks: &[Look],
    heard: Heard,
) -> Outcome<Vec<String>> {
    let mut wrong = Vec::new();
    for name in guests {
        let vm = vm_of(lab.guest(name).map_err(|error| error.to_string())?)?;
        let Some(verdict) = call.lines.get(&vm) else {
            wrong.push(format!("{name} is not on the roll"));
            continue;
        };
        let seen: Vec<Seen> = looks.iter().filter_map(|look| look.guests.get(name).copied()).collect();
        if !is_borne_out(*verdict, &seen, heard) {
            wrong.push(format!("{name} is {verdict:?} ({heard:?}), but was seen as {seen:?}"));
        }
    }
    if call.lines.len() != guests.len() {
        wrong.push(format!("{} VMs are on the roll, not {}", call.lines.len(), guests.len()));
    }
    Ok(wrong)
}

fn is_borne_out(verdict: Verdict, seen: &[Seen], heard: Heard) -> bool {
    // A handover is over in less time than lies between two looks.
    let hands_over = seen
        .windows(2)
        .any(|pair| pair[0].source.has_process() && pair[1].destination.has_process() && !pair[1].source.has_process());
    let is_handover = matches!(verdict, Verdict::HandedOver | Verdict::Indeterminate(Doubt::HandoverUnderWay));
    seen.iter().any(|seen| agrees(verdict, *seen, heard)) || (is_handover && hands_over)
}

fn agrees(verdict: Verdict, seen: Seen, heard: Heard) -> bool {
    let Seen { source, destination, is_sent, running } = seen;
    let has_arrived_whole = matches!(destination, Copy::Paused | Copy::Unclear);
    match verdict {
        // Whether a dead source still has its definition can't be seen.
        Verdict::NotStarted => source != Copy::Nothing && matches!(destination, Copy::Nothing | Copy::Silent),
        Verdict::NotMigrated => {
            source != Copy::Nothing
                && destination != Copy::Running
                && (source.has_process() || !destination.has_process())
        }
        Verdict::HandedOver => !source.has_process() && has_arrived_whole,
        // That one which has crashed after its event is the destination's all the same can't be seen from outside; rows say it.
        Verdict::FullyMigrated => !source.has_process() && destination != Copy::Nothing,
        // Lost memory stays lost when its disk is started anew where nobody can be asked.
        Verdict::MemoryLost => (!source.has_process() || !heard.source) && destination != Copy::Running,
        Verdict::SplitBrain => running > 1,
        Verdict::Indeterminate(doubt) => match doubt {
            // Nobody could tell whether the source still has it: that is one doubt, and it needs something to doubt about.
            Doubt::SourceSilent => !heard.source && destination.has_process(),
            Doubt::DestinationSilent | Doubt::DestinationHostSilent => {
                !heard.destination && (source != Copy::Running || is_sent)
            }
            Doubt::HandoverUnderWay => has_arrived_whole && source != Copy::Nothing,
            Doubt::RunsWithoutEvent => !heard.source && destination == Copy::Running,
            Doubt::EventWithoutVm => !source.has_process() && destination == Copy::Nothing,
            Doubt::SourceAfterEvent | Doubt::ForeignCopy | Doubt::AbandonedCopyRuns | Doubt::RecordsDisagree => false,
        },
    }
}

fn hosts_of<'a>(opinion: &'a Opinion, site: &'static str) -> impl Iterator<Item = &'a OnHost> {
    opinion.hosts.iter().filter(move |on| on.host.starts_with(site))
}

#[test]
fn the_witness_knows_right_from_wrong() {
    use crate::witness::Copy::{Inert, Nothing, Paused, Running, Silent};
    let both = Heard { source: true, destination: true };
    let runs = |copy| usize::from(copy == Running);
    let seen = |source, destination| {
        let running = runs(source) + runs(destination);
        Seen { source, destination, is_sent: false, running }
    };
    let untouched = seen(Running, Nothing);
    let arriving = seen(Running, Paused);
    let handed_over = seen(Inert, Paused);
    let over = seen(Inert, Running);
    let lost = seen(Inert, Inert);
    let all = [untouched, arriving, handed_over, over, lost];
    let right = [
        (Verdict::NotStarted, [true, false, false, false, false]),
        (Verdict::NotMigrated, [true, true, false, false, true]),
        (Verdict::HandedOver, [false, false, true, false, false]),
        (Verdict::FullyMigrated, [false, false, true, true, true]),
        (Verdict::MemoryLost, [false, false, true, false, true]),
        (Verdict::SplitBrain, [false; 5]),
        (Verdict::Indeterminate(Doubt::SourceSilent), [false; 5]),
        (Verdict::Indeterminate(Doubt::DestinationSilent), [false; 5]),
        (Verdict::Indeterminate(Doubt::RecordsDisagree), [false; 5]),
    ];
    for (verdict, right) in right {
        assert_eq!(all.map(|seen| is_borne_out(verdict, &[seen], both)), right, "{verdict:?}");
    }
    let deaf = Heard { source: false, destination: true };
    assert!(is_borne_out(Verdict::Indeterminate(Doubt::SourceSilent), &[handed_over], deaf));
    assert!(!is_borne_out(Verdict::Indeterminate(Doubt::SourceSilent), &[untouched], deaf));
    // What lies between two looks is borne out by both together, and only in their order.
    assert!(is_borne_out(Verdict::HandedOver, &[arriving, over], both));
    assert!(!is_borne_out(Verdict::HandedOver, &[over, untouched], both));
    assert!(is_borne_out(Verdict::SplitBrain, &[seen(Running, Running)], both));
    assert!(is_borne_out(Verdict::NotStarted, &[seen(Running, Silent)], both));
}
