//! Acting: the intent into the journal, one command to one site, and what its answer is worth.

use super::scribe::Sent;
use super::{Move, Settler, words};
use crate::error::LinkError;
use muster_core::class::Class;
use muster_core::evidence::{Evidence, Heard, Record};
use muster_core::ids::{Attempt, VmId};
use muster_core::ladder::Rung;
use muster_core::ledger::{ArrivalRecord, Standing};
use muster_core::reading::SiteReading;
use muster_core::step::{Action, Side};
use muster_core::terms::Tuning;
use muster_core::token::Token;
use muster_core::verdict::Verdict;
use muster_proto::convert::{SiteAction, SiteCommand};

/// What became of a command.
pub(super) enum Acted {
    /// The site did it, now or before.
    Done,
    /// The site will not do it as things stand.
    Refused(String),
    /// Nothing happened, or nobody knows: look again before anything else.
    Unclear(String),
    /// The two sites' workers don't reach each other: nothing new is begun, and nothing can be given back either.
    Apart(String),
    /// Somebody newer has taken over.
    Superseded,
    /// The intent could not be journaled, so nothing was sent.
    JournalFailed(String),
}

impl Settler {
    /// Journals an action with the verdict that it follows from, and sends it.
    pub(super) async fn send(
        &self,
        subject: &Move,
        (action, verdict): (Action, Verdict),
        token: Token,
        evidence: &Evidence,
    ) -> Acted {
        let Some(site_action) = self.site_action(subject, action, evidence) else {
            return Acted::Unclear("the evidence names no attempt for it".to_owned());
        };
        // An attempt that is about to be opened has no number yet: the destination's ledger allocates it.
        let is_opened = matches!(action, Action::OpenAttempt(_));
        let attempt = recorded_attempt(evidence).filter(|_| !is_opened);
        let step = Sent { action, token, attempt };
        if let Err(error) = self.scribe.intended(subject.vm, step, verdict).await {
            return Acted::JournalFailed(error.to_string());
        }
        let command = SiteCommand { vm: subject.vm, token, action: site_action };
        let sent = match (action.side(), &self.source) {
            (Side::Destination, _) => self.destination.execute(self.evacuation, command).await,
            (Side::Source, Some(source)) => source.execute(self.evacuation, command).await,
            (Side::Source, None) => return Acted::Unclear("the source is given up as lost".to_owned()),
        };
        match sent {
            Ok(_) => Acted::Done,
            Err(error) => {
                tracing::debug!(vm = %subject.vm, ?action, %error, "not done");
                if let Err(unwritten) = self.scribe.failed(subject.vm, step, &error).await {
                    tracing::warn!(%unwritten, "a failed step could not be journaled");
                }
                worth(&error)
            }
        }
    }

    /// The command that carries an action out, with the particulars that stand in the evidence's readings.
    fn site_action(&self, subject: &Move, action: Action, evidence: &Evidence) -> Option<SiteAction> {
        let attempt = recorded_attempt(evidence);
        Some(match action {
            Action::OpenAttempt(kind) => SiteAction::OpenAttempt { host: subject.destination_host.clone(), kind },
            Action::MakePlaceholder => SiteAction::MakePlaceholder { attempt: attempt? },
            Action::Seal => SiteAction::Seal,
            Action::Transfer => SiteAction::Transfer {
                attempt: attempt?,
                destination_site: self.destination.site().clone(),
                destination_host: self.recorded_host(subject),
                tuning: self.tuning(subject),
            },
            Action::AbortTransfer => SiteAction::AbortTransfer,
            Action::Commit => SiteAction::Commit { attempt: attempt? },
            Action::Run => SiteAction::Run,
            Action::Retire => SiteAction::Retire { keep_ms: self.terms.of(subject.vm).retention.retired_copies_ms },
            Action::Abandon => SiteAction::Abandon { attempt: attempt? },
            Action::Reopen => SiteAction::Reopen { attempt: attempt? },
            Action::Discard => SiteAction::Discard,
            Action::ResumeSource => SiteAction::ResumeSource,
            Action::StartSource => SiteAction::StartSource,
            Action::Unseal => SiteAction::Unseal,
            Action::CloseSource => SiteAction::CloseSource,
            Action::CloseDestination(outcome) => SiteAction::CloseDestination(outcome),
        })
    }

    fn tuning(&self, subject: &Move) -> Tuning {
        let wanted = self.terms.of(subject.vm).tuning;
        Tuning { auto_converge: wanted.auto_converge || subject.auto_converge, ..wanted }
    }

    /// Changes a transfer that is under way. Not in the journal as a step, since it decides nothing about the VM: what it was
    /// changed for, a rung or a person's order, stands there before, and what came of it after.
    pub(super) async fn adjust(
        &self,
        vm: VmId,
        token: Token,
        bandwidth_mib_s: Option<u64>,
        downtime_ms: Option<u64>,
    ) -> Acted {
        let Some(source) = &self.source else {
            return Acted::Unclear("the source is given up as lost".to_owned());
        };
        let action = SiteAction::AdjustTransfer { bandwidth_mib_s, downtime_ms };
        let sent = source.execute(self.evacuation, SiteCommand { vm, token, action }).await;
        let terms = (bandwidth_mib_s, downtime_ms);
        if let Err(unwritten) = self.scribe.adjusted(vm, token, terms, sent.as_ref().err()).await {
            tracing::warn!(%vm, %unwritten, "what became of a transfer's other terms could not be journaled");
        }
        match sent {
            Ok(_) => Acted::Done,
            Err(error) => {
                tracing::warn!(%vm, %error, "a transfer could not be adjusted");
                worth(&error)
            }
        }
    }

    pub(super) async fn note_rung(&self, vm: VmId, attempt: u32, rung: Rung) {
        if let Err(unwritten) = self.scribe.took_rung(vm, attempt, rung).await {
            tracing::warn!(%vm, ?rung, %unwritten, "a rung of the ladder could not be journaled");
        }
    }

    /// The host of the started record; it may have been opened before this claim, for another host than is wanted now.
    fn recorded_host(&self, subject: &Move) -> muster_core::ids::HostName {
        let reading = self.destination.feed().last_reading(subject.vm);
        match reading.as_deref() {
            Some(SiteReading { standing: Some(Standing::Destination(at)), .. }) => match &at.record {
                ArrivalRecord::Started(started) => started.host.clone(),
                ArrivalRecord::Enrolled
                | ArrivalRecord::Abandoned(_)
                | ArrivalRecord::Completed(_)
                | ArrivalRecord::Closed(_) => subject.destination_host.clone(),
            },
            Some(_) | None => subject.destination_host.clone(),
        }
    }
}

fn worth(error: &LinkError) -> Acted {
    if error.is_below_floor() {
        return Acted::Superseded;
    }
    if error.is_path_unproven() {
        return Acted::Apart(words(error));
    }
    match error.class() {
        Class::Refused => Acted::Refused(words(error)),
        Class::Retry | Class::Unknown | Class::Bug => Acted::Unclear(words(error)),
    }
}

fn recorded_attempt(evidence: &Evidence) -> Option<Attempt> {
    match evidence.destination {
        Heard::Silent => None,
        Heard::Answer(destination) => match destination.record {
            Record::Started { attempt, .. } | Record::Abandoned { attempt } | Record::Completed { attempt, .. } => {
                Some(attempt)
            }
            Record::NotOnRoll | Record::Enrolled | Record::Closed(_) => None,
        },
    }
}
