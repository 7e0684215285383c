//! What a site reports of a VM.

use super::invalid::InvalidMessage;
use super::read::{attempt, each, each_parsed, enumerated, optional, parsed, required, size_mib, within_range};
use crate::limits::{HOSTS_MAX, SIGHTINGS_MAX};
use crate::worker::v1 as pb;
use muster_core::ids::clip;
use muster_core::reading::{Instance, Job, Mark, OffCause, Phase, Sight, Sighting, SiteReading, Stored};
use muster_core::time::Timestamp;

/// All of a phase, in hundredths of a percent.
const ALL_BASIS_POINTS: u16 = 10_000;

impl From<SiteReading> for pb::SiteReading {
    fn from(reading: SiteReading) -> Self {
        pb::SiteReading {
            vm: reading.vm.to_string(),
            floor: Some(reading.floor.into()),
            standing: reading.standing.map(Into::into),
            sightings: reading.sight.sightings.into_iter().map(Into::into).collect(),
            silent_hosts: reading.sight.silent_hosts.into_iter().map(Into::into).collect(),
            call_under_way: reading.sight.call_under_way,
            mutation_under_way: reading.mutation_under_way,
            at_ms: reading.at.0,
        }
    }
}

impl TryFrom<pb::SiteReading> for SiteReading {
    type Error = InvalidMessage;
    fn try_from(message: pb::SiteReading) -> Result<Self, InvalidMessage> {
        let sight = Sight {
            sightings: each("sightings", message.sightings, SIGHTINGS_MAX)?,
            silent_hosts: each_parsed("silent_hosts", &message.silent_hosts, HOSTS_MAX)?,
            call_under_way: message.call_under_way,
        };
        Ok(SiteReading {
            vm: parsed("vm", &message.vm)?,
            floor: required("floor", message.floor)?,
            standing: message.standing.map(TryInto::try_into).transpose()?,
            sight,
            mutation_under_way: message.mutation_under_way,
            at: Timestamp(message.at_ms),
        })
    }
}

impl From<Sighting> for pb::Sighting {
    fn from(sighting: Sighting) -> Self {
        pb::Sighting {
            host: sighting.host.into(),
            instance: pb::InstanceState::from(sighting.instance).into(),
            stored: pb::StoredKind::from(sighting.stored).into(),
            mark: sighting.mark.map(Into::into),
            job: sighting.job.map(Into::into),
            job_error: sighting.job_error,
            disk_complete: sighting.disk_complete,
            stood_still_ms: sighting.stood_still_ms,
            autostart: sighting.autostart,
        }
    }
}

impl TryFrom<pb::Sighting> for Sighting {
    type Error = InvalidMessage;
    fn try_from(message: pb::Sighting) -> Result<Self, InvalidMessage> {
        Ok(Sighting {
            host: parsed("host", &message.host)?,
            instance: instance("instance", message.instance)?,
            stored: stored("stored", message.stored)?,
            mark: optional("mark", message.mark)?,
            job: optional("job", message.job)?,
            // Its presence is evidence, its words are for people: clipped, so that no wording hides the evidence.
            job_error: message.job_error.as_deref().map(clip),
            disk_complete: message.disk_complete,
            stood_still_ms: message.stood_still_ms,
            autostart: message.autostart,
        })
    }
}

impl From<Instance> for pb::InstanceState {
    fn from(instance: Instance) -> Self {
        match instance {
            Instance::Running => pb::InstanceState::Running,
            Instance::Paused => pb::InstanceState::Paused,
            Instance::Incoming => pb::InstanceState::Incoming,
            Instance::Off(OffCause::Migrated) => pb::InstanceState::OffMigrated,
            Instance::Off(OffCause::ShutDown) => pb::InstanceState::OffShutDown,
            Instance::Off(OffCause::Crashed) => pb::InstanceState::OffCrashed,
            Instance::Off(OffCause::Saved) => pb::InstanceState::OffSaved,
            Instance::Off(OffCause::Unknown) => pb::InstanceState::OffUnknown,
        }
    }
}

pub(super) fn instance(field: &str, value: i32) -> Result<Instance, InvalidMessage> {
    enumerated(field, "InstanceState", value, |state| match state {
        pb::InstanceState::Unspecified => None,
        pb::InstanceState::Running => Some(Instance::Running),
        pb::InstanceState::Paused => Some(Instance::Paused),
        pb::InstanceState::Incoming => Some(Instance::Incoming),
        pb::InstanceState::OffMigrated => Some(Instance::Off(OffCause::Migrated)),
        pb::InstanceState::OffShutDown => Some(Instance::Off(OffCause::ShutDown)),
        pb::InstanceState::OffCrashed => Some(Instance::Off(OffCause::Crashed)),
        pb::InstanceState::OffSaved => Some(Instance::Off(OffCause::Saved)),
        pb::InstanceState::OffUnknown => Some(Instance::Off(OffCause::Unknown)),
    })
}

impl From<Stored> for pb::StoredKind {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Nothing => pb::StoredKind::Nothing,
            Stored::Real => pb::StoredKind::Real,
            Stored::Placeholder => pb::StoredKind::Placeholder,
            Stored::Arrived => pb::StoredKind::Arrived,
            Stored::Sealed => pb::StoredKind::Sealed,
            Stored::Retired => pb::StoredKind::Retired,
        }
    }
}

pub(super) fn stored(field: &str, value: i32) -> Result<Stored, InvalidMessage> {
    enumerated(field, "StoredKind", value, |kind| match kind {
        pb::StoredKind::Unspecified => None,
        pb::StoredKind::Nothing => Some(Stored::Nothing),
        pb::StoredKind::Real => Some(Stored::Real),
        pb::StoredKind::Placeholder => Some(Stored::Placeholder),
        pb::StoredKind::Arrived => Some(Stored::Arrived),
        pb::StoredKind::Sealed => Some(Stored::Sealed),
        pb::StoredKind::Retired => Some(Stored::Retired),
    })
}

impl From<Mark> for pb::Mark {
    fn from(mark: Mark) -> Self {
        pb::Mark {
            evacuation: mark.evacuation.to_string(),
            attempt: mark.attempt.count(),
            token: Some(mark.token.into()),
        }
    }
}

impl TryFrom<pb::Mark> for Mark {
    type Error = InvalidMessage;
    fn try_from(message: pb::Mark) -> Result<Self, InvalidMessage> {
        Ok(Mark {
            evacuation: parsed("evacuation", &message.evacuation)?,
            attempt: attempt("attempt", message.attempt)?,
            token: required("token", message.token)?,
        })
    }
}

impl From<Job> for pb::Job {
    fn from(job: Job) -> Self {
        pb::Job {
            phase: pb::Phase::from(job.phase).into(),
            done_basis_points: job.done_basis_points.into(),
            sent_mib: job.sent_mib,
            left_mib: job.left_mib,
            dirty_rate_mib_s: job.dirty_rate_mib_s,
            round: job.round,
            expected_downtime_ms: job.expected_downtime_ms,
        }
    }
}

impl TryFrom<pb::Job> for Job {
    type Error = InvalidMessage;
    fn try_from(message: pb::Job) -> Result<Self, InvalidMessage> {
        let done = within_range("done_basis_points", message.done_basis_points.into(), 0, ALL_BASIS_POINTS.into())?;
        Ok(Job {
            phase: phase("phase", message.phase)?,
            done_basis_points: u16::try_from(done).unwrap_or(ALL_BASIS_POINTS),
            sent_mib: size_mib("sent_mib", message.sent_mib)?,
            left_mib: size_mib("left_mib", message.left_mib)?,
            dirty_rate_mib_s: size_mib("dirty_rate_mib_s", message.dirty_rate_mib_s)?,
            round: message.round,
            expected_downtime_ms: message.expected_downtime_ms,
        })
    }
}

impl From<Phase> for pb::Phase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Setup => pb::Phase::Setup,
            Phase::ShutDown => pb::Phase::ShutDown,
            Phase::PreCopy => pb::Phase::PreCopy,
            Phase::Handover => pb::Phase::Handover,
            Phase::Finish => pb::Phase::Finish,
            Phase::DiskCopy => pb::Phase::DiskCopy,
            Phase::DiskVerify => pb::Phase::DiskVerify,
        }
    }
}

fn phase(field: &str, value: i32) -> Result<Phase, InvalidMessage> {
    enumerated(field, "Phase", value, |phase| match phase {
        pb::Phase::Unspecified => None,
        pb::Phase::Setup => Some(Phase::Setup),
        pb::Phase::ShutDown => Some(Phase::ShutDown),
        pb::Phase::PreCopy => Some(Phase::PreCopy),
        pb::Phase::Handover => Some(Phase::Handover),
        pb::Phase::Finish => Some(Phase::Finish),
        pb::Phase::DiskCopy => Some(Phase::DiskCopy),
        pb::Phase::DiskVerify => Some(Phase::DiskVerify),
    })
}
