//! A lab for one test. One at a time: each has three libvirtds.

use muster_tests::lab::judge::WATCH_MS;
use muster_tests::lab::testing::{can, name};
use muster_tests::lab::{Answer, Kind, Lab, Opinion, Order};
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
