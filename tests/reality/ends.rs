//! How a guest may end, checked from outside: where it runs, whether its memory came along, what its host would start.

use crate::Outcome;
use crate::called::Asked;
use crate::figures::Figures;
use crate::row::Row;
use crate::stand::{DESTINATION, SOURCE_HOST};
use muster_core::verdict::Verdict;
use muster_tests::lab::judge::WATCH_MS;
use muster_tests::lab::{Answer, Opinion};

/// Lines of a guest's log that moves and deaths may cut in two.
const CUT_MAX: u32 = 4;
/// In the path of every disk that makes a definition inert.
const INERT: &str = "/muster/";

/// Where a guest ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// At the destination, with its memory; the source's copy can't be started.
    Migrated,
    /// At the destination, started from its disk on the way; the source's copy can't be started.
    Rebooted,
    /// At the destination, started there from its disk; the source's copy can't be started.
    ColdStarted,
    /// At the source, with its memory, as it was defined; nothing of it is at the destination.
    Stayed,
}

impl End {
    fn is_at_source(self) -> bool {
        match self {
            End::Stayed => true,
            End::Migrated | End::Rebooted | End::ColdStarted => false,
        }
    }

    fn boots(self) -> u32 {
        match self {
            End::Migrated | End::Stayed => 1,
            End::Rebooted | End::ColdStarted => 2,
        }
    }
}

impl Row<'_> {
    /// Checks the end of all guests, and that every way of calling the roll says so.
    pub(crate) async fn ends(&mut self, end: End) -> Outcome<()> {
        let ends: Vec<(String, End)> = self.guests.iter().map(|guest| (guest.clone(), end)).collect();
        self.end_as(&ends).await?;
        let verdicts = if end.is_at_source() {
            vec![Verdict::NotStarted, Verdict::NotMigrated]
        } else {
            vec![Verdict::FullyMigrated]
        };
        for asked in [Asked::Orchestrator, Asked::BothWorkers, Asked::DestinationAlone] {
            self.call_the_roll(asked, &verdicts).await?;
        }
        Ok(())
    }

    /// Checks the ends of guests from outside alone.
    pub(crate) async fn end_as(&mut self, ends: &[(String, End)]) -> Outcome<()> {
        let opinions = self.lab.judge(WATCH_MS).await.map_err(|error| error.to_string())?;
        let mut wrong = Vec::new();
        for (guest, end) in ends {
            let opinion = opinions.iter().find(|opinion| opinion.guest == *guest).ok_or("a guest is not judged")?;
            let boots = opinion.newest().map_or(0, |newest| newest.boot);
            let end = if boots == 2 && *end == End::Migrated && self.at_stake.contains(guest) {
                self.figures.memory_lost += 1;
                self.note(&format!(
                    "{guest} has lost its memory with the source's libvirtd, and was started from its disk"
                ));
                &End::Rebooted
            } else {
                end
            };
            let (lived, kept) = (wrong_life(opinion, *end), self.wrong_definitions(guest, *end, opinion).await?);
            wrong.extend(lived.into_iter().chain(kept).map(|what| format!("{guest} {what}, and not {end:?}")));
        }
        self.note(&format!("checked the end of {} guests", ends.len()));
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Checks how all guests are defined, and nothing else of their ends.
    pub(crate) async fn defined_as(&mut self, end: End) -> Outcome<()> {
        let opinions = self.lab.judge(0).await.map_err(|error| error.to_string())?;
        let mut wrong = Vec::new();
        for opinion in opinions.iter().filter(|opinion| self.guests.contains(&opinion.guest)) {
            wrong.extend(self.wrong_definitions(&opinion.guest, end, opinion).await?);
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Counts what a row that failed has done to its guests, as seen from outside.
    pub(crate) async fn count_harm(&mut self) {
        // Where nobody can look, the row's own reason is all that is known.
        for opinion in self.lab.judge(0).await.unwrap_or_default() {
            let on_purpose = self.doubled.contains(&opinion.guest);
            if self.guests.contains(&opinion.guest) {
                self.figures.ran_twice += u64::from(opinion.answer.is_red() && !on_purpose);
                self.figures.lost += u64::from(is_nobodys(&opinion));
            }
        }
        let Figures { wrong_verdicts, ran_twice, lost, .. } = self.figures;
        self.figures.never_settled += u64::from(wrong_verdicts + ran_twice + lost == 0);
    }

    async fn wrong_definitions(&self, guest: &str, end: End, opinion: &Opinion) -> Outcome<Vec<String>> {
        let mut wrong = Vec::new();
        let at_source = self.virsh(SOURCE_HOST, &["dumpxml", "--inactive", guest]).await?;
        if end.is_at_source() {
            if Some(&at_source) != self.definitions.get(guest) {
                wrong.push(format!("is defined otherwise at the source: {at_source}"));
            }
            if !self.autostarts(SOURCE_HOST, guest).await? {
                wrong.push("has lost its autostart at the source".to_owned());
            }
            let left = opinion.hosts.iter().filter(|on| on.host.starts_with(DESTINATION) && on.state.is_some());
            wrong.extend(left.map(|on| format!("is still defined on {}", on.host)));
            return Ok(wrong);
        }
        if self.autostarts(SOURCE_HOST, guest).await? {
            wrong.push("would be started by the source's next boot".to_owned());
        }
        let started = self.lab.virsh(SOURCE_HOST, &["start", guest]).await.map_err(|error| error.to_string())?;
        if started.success || !started.stderr.contains(INERT) {
            wrong.push(format!("could be started at the source: {started:?}"));
        }
        for on in opinion.hosts.iter().filter(|on| on.host.starts_with(DESTINATION) && on.state.is_some()) {
            if on.instances == 0 {
                wrong.push(format!("is also defined on {}", on.host));
                continue;
            }
            let there = self.virsh(&on.host, &["dumpxml", "--inactive", guest]).await?;
            if there.contains(INERT) {
                wrong.push(format!("is defined as inert on {}", on.host));
            }
            if !self.autostarts(&on.host, guest).await? {
                wrong.push(format!("has lost its autostart on {}", on.host));
            }
        }
        Ok(wrong)
    }

    async fn autostarts(&self, host: &str, guest: &str) -> Outcome<bool> {
        let told = self.virsh(host, &["dominfo", guest]).await?;
        Ok(told.lines().any(|line| line.starts_with("Autostart:") && line.ends_with("enable")))
    }
}

/// Every host answers, and none has it, not even its definition.
fn is_nobodys(opinion: &Opinion) -> bool {
    opinion.hosts.iter().all(|on| on.answers && on.instances == 0 && on.state.is_none())
}

/// What is wrong with where it runs, and with the life that it has led.
fn wrong_life(opinion: &Opinion, end: End) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_there = match &opinion.answer {
        Answer::Once { host } => (host == SOURCE_HOST) == end.is_at_source(),
        Answer::Paused { .. } | Answer::Nowhere | Answer::Twice { .. } | Answer::TwoWriters { .. } => false,
    };
    if !is_there {
        wrong.push(opinion.answer.to_string());
    }
    if !opinion.hosts.iter().any(|on| on.counts) {
        wrong.push("doesn't count".to_owned());
    }
    let life = opinion.life();
    let boot = life.last().map_or(0, |newest| newest.boot);
    if boot != end.boots() {
        wrong.push(format!("was booted {boot} times"));
    }
    let goes_on = |pair: &[muster_tests::lab::disk::Written]| pair[0].boot == pair[1].boot;
    let missing: u32 = life.windows(2).filter(|pair| goes_on(pair)).map(|pair| pair[1].count - pair[0].count - 1).sum();
    if missing > CUT_MAX {
        wrong.push(format!("lived {missing} seconds that nobody printed"));
    }
    wrong
}
