//! Processor time, from /proc: what muster's processes take, and what libvirt's daemons take because of whoever asks them.

use muster_tests::Outcome;
use muster_tests::lab::{Lab, processes};

/// Processor time is counted in hundredths of a second: `USER_HZ`, which Linux tells programs on every architecture that
/// libvirt runs guests on.
const TICK_MS: u64 = 10;

/// What all libvirt daemons of a lab took so far, in milliseconds.
pub(crate) fn of_libvirtds(lab: &Lab) -> Outcome<u64> {
    let found = processes::of_lab(&lab.record().name).map_err(|error| error.to_string())?;
    found.iter().filter(|process| process.is("libvirtd")).map(|process| processor_ms(process.pid)).sum()
}

/// What a process took of the processors so far, its own and the kernel's for it, in milliseconds: proc(5), `stat`, fields
/// 14 and 15.
pub(crate) fn processor_ms(pid: u32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    // Its name may hold spaces and ends with the last bracket; the state after that is field 3.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = fields.get(11..13).into_iter().flatten().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>();
    ticks.map(|ticks| ticks * TICK_MS).ok_or_else(|| format!("{path} is not what proc(5) says"))
}
