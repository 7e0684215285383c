//! What guests print, as each host's QEMU wrote it down: which host printed which counts.

use super::disk::Written;
use super::error::LabError;
use super::layout::Host;
use std::fs;

/// What one host's QEMUs printed for one guest, over all its boots there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    /// The whole records, in their order. What was cut in two by a move is left out.
    pub records: Vec<Written>,
    /// How often it said that somebody else had written to its disk.
    pub clashes: usize,
    /// How often it said that it switches itself off.
    pub power_offs: usize,
    /// How often its disk failed it.
    pub disk_errors: usize,
}

/// Reads what a guest printed on a host; nothing, where it never was there.
///
/// # Errors
/// Where the log is there and can't be read.
pub fn printed(host: &Host, guest: &str) -> Result<Printed, LabError> {
    let path = host.serial_folder.join(format!("{guest}.log"));
    match fs::read(&path) {
        Ok(text) => Ok(parse(guest, &String::from_utf8_lossy(&text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Printed::default()),
        Err(source) => Err(LabError::File { path, action: "read", source }),
    }
}

fn parse(guest: &str, text: &str) -> Printed {
    let mut printed = Printed::default();
    for line in text.split('\n').filter_map(|line| line.strip_suffix('\r')) {
        // The end of a line that began on another host may stand here, but never says CLASH without its record.
        printed.clashes += usize::from(line.contains(" CLASH "));
        let Some(said) = line.strip_prefix(guest).and_then(|said| said.strip_prefix(' ')) else { continue };
        printed.power_offs += usize::from(said == "power off");
        printed.disk_errors += usize::from(said == "DISK ERROR");
        printed.records.extend(record(said));
    }
    printed
}

/// `boot=1 count=17 slot=17 tsc=00000012a7be6c04`, or nothing.
fn record(said: &str) -> Option<Written> {
    let mut words = said.split(' ');
    let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
    let (boot, count, slot) = (value("boot")?, value("count")?, value("slot")?);
    let tsc = value("tsc").filter(|digits| digits.len() == 16)?;
    let number = |digits: &str| digits.parse().ok();
    Some(Written {
        boot: number(boot)?,
        count: number(count)?,
        slot: number(slot)?,
        tsc: u64::from_str_radix(tsc, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "vm1 boot=1 count=17 slot=18 tsc=00000012a7be6c04";

    #[test]
    fn whole_lines_are_read_and_halves_are_not() {
        let read = parse("vm1", &format!("{WHOLE}\r\nvm1 power off\r\n{WHOLE}"));
        assert_eq!(read.records, [Written { boot: 1, count: 17, slot: 18, tsc: 0x12_a7be_6c04 }]);
        assert_eq!((read.clashes, read.power_offs, read.disk_errors), (0, 1, 0));
        for cut in 1..WHOLE.len() {
            let (source, destination) = WHOLE.split_at(cut);
            assert_eq!(parse("vm1", source).records, [], "{source:?}");
            assert_eq!(parse("vm1", &format!("{source}\r\n")).records, [], "{source:?}");
            assert_eq!(parse("vm1", &format!("{destination}\r\n")).records, [], "{destination:?}");
        }
    }

    #[test]
    fn a_clash_is_no_record() {
        let read = parse("vm1", &format!("{}\r\nvm1 DISK ERROR\r\n", WHOLE.replace("vm1", "vm1 CLASH")));
        assert_eq!((read.records.len(), read.clashes, read.disk_errors), (0, 1, 1));
    }
}
