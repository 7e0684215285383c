//! Roll calls as `muster recover --output json` prints them: read, not judged.

use crate::Outcome;
use muster_core::ids::VmId;
use muster_core::verdict::{Doubt, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;

/// A roll call: a verdict a VM.
#[derive(Debug)]
pub struct RollCall {
    /// What was said of each.
    pub lines: BTreeMap<VmId, Verdict>,
    /// Nothing is left to be done for any.
    pub settled: bool,
    /// Recovery keeps its claim.
    pub claim_kept: bool,
    /// As it was printed.
    pub text: String,
}

impl RollCall {
    /// VMs of which the destination said nothing.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        let silent = Verdict::Indeterminate(Doubt::DestinationSilent);
        self.lines.values().filter(|verdict| **verdict == silent).count()
    }

    /// Reads what was printed.
    ///
    /// # Errors
    /// Where it is no roll call, or a VM is on two lines.
    pub fn read(text: &str) -> Outcome<RollCall> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("no roll call: {error}: {text}"))?;
        let mut lines = BTreeMap::new();
        for line in value["lines"].as_array().ok_or("a roll call without lines")? {
            let vm = line["vm"].as_str().and_then(|vm| vm.parse().ok()).ok_or("a line without a VM")?;
            if lines.insert(vm, verdict(line)?).is_some() {
                return Err(format!("VM {vm} is on two lines of a roll call"));
            }
        }
        let is_so = |field: &str| value[field].as_bool().unwrap_or(false);
        let (settled, claim_kept) = (is_so("settled"), is_so("claim_kept"));
        Ok(RollCall { lines, settled, claim_kept, text: text.to_owned() })
    }
}

fn verdict(line: &Value) -> Outcome<Verdict> {
    let plain = [
        Verdict::NotStarted,
        Verdict::NotMigrated,
        Verdict::HandedOver,
        Verdict::FullyMigrated,
        Verdict::MemoryLost,
        Verdict::SplitBrain,
    ];
    let doubts = Doubt::ALL.into_iter().filter(|doubt| line["doubt"] == doubt.sentence()).map(Verdict::Indeterminate);
    let mut all = plain.into_iter().chain(doubts);
    all.find(|verdict| line["verdict"] == verdict.name()).ok_or_else(|| format!("no verdict that is known: {line}"))
}
