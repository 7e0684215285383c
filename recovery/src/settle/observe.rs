//! Observing one VM on both sides: from the feeds, or behind raised floors.
//!
//! The order of a fenced observe is the protocol's, not a matter of taste: both floors up, then the source until it has
//! no job or is silent, and only then the destination. The other way round, a handover between the two readings would
//! look like a lost VM.

use super::{Settler, words};
use crate::error::LinkError;
use crate::link::{Connection, SiteLink};
use muster_core::claim::Claims;
use muster_core::evidence::{Evidence, Freshness, Heard};
use muster_core::ids::VmId;
use muster_core::ledger::weigh::{Readings, is_busy};
use muster_core::reading::SiteReading;
use muster_core::token::Token;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a fenced observe waits for the source's job to end before it takes "busy" for its answer.
pub(super) const BUSY_SOURCE_WAIT: Duration = Duration::from_millis(500);
/// How often it looks meanwhile.
pub(super) const BUSY_SOURCE_LOOK_EVERY: Duration = Duration::from_millis(50);

/// How the next observation is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// From the feeds.
    Streamed,
    /// Behind raised floors.
    Fenced,
}

/// What was observed of one VM.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How.
    pub freshness: Freshness,
    /// The destination's reading.
    pub destination: Heard<Arc<SiteReading>>,
    /// The source's reading.
    pub source: Heard<Arc<SiteReading>>,
    /// The claims and assertions at the destination.
    pub claims: Arc<Claims>,
    /// Why a side is silent, in its link's words.
    pub silence: Vec<String>,
}

/// Somebody newer has raised the floor above our token.
pub(super) struct Superseded;

impl Settler {
    /// The newest readings of both feeds. None if one isn't heard for longer than silence may last, or hasn't told.
    pub(super) async fn streamed(&self, vm: VmId) -> Option<Seen> {
        let source = self.source.as_ref()?;
        let deadline = Instant::now() + self.silence();
        loop {
            let bells = (source.feed().bell(vm), self.destination.feed().bell(vm));
            let read = (source.feed().reading(vm), self.destination.feed().reading(vm));
            if let (Some(source), Some(destination)) = read {
                return Some(Seen {
                    freshness: Freshness::Streamed,
                    destination: Heard::Answer(destination),
                    source: Heard::Answer(source),
                    claims: self.claims(),
                    silence: Vec::new(),
                });
            }
            let down = |site: &SiteLink| matches!(site.feed().connection(), Connection::Down(_));
            if !(down(source) || down(&self.destination)) {
                // Heard, but not about this VM: it isn't on the roll there, and only asking tells.
                return None;
            }
            tokio::select! {
                biased;
                () = bells.0.notified() => {}
                () = bells.1.notified() => {}
                () = tokio::time::sleep_until(deadline) => return None,
            }
        }
    }

    /// A fenced observe, in its order.
    pub(super) async fn read_fenced(&self, vm: VmId, token: Token) -> Result<Seen, Superseded> {
        let mut silence = Vec::new();
        let destination_raised = heard(self.ask(&self.destination, vm, Some(token)).await, &mut silence)?;
        let source = match &self.source {
            Some(source) => heard(self.read_source_until_idle(source, vm, token).await, &mut silence)?,
            None => Heard::Silent,
        };
        let destination = match destination_raised {
            // Its floor was not raised before the source was read: whatever it says now comes too late to be fenced.
            Heard::Silent => Heard::Silent,
            Heard::Answer(_) => heard(self.ask(&self.destination, vm, None).await, &mut silence)?,
        };
        if let Heard::Answer(reading) = &destination
            && reading.floor > token
        {
            return Err(Superseded);
        }
        Ok(Seen { freshness: Freshness::Fenced, destination, source, claims: self.claims(), silence })
    }

    /// Both sides, as they are, raising nothing: for reports.
    pub(super) async fn read_unfenced(&self, vm: VmId) -> Seen {
        let mut silence = Vec::new();
        let mut read = |answer: Result<SiteReading, LinkError>| match answer {
            Ok(reading) => Heard::Answer(Arc::new(reading)),
            Err(error) => {
                silence.push(words(&error));
                Heard::Silent
            }
        };
        let source = match &self.source {
            Some(source) => read(self.ask(source, vm, None).await),
            None => Heard::Silent,
        };
        let destination = read(self.ask(&self.destination, vm, None).await);
        Seen { freshness: Freshness::Streamed, destination, source, claims: self.claims(), silence }
    }

    pub(super) fn weigh(&self, seen: &Seen, freshness: Freshness, past_deadline: bool) -> Evidence {
        let readings = Readings {
            evacuation: self.evacuation,
            freshness,
            destination: borrowed(&seen.destination),
            source: borrowed(&seen.source),
            claims: &seen.claims,
            past_deadline,
        };
        readings.weigh()
    }

    /// Waits until either side has something newer than what was seen. False once `longest` has passed without.
    pub(super) async fn changed(&self, vm: VmId, seen: &Seen, longest: Duration) -> bool {
        let bells: Vec<_> = self.feeds().map(|feed| feed.bell(vm)).collect();
        if self.has_moved_on(vm, seen) {
            return true;
        }
        let rung = bells.iter().map(|bell| Box::pin(bell.notified()));
        let any = futures::future::select_all(rung);
        tokio::time::timeout(longest, any).await.is_ok()
    }

    fn has_moved_on(&self, vm: VmId, seen: &Seen) -> bool {
        let differs = |link: &SiteLink, seen: &Heard<Arc<SiteReading>>| match (link.feed().reading(vm), seen) {
            (Some(now), Heard::Answer(then)) => *now != **then,
            (Some(_), Heard::Silent) => true,
            (None, Heard::Answer(_)) => matches!(link.feed().connection(), Connection::Down(_)),
            (None, Heard::Silent) => false,
        };
        self.source.as_ref().is_some_and(|source| differs(source, &seen.source))
            || differs(&self.destination, &seen.destination)
    }

    async fn read_source_until_idle(
        &self,
        source: &SiteLink,
        vm: VmId,
        token: Token,
    ) -> Result<SiteReading, LinkError> {
        let deadline = Instant::now() + BUSY_SOURCE_WAIT;
        let mut reading = self.ask(source, vm, Some(token)).await?;
        while is_busy(&reading) && Instant::now() < deadline {
            tokio::time::sleep(BUSY_SOURCE_LOOK_EVERY).await;
            reading = self.ask(source, vm, None).await?;
        }
        Ok(reading)
    }

    async fn ask(&self, link: &SiteLink, vm: VmId, token: Option<Token>) -> Result<SiteReading, LinkError> {
        link.observe_one(self.evacuation, vm, token).await
    }

    fn claims(&self) -> Arc<Claims> {
        self.destination.feed().claims(self.evacuation).unwrap_or_default()
    }
}

/// An answer that is not there is silence, whatever the reason; only "below the floor" says something: hands off.
fn heard(
    answer: Result<SiteReading, LinkError>,
    silence: &mut Vec<String>,
) -> Result<Heard<Arc<SiteReading>>, Superseded> {
    match answer {
        Ok(reading) => Ok(Heard::Answer(Arc::new(reading))),
        Err(error) if error.is_below_floor() => Err(Superseded),
        Err(error) => {
            silence.push(words(&error));
            Ok(Heard::Silent)
        }
    }
}

fn borrowed(heard: &Heard<Arc<SiteReading>>) -> Heard<&SiteReading> {
    match heard {
        Heard::Silent => Heard::Silent,
        Heard::Answer(reading) => Heard::Answer(reading),
    }
}
