//! One row of the proof: its guests, its processes of muster, what is asked of them and what is checked from outside.

use crate::Outcome;
use crate::figures::Figures;
use crate::stand::{Muster, Part, SOURCE_HOST, Way, vm_of};
use crate::witness::Look;
use muster_core::ids::VmId;
use muster_proto::v1 as wire;
use muster_tests::daemon::{self, Ended};
use muster_tests::lab::gate::Passage;
use muster_tests::lab::{Capture, Lab, LabError};
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
pub(crate) const HANDOVER_MS: u64 = 6_000;
/// The runbook's patience with a silent site, in milliseconds.
pub(crate) const SILENCE_MS: u64 = 3_000;
/// As whom the test orders. A recovery of the same name goes on with its own claim.
pub(crate) const BY: &str = "--by=reality";
/// What ends a process that touches memory which isn't its own.
const SEGMENTATION_FAULT: i32 = 11;

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
    /// Guests that the row itself has started a second time.
    pub(crate) doubled: BTreeSet<String>,
    pub(crate) figures: Figures,
    pub(crate) evacuation: String,
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
        let (definitions, at_stake, doubled) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut row = Row {
            lab,
            muster,
            guests,
            definitions,
            at_stake,
            doubled,
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
        let ended = self.order(further).await?;
        let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        let evacuation = answer["evacuation"].as_str().map(str::to_owned);
        self.evacuation = evacuation.ok_or_else(|| format!("the evacuation can't be ordered: {ended:?}"))?;
        self.note("ordered the evacuation");
        Ok(())
    }

    /// The same, whatever comes of the order.
    pub(crate) async fn order(&mut self, further: &str) -> Outcome<Ended> {
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
        self.orchestrator(&["evacuate", &path.display().to_string(), BY, "--output=json"]).await
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

    /// Starts a guest as a person would who means well and knows nothing of its move: a second instance, on whatever host.
    pub(crate) async fn start_by_hand(&mut self, host: &str, guest: &str) -> Outcome<()> {
        let real = self.lab.guest(guest).map_err(|error| error.to_string())?.definition.display().to_string();
        self.doubled.insert(guest.to_owned());
        self.virsh(host, &["create", &real]).await?;
        self.note(&format!("somebody started {guest} on {host}"));
        Ok(())
    }

    /// Waits until a guest's address is announced.
    pub(crate) async fn until_announced(&mut self, capture: &Capture, mac: &str) -> Outcome<()> {
        let begun = Instant::now();
        while capture.announcements(mac).map_err(|error| error.to_string())? == 0 {
            if begun.elapsed() > WITHIN {
                return Err(format!("nobody was told where {mac} is now"));
            }
            tokio::time::sleep(LOOKED_EVERY).await;
        }
        self.note(&format!("{mac} was announced"));
        Ok(())
    }

    /// A look at all its guests.
    pub(crate) async fn look(&self) -> Outcome<Look> {
        Look::at(self.lab, &self.guests, &self.doubled).await
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
            let look = self.look().await?;
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
    pub(crate) async fn keep_up(&mut self) -> Outcome<()> {
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
                self.count_harm().await;
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
        let request =
            wire::ListMovesRequest { evacuation, page_size: 1_000, page_token: String::new(), filter: String::new() };
        Ok(self.muster.api.clone().list_moves(in_time(request)).await?.into_inner().moves)
    }
}

fn in_time<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ANSWER_WITHIN);
    request
}
