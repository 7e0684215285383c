//! From two sites' readings to evidence. Weighs; never decides, and never takes silence for absence.

use super::{ArrivalRecord, AtDestination, AtSource, SourceState, Standing};
use crate::claim::Claims;
use crate::definition::{Disk, Mode};
use crate::evidence::{
    ArrivalKind, CopyState, DestinationEvidence, DiskEvidence, Evidence, Freshness, Heard, OtherCopy, Record, Seal,
    SourceEvidence, SourceInstance, TransferTrace,
};
use crate::ids::{Attempt, EvacuationId, HostName};
use crate::reading::{Instance, Mark, OffCause, Sighting, SiteReading, Stored};

/// What was read of one VM of an evacuation, from both sides.
#[derive(Debug, Clone, Copy)]
pub struct Readings<'a> {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// How the readings were made.
    pub freshness: Freshness,
    /// The destination's.
    pub destination: Heard<&'a SiteReading>,
    /// The source's.
    pub source: Heard<&'a SiteReading>,
    /// What people have sworn to, from the destination's ledger.
    pub claims: &'a Claims,
    /// The handover's present state, or the destination's silence in a transfer, has lasted longer than it may.
    pub past_deadline: bool,
}

impl Readings<'_> {
    /// The evidence in these readings.
    #[must_use]
    pub fn weigh(&self) -> Evidence {
        let at = self.at_destination();
        let attempt = at.and_then(|at| current_attempt(&at.record)).map(|(attempt, _)| attempt);
        let destination_host = at.and_then(|at| current_attempt(&at.record)).map(|(_, host)| host);
        Evidence {
            freshness: self.freshness,
            destination: match self.destination {
                Heard::Silent => Heard::Silent,
                Heard::Answer(reading) => Heard::Answer(destination(reading, self.evacuation, at)),
            },
            source: match self.source {
                Heard::Silent => Heard::Silent,
                Heard::Answer(reading) => Heard::Answer(self.source(reading, attempt)),
            },
            source_fenced: self.source_fenced(),
            destination_host_fenced: destination_host.is_some_and(|host| self.claims.host_is_fenced(host)),
            past_deadline: self.past_deadline,
        }
    }

    fn at_destination(&self) -> Option<&AtDestination> {
        match self.destination {
            Heard::Answer(SiteReading { standing: Some(Standing::Destination(at)), .. })
                if at.evacuation == self.evacuation =>
            {
                Some(at)
            }
            Heard::Answer(_) | Heard::Silent => None,
        }
    }

    fn source(&self, reading: &SiteReading, attempt: Option<Attempt>) -> SourceEvidence {
        let seal = match &reading.standing {
            Some(Standing::Source(at)) if at.evacuation == self.evacuation => {
                // What has become of a closed move the destination says. With it silent, a retired copy still proves
                // that its event was written.
                let proves_its_event = self.destination == Heard::Silent && at.state == SourceState::Retired;
                if at.closed && !proves_its_event { Seal::Closed } else { seal(at, reading, attempt) }
            }
            Some(Standing::Source(_) | Standing::Destination(_)) | None => Seal::NotOnRoll,
        };
        SourceEvidence { seal, instance: source_instance(reading), busy: is_busy(reading) }
    }

    /// The whole site, or every host of it that doesn't answer.
    fn source_fenced(&self) -> bool {
        let hosts_fenced = match self.source {
            Heard::Silent => false,
            Heard::Answer(reading) => {
                let silent = &reading.sight.silent_hosts;
                !silent.is_empty() && silent.iter().all(|host| self.claims.host_is_fenced(host))
            }
        };
        self.claims.source_is_fenced() || hosts_fenced
    }
}

fn current_attempt(record: &ArrivalRecord) -> Option<(Attempt, &HostName)> {
    match record {
        ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => Some((started.attempt, &started.host)),
        ArrivalRecord::Completed(completed) => Some((completed.started.attempt, &completed.started.host)),
        ArrivalRecord::Enrolled | ArrivalRecord::Closed(_) => None,
    }
}

fn destination(reading: &SiteReading, evacuation: EvacuationId, at: Option<&AtDestination>) -> DestinationEvidence {
    let current = at.and_then(|at| current_attempt(&at.record));
    let is_copy = |sighting: &&Sighting| match (sighting.mark, current) {
        (Some(mark), Some((attempt, _))) => mark.evacuation == evacuation && mark.attempt == attempt,
        (Some(_), None) | (None, Some(_) | None) => false,
    };
    // Two of one attempt would be a hypervisor's invention; the worse one counts as the other copy.
    let own = reading.sight.sightings.iter().find(is_copy);
    let copy = match (own, current) {
        (Some(sighting), _) if at.is_some_and(|at| is_still_to_start(at, sighting)) => CopyState::Placeholder,
        (Some(sighting), _) => copy_state(sighting),
        (None, Some((_, host))) if reading.sight.silent_hosts.contains(host) => CopyState::HostSilent,
        (None, Some(_) | None) => CopyState::Absent,
    };
    let other = reading
        .sight
        .sightings
        .iter()
        .filter(|sighting| own.is_none_or(|own| !std::ptr::eq(own, *sighting)))
        .map(|sighting| other_copy(sighting, evacuation))
        .max()
        .unwrap_or(OtherCopy::Absent);
    let disk = match at.map(|at| at.disk) {
        Some(Disk::Shared) => DiskEvidence::Shared,
        Some(Disk::Local { .. }) if own.is_some_and(|sighting| sighting.disk_complete) => DiskEvidence::Complete,
        Some(Disk::Local { .. }) | None => DiskEvidence::Partial,
    };
    DestinationEvidence { record: at.map_or(Record::NotOnRoll, record), copy, other, busy: is_busy(reading), disk }
}

fn record(at: &AtDestination) -> Record {
    match &at.record {
        ArrivalRecord::Enrolled => Record::Enrolled,
        ArrivalRecord::Started(started) => Record::Started { attempt: started.attempt, kind: started.kind },
        ArrivalRecord::Abandoned(started) => Record::Abandoned { attempt: started.attempt },
        ArrivalRecord::Completed(completed) => {
            Record::Completed { attempt: completed.started.attempt, kind: completed.started.kind }
        }
        ArrivalRecord::Closed(closed) => Record::Closed(closed.outcome),
    }
}

/// What comes up from its disk gets its real definition first: until it was let run, off is what it has been all along,
/// and nobody's shutdown.
fn is_still_to_start(at: &AtDestination, sighting: &Sighting) -> bool {
    match &at.record {
        ArrivalRecord::Completed(completed) => {
            let from_disk = at.mode != Mode::Live || completed.started.kind == ArrivalKind::ColdStart;
            from_disk && completed.ran.is_none() && matches!(sighting.instance, Instance::Off(_))
        }
        ArrivalRecord::Enrolled
        | ArrivalRecord::Started(_)
        | ArrivalRecord::Abandoned(_)
        | ArrivalRecord::Closed(_) => false,
    }
}

fn copy_state(sighting: &Sighting) -> CopyState {
    match sighting.instance {
        Instance::Running => CopyState::Running,
        Instance::Paused => CopyState::Paused,
        Instance::Incoming => CopyState::Incoming,
        Instance::Off(cause) => match (sighting.stored, cause) {
            (Stored::Arrived, OffCause::Saved) => CopyState::Paused,
            (Stored::Real, OffCause::Saved) => CopyState::ShutDown,
            (Stored::Real, OffCause::Crashed | OffCause::Unknown) => CopyState::Crashed,
            (Stored::Real, OffCause::ShutDown | OffCause::Migrated) => CopyState::ShutDown,
            // Until its real definition is stored nobody had it to shut down.
            (Stored::Arrived, OffCause::Migrated | OffCause::ShutDown | OffCause::Crashed | OffCause::Unknown) => {
                CopyState::Crashed
            }
            (Stored::Placeholder | Stored::Sealed | Stored::Retired | Stored::Nothing, _) => CopyState::Placeholder,
        },
    }
}

fn other_copy(sighting: &Sighting, evacuation: EvacuationId) -> OtherCopy {
    let ours = |mark: &Mark| mark.evacuation == evacuation;
    match sighting.instance {
        Instance::Running => OtherCopy::Running,
        Instance::Paused | Instance::Incoming | Instance::Off(OffCause::Saved)
            if sighting.mark.as_ref().is_some_and(ours) =>
        {
            OtherCopy::HoldsMemory
        }
        Instance::Paused | Instance::Incoming | Instance::Off(OffCause::Saved) => OtherCopy::Foreign,
        Instance::Off(_) => match sighting.stored {
            // What an earlier evacuation left on this site when it was the source: inert, and replaced on arrival.
            Stored::Retired => OtherCopy::Absent,
            Stored::Placeholder | Stored::Arrived => OtherCopy::Inert,
            Stored::Real | Stored::Nothing | Stored::Sealed if sighting.mark.as_ref().is_some_and(ours) => {
                OtherCopy::Inert
            }
            Stored::Real | Stored::Nothing | Stored::Sealed => OtherCopy::Foreign,
        },
    }
}

fn seal(at: &AtSource, reading: &SiteReading, attempt: Option<Attempt>) -> Seal {
    match &at.state {
        SourceState::Unsealed => Seal::Unsealed,
        // The ledger's word is not enough: the stored definition must show it too.
        SourceState::Sealed { .. } | SourceState::Gone { .. } if shows_real_definition(reading) => Seal::Unsealed,
        SourceState::Sealed { transfer: None } => Seal::Sealed(TransferTrace::NotBegun),
        // With the destination silent the recorded attempt is unknown; the last one stands for it then.
        SourceState::Sealed { transfer: Some(transfer) }
            if attempt.is_some_and(|attempt| attempt != transfer.attempt) =>
        {
            Seal::Sealed(TransferTrace::NotBegun)
        }
        SourceState::Sealed { transfer: Some(transfer) } if transfer.failed.is_some() => {
            Seal::Sealed(TransferTrace::Failed)
        }
        SourceState::Sealed { transfer: Some(_) } => Seal::Sealed(TransferTrace::Begun),
        SourceState::Gone { transfer } => {
            Seal::Gone { of_this_attempt: attempt.is_none_or(|attempt| attempt == transfer.attempt) }
        }
        SourceState::Retired => Seal::Retired,
    }
}

fn shows_real_definition(reading: &SiteReading) -> bool {
    reading.sight.sightings.iter().any(|seen| seen.stored == Stored::Real)
}

fn source_instance(reading: &SiteReading) -> SourceInstance {
    let sightings = &reading.sight.sightings;
    let running = sightings.iter().filter(|sighting| sighting.instance == Instance::Running).count();
    let holds_memory = |sighting: &Sighting| {
        matches!(sighting.instance, Instance::Paused | Instance::Incoming | Instance::Off(OffCause::Saved))
    };
    if running > 1 {
        SourceInstance::Several
    } else if running == 1 {
        SourceInstance::Running
    } else if sightings.iter().any(holds_memory) || was_taken_away(reading.standing.as_ref(), sightings) {
        SourceInstance::Paused
    } else if sightings.is_empty() && !reading.sight.silent_hosts.is_empty() {
        SourceInstance::HostSilent
    } else if was_shut_down(sightings) {
        SourceInstance::ShutDown
    } else {
        SourceInstance::Stopped
    }
}

/// Its hypervisor says that it was migrated away, and no transfer of muster's can have done that: none was begun, or the last
/// one failed, or its guest moves by its disk. Somebody else's has: its memory is wherever that went, and it is no more
/// stopped than one that is paused.
#[must_use]
pub fn was_taken_away(standing: Option<&Standing>, sightings: &[Sighting]) -> bool {
    let Some(Standing::Source(AtSource { mode, state: SourceState::Sealed { transfer }, .. })) = standing else {
        return false;
    };
    let is_own = *mode == Mode::Live && transfer.as_ref().is_some_and(|transfer| transfer.failed.is_none());
    let is_away =
        |seen: &Sighting| seen.stored != Stored::Retired && seen.instance == Instance::Off(OffCause::Migrated);
    !is_own && sightings.iter().any(is_away)
}

/// Every host that could have run it says that it was shut down in order. A retired copy is an earlier evacuation's and says
/// nothing. "Off for a reason that nobody remembers" is no such word: a host's restart leaves that of a crash as well.
fn was_shut_down(sightings: &[Sighting]) -> bool {
    let mut own = sightings.iter().filter(|seen| seen.stored != Stored::Retired).peekable();
    own.peek().is_some() && own.all(|seen| seen.instance == Instance::Off(OffCause::ShutDown))
}

/// Whether a mutation, a hypervisor call or a job is under way for the VM at this site.
#[must_use]
pub fn is_busy(reading: &SiteReading) -> bool {
    let has_job = reading.sight.sightings.iter().any(|sighting| sighting.job.is_some());
    reading.mutation_under_way || reading.sight.call_under_way || has_job
}
