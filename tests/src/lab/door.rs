//! Doors: ports of this machine's loopback that lead to a port of a host's, inside the lab. A worker outside reaches a libvirtd over
//! TLS or SSH by one, as it would over a network.

use super::command::{prepared, until};
use super::error::LabError;
use super::files::{make_folder, text, write};
use super::layout::Host;
use super::place::{inside, run_at_home};
use super::{Lab, command};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Connections through one door at a time; further ones wait.
const CONNECTIONS_MAX: usize = 128;
/// How long an SSH daemon may take until it listens, in milliseconds.
const LISTENS_LIMIT_MS: u64 = 10_000;
/// libvirt's port for TLS.
pub const LIBVIRT_TLS_PORT: u16 = 16_514;
/// SSH's port.
pub const SSH_PORT: u16 = 22;

/// An open door. It shuts, and its connections end, when it is dropped.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    keeper: JoinHandle<()>,
}

impl Door {
    /// Where to knock.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// An SSH daemon on a host, which lets one key in.
#[derive(Debug)]
pub struct SshDaemon {
    /// The file of the key that is let in.
    pub key: PathBuf,
}

impl Lab {
    /// Opens a door to a host's port.
    ///
    /// # Errors
    /// Where the host is none of the lab's or not there, or no port can be had.
    pub async fn door(&self, host: &str, port: u16) -> Result<Door, LabError> {
        let (holder, address) = (self.holder(host)?, self.host(host)?.address.clone());
        let said = format!("a door to {host}:{port}");
        let failed = |source| LabError::CantRun { command: said.clone(), source };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let at = listener.local_addr().map_err(failed)?;
        let mut words = inside(holder);
        words.extend(["socat".to_owned(), "STDIO".to_owned(), format!("TCP:{address}:{port}")]);
        Ok(Door { address: at, keeper: tokio::spawn(keep(listener, words)) })
    }

    /// Starts an SSH daemon on a host, with keys of its own. It ends with the lab.
    ///
    /// # Errors
    /// Where the host is none of the lab's or not there, or it doesn't listen in time.
    pub async fn start_ssh(&self, host: &str) -> Result<SshDaemon, LabError> {
        let (holder, Host { name, address, .. }) = (self.holder(host)?, self.host(host)?);
        let folder = self.layout.place(name).join("ssh");
        make_folder(&folder)?;
        let [daemon_key, key, allowed, configuration] =
            ["daemon", "caller", "allowed", "sshd_config"].map(|file| folder.join(file));
        for file in [&daemon_key, &key] {
            command::run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", text(file)]).await?;
        }
        std::fs::copy(key.with_extension("pub"), &allowed).map_err(|source| LabError::File {
            path: allowed.clone(),
            action: "written",
            source,
        })?;
        write(
            &configuration,
            format!(
                "Port {SSH_PORT}\nListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
                 PasswordAuthentication no\nPermitRootLogin prohibit-password\nStrictModes no\nMaxStartups 200\n",
                daemon_key.display(),
                allowed.display()
            ),
        )?;
        // What it wants for those that it doesn't trust yet.
        run_at_home(holder, &["mkdir", "-p", "/run/sshd"]).await?;
        run_at_home(holder, &["/usr/sbin/sshd", "-f", text(&configuration)]).await?;
        let answers = format!("the SSH daemon of {host}");
        let connects = ["socat", "-u", "OPEN:/dev/null", &format!("TCP:{address}:{SSH_PORT}")];
        until(&answers, LISTENS_LIMIT_MS, async || Ok(self.inside(host, &connects, LISTENS_LIMIT_MS).await?.success))
            .await?;
        Ok(SshDaemon { key })
    }
}

async fn keep(listener: TcpListener, words: Vec<String>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        let Ok((near, _)) = listener.accept().await else { return };
        connections.spawn(carry(near, words.clone()));
    }
}

/// One connection, by a process that stands inside; it is killed when the door shuts.
async fn carry(near: TcpStream, words: Vec<String>) {
    let mut process = prepared(&words.iter().map(String::as_str).collect::<Vec<_>>());
    process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let Ok(mut far) = process.spawn() else { return };
    let (Some(mut far_in), Some(mut far_out)) = (far.stdin.take(), far.stdout.take()) else { return };
    let (mut near_in, mut near_out) = near.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut near_in, &mut far_in) => {}
        _ = tokio::io::copy(&mut far_out, &mut near_out) => {}
    }
}
