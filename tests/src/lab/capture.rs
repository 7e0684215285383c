//! Listens on a host's bridge, by tcpdump: for guests' addresses being announced, which is how the network learns where a guest is; and to
//! what hosts send each other, to see whether it can be read.

use super::Lab;
use super::error::LabError;
use super::layout::BRIDGE;
use super::place::inside;
use super::{command, files};
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Child;

/// How long tcpdump may take until it listens, in milliseconds.
const LISTENS_LIMIT_MS: u64 = 10_000;
/// The ports that QEMU's memory arrives at.
const MEMORY_PORTS: &str = "tcp portrange 49152-49215";

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Capture {
    heard: PathBuf,
    _listener: Child,
}

impl Lab {
    /// Begins to listen on a host's bridge for announcements (RARP broadcasts), wherever in the lab they were made.
    ///
    /// # Errors
    /// Where the host is none of the lab's or not there, or tcpdump doesn't begin.
    pub async fn capture(&self, host: &str) -> Result<Capture, LabError> {
        self.listen(host, &["-l", "-e", "-n", "rarp"]).await
    }

    /// Begins to record what is sent to a host when guests' memory arrives there.
    ///
    /// # Errors
    /// As [`Self::capture`].
    pub async fn record_memory(&self, host: &str) -> Result<Capture, LabError> {
        self.listen(host, &["-U", "-s", "0", "-w", "-", MEMORY_PORTS]).await
    }

    async fn listen(&self, host: &str, what: &[&str]) -> Result<Capture, LabError> {
        let holder = self.holder(&self.host(host)?.name)?;
        let folder = self.layout.place(host);
        let (heard, said) = (folder.join("heard"), folder.join("tcpdump"));
        for path in [&heard, &said] {
            files::write(path, "")?;
        }
        let open = |path: &PathBuf| {
            let file = std::fs::File::options().append(true).open(path);
            file.map_err(|source| LabError::File { path: path.clone(), action: "opened", source })
        };
        let listen = ["tcpdump", "-i", BRIDGE].iter().chain(what).map(|word| (*word).to_owned());
        let words: Vec<String> = inside(holder).into_iter().chain(listen).collect();
        let mut process = command::prepared(&words.iter().map(String::as_str).collect::<Vec<_>>());
        process.stdin(Stdio::null()).stdout(open(&heard)?).stderr(open(&said)?).kill_on_drop(true);
        let listener = process.spawn().map_err(|source| LabError::CantRun { command: "tcpdump".to_owned(), source })?;
        command::until("a tcpdump that listens", LISTENS_LIMIT_MS, async || {
            Ok(String::from_utf8_lossy(&files::read(&said)?).contains("listening on"))
        })
        .await?;
        Ok(Capture { heard, _listener: listener })
    }
}

impl Capture {
    /// How often an address was announced since it listens.
    ///
    /// # Errors
    /// Where what was heard can't be read.
    pub fn announcements(&self, mac: &str) -> Result<usize, LabError> {
        let heard = self.heard()?;
        let heard = String::from_utf8_lossy(&heard);
        Ok(heard.lines().filter(|line| line.contains(&format!(" {mac} > "))).count())
    }

    /// All that was heard: lines of announcements, or packets as tcpdump stores them.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn heard(&self) -> Result<Vec<u8>, LabError> {
        files::read(&self.heard)
    }
}
