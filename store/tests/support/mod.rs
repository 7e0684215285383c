//! Commands that the tests of this crate are made of.

#![allow(dead_code)]

use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::command::{Caller, LedgerCommand, VmCommand, VmOrder};
use muster_core::time::Timestamp;
use muster_core::token::Token;

pub(crate) fn vm(number: u32) -> VmId {
    format!("0a000000-0000-4000-8000-0000{number:08x}").parse().expect("it is written as a UUID")
}

pub(crate) fn evacuation(number: u32) -> EvacuationId {
    format!("0e000000-0000-4000-8000-0000{number:08x}").parse().expect("it is written as a UUID")
}

pub(crate) fn raise(number: u32, sequence: u64) -> LedgerCommand {
    LedgerCommand::Vm(VmCommand {
        evacuation: evacuation(1),
        vm: vm(number),
        token: Token::new(1, sequence),
        caller: Caller::default(),
        at: Timestamp(1_000),
        order: VmOrder::RaiseFloor,
    })
}
