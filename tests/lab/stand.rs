//! A lab for one test. One at a time: each has three libvirtds.

use muster_tests::lab::judge::WATCH_MS;
use muster_tests::lab::{Answer, Kind, Lab, LabError, Opinion, Order, packages};
use std::io::Write;
use std::path::Path;
use tokio::sync::{Mutex, MutexGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A lab that goes down with its test, however that ends.
pub(crate) struct Stand {
    pub(crate) lab: Lab,
    name: String,
    _turn: MutexGuard<'static, ()>,
}

impl Stand {
    /// None where this machine can't have a lab; it says what is left out then.
    pub(crate) async fn up(word: &str, left_out: &str) -> Option<Self> {
        if !can(left_out) {
            return None;
        }
        let turn = ONE_AT_A_TIME.lock().await;
        let name = name(word);
        let lab = Lab::up(&name).await.expect("a lab");
        Some(Self { lab, name, _turn: turn })
    }

    /// Adds a guest at the source, which starts; gives its name.
    pub(crate) async fn add_one(&mut self, kind: Kind) -> String {
        let added = self.lab.add_guests(1, &Order::of(kind)).await.expect("a guest");
        added.into_iter().next().expect("its name")
    }

    /// The judge's opinion of one guest.
    pub(crate) async fn opinion(&self, guest: &str) -> Opinion {
        let opinions = self.lab.judge(WATCH_MS).await.expect("opinions");
        opinions.into_iter().find(|opinion| opinion.guest == guest).expect("an opinion of it")
    }

    /// The judge finds that a guest runs on this host alone; gives its newest count.
    pub(crate) async fn runs_on(&self, guest: &str, host: &str) -> u32 {
        let opinion = self.opinion(guest).await;
        assert_eq!(opinion.answer, Answer::Once { host: host.to_owned() }, "{opinion:#?}");
        opinion.newest().expect("records").count
    }

    /// Moves a guest from the source by plain virsh, with further options. Says whether virsh succeeded.
    pub(crate) async fn migrate(&self, guest: &str, to: &str, options: &[&str]) -> bool {
        let host = self.lab.host(to).expect("a host");
        let mut arguments = vec!["migrate", "--live", "--p2p", "--persistent"];
        arguments.extend(options);
        arguments.extend([guest, &host.peer_uri, &host.migrate_uri]);
        self.lab.virsh("north-1", &arguments).await.expect("virsh").success
    }

    /// A virsh command that succeeds.
    pub(crate) async fn virsh(&self, host: &str, arguments: &[&str]) -> String {
        self.lab.virsh(host, arguments).await.and_then(|ran| ran.well()).expect("virsh succeeds")
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        Lab::down(&self.name).expect("it goes down");
    }
}

/// Whether there can be a lab here. Says what is left out where not, past the capture of a test's output.
pub(crate) fn can(left_out: &str) -> bool {
    let why = match (Lab::down("none"), packages::missing().as_slice()) {
        (Err(LabError::NotRoot), _) => "it needs root".to_owned(),
        (_, []) => {
            clear_the_dead();
            return true;
        }
        (_, missing) => format!("run `lab install`: {missing:?} is missing"),
    };
    let line = format!("LEFT OUT: {left_out}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("a standard error");
    false
}

/// A name of this process's own: several may test at the same time.
pub(crate) fn name(word: &str) -> String {
    format!("t{}-{word}", std::process::id())
}

/// Takes down what earlier tests left that were killed.
fn clear_the_dead() {
    for name in Lab::names() {
        let pid = name.strip_prefix('t').and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid.parse::<u32>());
        if let Some(Ok(pid)) = pid
            && !Path::new("/proc").join(pid.to_string()).exists()
        {
            Lab::down(&name).expect("it goes down");
        }
    }
}
