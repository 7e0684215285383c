//! The link between the two sites: cut, mended, made long, slow and lossy.
//!
//! Not by the kernel's netem, which not every kernel has: frames are taken from a tap device at one site's end, kept for the
//! delay, dropped by chance, and given to a tap device at the other's. All of it is in the switch's network namespace; the one
//! thing seen outside is a device file in /dev, for as long as the link is long.

use super::command::{SHORT_LIMIT_MS, prepared};
use super::error::LabError;
use super::files::text;
use super::layout::{BRIDGE, LINK_ENDS, SWITCH};
use super::network::ip;
use super::place::{attempt_at_home, inside, run_inside};
use super::relay::{self, Shape};
use super::{Lab, processes};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

/// The tap devices that frames are taken from and given to while the link is long.
const TAPS: [&str; 2] = ["tap-north", "tap-south"];
/// What those sit on: the far ends of the wires that end at the sites' bridges.
const RELAY_ENDS: [&str; 2] = ["relay-north", "relay-south"];
/// Segments that the hosts hand to their wire at once, as a rule; one each while the link is long, so that what is lost is a
/// packet and not a heap of them.
const SEGMENTS_MAX: u32 = 65_535;
/// The word among a relaying process's arguments that it is known by.
pub const RELAY_COMMAND: &str = "relay-link";

impl Lab {
    /// Cuts the link between the sites: nothing passes, and nobody is told.
    ///
    /// # Errors
    /// Where the lab is not there.
    pub async fn cut_link(&self) -> Result<(), LabError> {
        ip(self.holder(SWITCH)?, &format!("link set {} down", LINK_ENDS[0])).await
    }

    /// Mends the link after a cut, as long and lossy as it was.
    ///
    /// # Errors
    /// Where the lab is not there.
    pub async fn mend_link(&self) -> Result<(), LabError> {
        ip(self.holder(SWITCH)?, &format!("link set {} up", LINK_ENDS[0])).await
    }

    /// Makes the link long, slow, lossy. The calling process relays its frames, in threads of its own: when that process ends
    /// the link is as good as cut, until [`Self::clear_link`].
    ///
    /// # Errors
    /// Where the lab is not there, a number is out of range, or the kernel has no macvtap.
    pub async fn lengthen_link(&self, shape: &Shape) -> Result<(), LabError> {
        shape.check()?;
        let switch = self.holder(SWITCH)?;
        self.segments(1).await?;
        self.unwire(switch).await?;
        let mut taps = Vec::new();
        for ((end, relay), (tap, site)) in LINK_ENDS.iter().zip(RELAY_ENDS).zip(TAPS.into_iter().zip(self.sites()?)) {
            ip(switch, &format!("link add name {end} type veth peer name {relay}")).await?;
            ip(switch, &format!("link add link {relay} name {tap} type macvtap mode passthru")).await?;
            ip(switch, &format!("link set {relay} up")).await?;
            ip(switch, &format!("link set {tap} up")).await?;
            ip(switch, &format!("link set {end} master {site} up")).await?;
            taps.push(self.open_tap(switch, tap).await?);
        }
        let mut taps = taps.into_iter();
        let (Some(north), Some(south)) = (taps.next(), taps.next()) else { unreachable!("there are two ends") };
        relay::start(north, south, shape)
    }

    /// Like [`Self::lengthen_link`], but the frames are relayed by a process of their own, which outlives the caller: `program` is
    /// run inside the switch with `arguments`, calls [`Self::lengthen_link`], writes a line, and stays.
    ///
    /// # Errors
    /// Where the lab is not there, or the program ends without that line.
    pub async fn lengthen_link_by(&self, program: &Path, arguments: &[String]) -> Result<(), LabError> {
        self.clear_link().await?;
        let mut words: Vec<String> = ["setsid".to_owned()].into_iter().chain(inside(self.holder(SWITCH)?)).collect();
        // Its network stays the caller's: what it does inside the lab, it does by entering the lab's places.
        words.retain(|word| word != "--net");
        words.push(program.display().to_string());
        words.extend_from_slice(arguments);
        let said = words.join(" ");
        let failed = |source| LabError::CantRun { command: said.clone(), source };
        let mut process = prepared(&words.iter().map(String::as_str).collect::<Vec<_>>());
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut relay = process.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(output) = relay.stdout.take() {
            let read =
                timeout(Duration::from_millis(SHORT_LIMIT_MS), BufReader::new(output).read_line(&mut line)).await;
            read.map_err(|_| LabError::TooSlow { command: said.clone(), limit_ms: SHORT_LIMIT_MS })?.map_err(failed)?;
        }
        if line.is_empty() {
            let status = relay.wait().await.map_err(failed)?.to_string();
            return Err(LabError::Command { command: said, status, stderr: "it does not relay".to_owned() });
        }
        Ok(())
    }

    /// Makes the link short, fast and whole again.
    ///
    /// # Errors
    /// Where the lab is not there.
    pub async fn clear_link(&self) -> Result<(), LabError> {
        let switch = self.holder(SWITCH)?;
        processes::end(self.layout.name(), is_relay)?;
        self.unwire(switch).await?;
        let [north, south] = LINK_ENDS;
        ip(switch, &format!("link add name {north} type veth peer name {south}")).await?;
        for (end, site) in LINK_ENDS.iter().zip(self.sites()?) {
            ip(switch, &format!("link set {end} master {site} up")).await?;
        }
        self.segments(SEGMENTS_MAX).await
    }

    /// Takes both ends away, with whatever hangs on them; a relay that had them notices, and ends.
    async fn unwire(&self, switch: u32) -> Result<(), LabError> {
        for end in LINK_ENDS {
            // The first end takes the second with it, where they are one wire.
            attempt_at_home(switch, &["ip", "link", "del", end], SHORT_LIMIT_MS).await?;
        }
        Ok(())
    }

    async fn segments(&self, most: u32) -> Result<(), LabError> {
        for host in &self.record.hosts {
            ip(self.holder(&host.name)?, &format!("link set {BRIDGE} gso_max_segs {most}")).await?;
        }
        Ok(())
    }

    /// The file of a tap device. It is made in the lab's own folder: what the kernel makes in /dev is named by a number that
    /// another namespace's device may have too.
    async fn open_tap(&self, switch: u32, tap: &str) -> Result<File, LabError> {
        let told = format!("cat /sys/class/net/{tap}/macvtap/tap*/dev");
        let numbers = run_inside(switch, &["sh", "-c", &told]).await?;
        let (major, minor) = numbers.trim().split_once(':').unwrap_or_default();
        let path: PathBuf = self.layout.state().join(tap);
        let _ = std::fs::remove_file(&path);
        run_inside(switch, &["mknod", text(&path), "c", major, minor]).await?;
        let opened = File::options().read(true).write(true).open(&path);
        opened.map_err(|source| LabError::File { path, action: "opened", source })
    }

    /// The two sites' names, the source's first; their bridges are called the same.
    fn sites(&self) -> Result<[&str; 2], LabError> {
        let source = &self.source()?.site;
        let mut others = self.record.hosts.iter().map(|host| &host.site).filter(|site| *site != source);
        let other = others.next().ok_or_else(|| LabError::NoSuchHost { host: "destination".to_owned() })?;
        Ok([source, other])
    }
}

/// Whether a process relays frames, for a caller that has ended.
fn is_relay(process: &processes::Process) -> bool {
    process.place == SWITCH && process.arguments.iter().any(|argument| argument == RELAY_COMMAND)
}
