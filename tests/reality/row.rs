//! One row of the proof: its guests, its processes of muster, what is asked of them and what is checked from outside.

use crate::Outcome;
use crate::figures::Figures;
use crate::stand::{Muster, Part, SOURCE_HOST, Way, vm_of};

use crate::witness::{Heard, Look, wrong_verdicts};
use muster_core::ids::VmId;
use muster_core::verdict::Verdict;
use muster_proto::v1 as wire;
use muster_tests::daemon::{self, Ended, is_working};
use muster_tests::lab::gate::Passage;
use muster_tests::lab::{Lab, LabError};
use muster_tests::roll_call::RollCall;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// How often something that is waited for is looked at.
const LOOKED_EVERY: Duration = Duration::from_millis(20);
/// Longest wait for anything that muster is to do.
const WITHIN: Duration = Duration::from_secs(90);
/// Longest wait for an answer of the orchestrator.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The runbook's deadline of a handover, in milliseconds.
const HANDOVER_MS: u64 = 6_000;
/// The runbook's patience with a silent site, in milliseconds.
const SILENCE_MS: u64 = 3_000;
/// As whom the test orders. A recovery of the same name goes on with its own claim.
const BY: &str = "--by=reality";
/// What ends a process that touches memory which isn't its own.
const SEGMENTATION_FAULT: i32 = 11;
/// The exit code of a recovery of what the destination's ledger does not know: no roll has been written.
const REFUSED: i32 = 4;
/// How often a roll call is tried again while a worker has nothing to say yet.
const CALLS_MAX: usize = 20;
/// Wait before it is.
const CALLED_AGAIN_AFTER: Duration = Duration::from_millis(300);

/// Whom a roll call asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Orchestrator,
    BothWorkers,
    DestinationAlone,
}

/// A row while it is played.
pub(crate) struct Row<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) muster: Muster,
    pub(crate) guests: Vec<String>,
    /// The guests' definitions at the source, before anything happened to them.
    pub(crate) definitions: BTreeMap<String, String>,
    /// Guests that may have lost their memory with the source's libvirtd: it died between memory's arrival and its own word
    /// that it let go, and doesn't know any more why they are off.
    pub(crate) at_stake: BTreeSet<String>,
    pub(crate) figures: Figures,
    evacuation: String,
    directory: TempDir,
    log: Vec<String>,
    begun: Instant,
}

impl<'a> Row<'a> {
    pub(crate) async fn begin(
        lab: &'a Lab,
        muster: Muster,
        guests: Vec<String>,
        directory: TempDir,
    ) -> Outcome<Row<'a>> {
        let (log, evacuation) = (Vec::new(), String::new());
        let count = u64::try_from(guests.len()).unwrap_or_default();
        let figures = Figures { played: 1, guests: count, ..Figures::default() };
        let (definitions, at_stake) = (BTreeMap::new(), BTreeSet::new());
        let mut row = Row {
            lab,
            muster,
            guests,
            definitions,
            at_stake,
            figures,
            evacuation,
            directory,
            log,
            begun: Instant::now(),
        };
        for guest in row.guests.clone() {
            let definition = row.virsh(SOURCE_HOST, &["dumpxml", "--inactive", &guest]).await?;
            row.definitions.insert(guest, definition);
        }
        Ok(row)
    }

    /// Orders the evacuation of all its guests, with further lines for its runbook.
    pub(crate) async fn evacuate(&mut self, further: &str) -> Outcome<()> {
        let names: Vec<String> = self.guests.iter().map(|guest| format!("\"{guest}\"")).collect();
        let text = format!(
            "name = \"reality\"\n[source]\nsite = \"north\"\n[destination]\nsite = \"south\"\n[[select]]\nnames = [{}]\n\
             [retry]\nattempts = 5\nbackoff_ms = 100\nbackoff_max_ms = 500\n\
             [recovery]\ncold_start = \"policy\"\n\
             [deadlines]\nhandover_ms = {HANDOVER_MS}\nsilence_ms = {SILENCE_MS}\n{further}",
            names.join(", ")
        );
        let path = self.directory.path().join("runbook.toml");
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        let ended = self.orchestrator(&["evacuate", &path.display().to_string(), BY, "--output=json"]).await?;
        let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        let evacuation = answer["evacuation"].as_str().map(str::to_owned);
        self.evacuation = evacuation.ok_or_else(|| format!("the evacuation can't be ordered: {ended:?}"))?;
        self.note("ordered the evacuation");
        Ok(())
    }

    /// The first of its guests.
    pub(crate) fn first(&self) -> String {
        self.guests.first().cloned().unwrap_or_default()
    }

    /// The last of its guests.
    pub(crate) fn last(&self) -> String {
        self.guests.last().cloned().unwrap_or_default()
    }

    /// The move of a guest, as the orchestrator shows it.
    pub(crate) async fn shown(&self, guest: &str) -> Outcome<wire::Move> {
        let moves = self.moves().await.map_err(|status| format!("no moves: {status}"))?;
        moves.into_iter().find(|one| one.name == guest).ok_or_else(|| format!("{guest} is not among the moves"))
    }

    /// Waits until a guest's move is as it should be.
    pub(crate) async fn until(&mut self, guest: &str, what: &str, fits: impl Fn(&wire::Move) -> bool) -> Outcome<()> {
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < WITHIN {
            self.keep_up().await?;
            // The orchestrator may be just coming back.
            if let Ok(moves) = self.moves().await
                && let Some(one) = moves.into_iter().find(|one| one.name == guest)
            {
                if fits(&one) {
                    self.note(&format!("{guest}: {what}"));
                    return Ok(());
                }
                last = Some(one);
            }
            tokio::time::sleep(LOOKED_EVERY).await;
        }
        Err(format!("{guest} never came to {what}: {last:#?}"))
    }

    /// The host that a guest is sent to.
    pub(crate) async fn target(&self, guest: &str) -> Outcome<String> {
        Ok(self.shown(guest).await?.destination_host)
    }

    /// A guest whose memory is being sent and its host at the destination, if there is one.
    pub(crate) async fn arriving(&self) -> Outcome<Option<(String, String)>> {
        let moves = self.moves().await.map_err(|status| format!("no moves: {status}"))?;
        let sent = moves.into_iter().find(|one| one.phase == "pre-copy" && one.phase_done_basis_points < 9_000);
        Ok(sent.map(|one| (one.name, one.destination_host)))
    }

    /// Kills a host's libvirtd.
    pub(crate) async fn kill_libvirtd(&mut self, host: &str) -> Outcome<()> {
        let before = self.between_two().await;
        self.lab(&format!("killed the libvirtd of {host}"), self.lab.kill_libvirtd(host)).await?;
        if host == SOURCE_HOST {
            let after = self.between_two().await;
            self.at_stake.extend(before.into_iter().chain(after));
        }
        Ok(())
    }

    /// Guests whose memory is all sent, and which have not arrived for good, as far as the orchestrator shows.
    async fn between_two(&self) -> Vec<String> {
        let moves = self.moves().await.unwrap_or_default();
        let is_between = |one: &wire::Move| {
            one.state() == wire::MoveState::Moving && !matches!(one.phase.as_str(), "setup" | "pre-copy")
        };
        moves.into_iter().filter(is_between).map(|one| one.name).collect()
    }

    /// A guest's id.
    pub(crate) fn vm(&self, guest: &str) -> Outcome<VmId> {
        vm_of(self.lab.guest(guest).map_err(|error| error.to_string())?)
    }

    /// What the lab breaks or mends, or why it can't.
    pub(crate) async fn lab<T>(&mut self, what: &str, done: impl Future<Output = Result<T, LabError>>) -> Outcome<T> {
        let breaks = ["killed", "cut", "unplugged", "the"].iter().any(|word| what.starts_with(word));
        self.figures.kills += u64::from(breaks);
        self.note(what);
        done.await.map_err(|error| error.to_string())
    }

    /// Cuts or mends ways between the processes of muster.
    pub(crate) fn ways(&mut self, ways: &[Way], passage: Passage) {
        self.note(&format!("{passage:?}: {ways:?}"));
        self.muster.set(ways, passage);
    }

    /// Cuts all that is between the two sites: the lab's link, and muster's ways. The orchestrator is at the destination's.
    pub(crate) async fn cut(&mut self) -> Outcome<()> {
        self.ways(&Way::BETWEEN_SITES, Passage::Shut);
        self.lab("cut the link", self.lab.cut_link()).await
    }

    /// Mends it.
    pub(crate) async fn mend(&mut self) -> Outcome<()> {
        self.ways(&Way::BETWEEN_SITES, Passage::Open { delay_ms: 0 });
        self.lab("mended the link", self.lab.mend_link()).await
    }

    /// Waits until memory of a guest is sent.
    pub(crate) async fn until_in_transfer(&mut self, guest: &str) -> Outcome<()> {
        self.until(guest, "memory is sent", |one| one.phase == "pre-copy").await
    }

    /// Orders the evacuation, and waits until memory of its first guest is sent; gives that guest.
    pub(crate) async fn begin_transfer(&mut self) -> Outcome<String> {
        let guest = self.first();
        self.evacuate("").await?;
        self.until_in_transfer(&guest).await?;
        Ok(guest)
    }

    /// Waits until memory of one of two guests is sent, or it has arrived.
    pub(crate) async fn until_either_in_transfer(&mut self, one: &str, other: &str) -> Outcome<()> {
        let begun = Instant::now();
        while begun.elapsed() < WITHIN {
            for guest in [one, other] {
                let shown = self.shown(guest).await?;
                if shown.phase == "pre-copy" || shown.state() == wire::MoveState::Migrated {
                    self.note(&format!("{guest}: memory is sent"));
                    return Ok(());
                }
            }
            tokio::time::sleep(LOOKED_EVERY).await;
        }
        Err("no memory is ever sent".to_owned())
    }

    /// Waits until nothing is left to be done.
    pub(crate) async fn until_finished(&mut self) -> Outcome<()> {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < WITHIN {
            self.keep_up().await?;
            let request = wire::GetEvacuationRequest { evacuation: self.evacuation.clone() };
            match self.muster.api.clone().get_evacuation(in_time(request)).await {
                Ok(answer) if answer.get_ref().state() == wire::EvacuationState::Finished => {
                    self.note("the evacuation is finished");
                    return Ok(());
                }
                Ok(answer) => last = format!("{:?}", answer.get_ref()),
                Err(status) => last = status.to_string(),
            }
            tokio::time::sleep(LOOKED_EVERY * 5).await;
        }
        let status = self.orchestrator(&["status"]).await.map_or_else(|error| error, |ended| ended.stdout);
        Err(format!("not finished within {} s: {last}\n{status}", WITHIN.as_secs()))
    }

    /// Waits until something is true, as seen from outside.
    pub(crate) async fn until_seen(&mut self, what: &str, fits: impl Fn(&Look) -> bool) -> Outcome<()> {
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < WITHIN {
            self.keep_up().await?;
            let look = Look::at(self.lab, &self.guests).await?;
            if fits(&look) {
                self.note(&format!("seen: {what}"));
                return Ok(());
            }
            last = Some(look);
            tokio::time::sleep(LOOKED_EVERY).await;
        }
        Err(format!("never seen: {what}; last: {last:?}"))
    }

    /// Starts again what libvirt's own client has crashed, as whoever supervises a daemon does: a connection that is silent for
    /// some seconds while it is used ends its process now and then (CVE-2024-4418, mended in libvirt 10.4).
    async fn keep_up(&mut self) -> Outcome<()> {
        for part in [Part::Source, Part::Destination] {
            let daemon = self.muster.part(part);
            if daemon.ended_by_signal() == Some(SEGMENTATION_FAULT) {
                daemon.start().await?;
                self.figures.crashes += 1;
                self.note(&format!("CRASHED in libvirt's client, started again: {part:?}"));
            }
        }
        Ok(())
    }

    pub(crate) async fn kill(&mut self, part: Part) -> Outcome<()> {
        self.figures.kills += 1;
        self.note(&format!("killed: {part:?}"));
        self.muster.part(part).kill().await
    }

    pub(crate) async fn start(&mut self, part: Part) -> Outcome<()> {
        self.note(&format!("started: {part:?}"));
        self.muster.part(part).start().await.map(drop)
    }

    /// Calls the roll, and judges it by what is seen before and after. Every guest's verdict has to be one of those
    /// `expected`, too, unless none are.
    pub(crate) async fn call_the_roll(&mut self, asked: Asked, expected: &[Verdict]) -> Outcome<RollCall> {
        let mut last = String::new();
        for _ in 0..CALLS_MAX {
            self.keep_up().await?;
            let before = Look::at(self.lab, &self.guests).await?;
            let (source, destination) = self.hear(asked).await;
            let ended = daemon::run(&self.recover_arguments(asked)).await?;
            let after = Look::at(self.lab, &self.guests).await?;
            let (source_then, destination_then) = self.hear(asked).await;
            let heard = Heard {
                source: source && source_then && before.source_answers && after.source_answers,
                destination: destination && destination_then && before.destination_answers && after.destination_answers,
            };
            if ended.code == REFUSED && [&before, &after].iter().all(|look| look.nothing_has_begun()) {
                self.note(&format!("roll call, {asked:?}: nothing has begun"));
                return Ok(RollCall { lines: BTreeMap::new(), settled: true, claim_kept: false, text: ended.stderr });
            }
            if !matches!(ended.code, 0 | 3) {
                last = format!("{ended:?}");
                tokio::time::sleep(CALLED_AGAIN_AFTER).await;
                continue;
            }
            let call = RollCall::read(&ended.stdout)?;
            self.figures.roll_calls += 1;
            self.figures.verdicts += u64::try_from(call.lines.len()).unwrap_or_default();
            self.note(&format!("roll call, {asked:?}, {heard:?}: {:?}", call.lines.values().collect::<Vec<_>>()));
            let mut wrong = wrong_verdicts(self.lab, &self.guests, &call, &[before, after], heard)?;
            let unexpected = |verdict: &&Verdict| !expected.is_empty() && !expected.contains(verdict);
            wrong
                .extend(call.lines.values().filter(unexpected).map(|verdict| format!("{verdict:?}, not {expected:?}")));
            if wrong.is_empty() {
                return Ok(call);
            }
            return Err(format!("WRONG VERDICT, {asked:?}: {}\n{}", wrong.join("\n"), call.text));
        }
        Err(format!("the roll can't be called, {asked:?}: {last}"))
    }

    /// Calls the roll until every guest's verdict is this one: a worker that has just come back may still be looking what
    /// became of the calls that it had sent. Each call is judged.
    pub(crate) async fn call_until(&mut self, asked: Asked, verdict: Verdict) -> Outcome<()> {
        let mut last = None;
        for _ in 0..CALLS_MAX {
            let call = self.call_the_roll(asked, &[]).await?;
            if call.lines.values().all(|called| *called == verdict) {
                return Ok(());
            }
            last = Some(call);
            tokio::time::sleep(CALLED_AGAIN_AFTER).await;
        }
        Err(format!("never {verdict:?}, {asked:?}: {last:?}"))
    }

    /// Waits until a guest is paused at its source: all its memory has been sent.
    pub(crate) async fn until_sent(&mut self, guest: &str) -> Outcome<()> {
        let begun = Instant::now();
        while self.virsh(SOURCE_HOST, &["domstate", guest]).await?.trim() != "paused" {
            if begun.elapsed() > WITHIN {
                return Err(format!("{guest} is never paused at its source"));
            }
            tokio::time::sleep(LOOKED_EVERY).await;
        }
        self.note(&format!("{guest}: paused at its source"));
        Ok(())
    }

    /// Who can be heard at all, of those that are asked.
    async fn hear(&self, asked: Asked) -> (bool, bool) {
        let source = asked != Asked::DestinationAlone && is_working(&self.muster.source_at).await;
        (source, is_working(&self.muster.destination_at).await)
    }

    /// Runs `muster recover --apply` without an orchestrator, with further arguments.
    pub(crate) async fn recover(&mut self, asked: Asked, further: &[&str]) -> Outcome<Ended> {
        let mut arguments = self.recover_arguments(asked);
        arguments.push("--apply".to_owned());
        arguments.push(format!("--handover-deadline-ms={HANDOVER_MS}"));
        arguments.push(format!("--silence-deadline-ms={SILENCE_MS}"));
        arguments.extend(further.iter().map(|word| (*word).to_owned()));
        let ended = daemon::run(&arguments).await?;
        self.note(&format!("recovered, {asked:?} {further:?}: exit code {}", ended.code));
        Ok(ended)
    }

    /// Runs a command against the orchestrator.
    pub(crate) async fn orchestrator(&self, arguments: &[&str]) -> Outcome<Ended> {
        let mut arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        arguments.push(format!("--orchestrator={}", self.muster.orchestrator_at));
        daemon::run(&arguments).await
    }

    /// A virsh command that succeeds.
    pub(crate) async fn virsh(&self, host: &str, arguments: &[&str]) -> Outcome<String> {
        let ran = self.lab.virsh(host, arguments).await.and_then(|ran| ran.well());
        ran.map_err(|error| error.to_string())
    }

    pub(crate) fn note(&mut self, what: &str) {
        self.log.push(format!("{:>6} ms  {what}", self.begun.elapsed().as_millis()));
    }

    /// Ends the row: removes its guests, and its files if all went well. What it did and where its files are, if not.
    pub(crate) async fn end(mut self, played: Outcome<()>) -> (Figures, Outcome<String>) {
        let checked = Part::ALL.into_iter().try_for_each(|part| self.muster.part(part).check());
        // One that ended by itself is a better reason than whatever came of it.
        let ended = match checked.and(played) {
            Ok(()) => self.clear().await,
            Err(why) => Err(why),
        };
        let log = self.log.join("\n");
        match ended {
            Ok(()) => (self.figures, Ok(log)),
            Err(why) => {
                let kept: PathBuf = self.directory.keep();
                let figures = Figures { failed: 1, ..self.figures };
                (figures, Err(format!("{why}\n\n{log}\n\nits logs, ledgers and journal: {}", kept.display())))
            }
        }
    }

    async fn clear(&self) -> Outcome<()> {
        for host in &self.lab.record().hosts {
            for guest in &self.guests {
                for command in ["destroy", "undefine"] {
                    // Most hosts don't have it.
                    self.lab.virsh(&host.name, &[command, guest]).await.map_err(|error| error.to_string())?;
                }
            }
        }
        Ok(())
    }

    async fn moves(&self) -> Result<Vec<wire::Move>, tonic::Status> {
        let evacuation = self.evacuation.clone();
        let request = wire::ListMovesRequest { evacuation, page_size: 1_000, page_token: String::new() };
        Ok(self.muster.api.clone().list_moves(in_time(request)).await?.into_inner().moves)
    }

    fn recover_arguments(&self, asked: Asked) -> Vec<String> {
        let mut arguments = vec!["recover".to_owned(), self.evacuation.clone()];
        arguments.extend(["--output=json", BY].map(str::to_owned));
        let destination = format!("--destination={}", self.muster.destination_at);
        match asked {
            Asked::Orchestrator => arguments.push(format!("--orchestrator={}", self.muster.orchestrator_at)),
            Asked::BothWorkers => arguments.extend([destination, format!("--source={}", self.muster.source_at)]),
            Asked::DestinationAlone => arguments.extend([destination, "--source-lost".to_owned()]),
        }
        arguments
    }
}

fn in_time<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ANSWER_WITHIN);
    request
}
