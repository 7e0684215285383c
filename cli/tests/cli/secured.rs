//! Two sites whose every part shows a certificate: what works with one, what doesn't without the right one.

use crate::secured_land::{Secured, done, issue, of};
use crate::support::{Daemon, muster};
use muster_core::ledger::command::EventKind;
use muster_store::PAGE_MAX;
use muster_store::sqlite::LedgerFile;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// Guards against hanging alone.
const WITHIN: Duration = Duration::from_secs(60);

/// Longer than a daemon lets pass between two looks at its certificates.
#[allow(clippy::disallowed_methods, reason = "a test without a runtime, which waits for processes")]
fn looked_at_once_more() {
    std::thread::sleep(Duration::from_secs(6));
}

/// Repeats what may take a moment.
#[allow(clippy::disallowed_methods, reason = "a test without a runtime, which waits for processes")]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WITHIN, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_evacuation_goes_to_its_end_under_certificates_and_the_journal_has_their_names() {
    let land = Secured::with_fleet(8);
    let last = land.evacuate("bob");
    assert_eq!((&last["state"], &last["counts"]["migrated"]), (&Value::from("finished"), &Value::from(8)));
    assert_eq!(last["ordered_by"], "bob", "the certificate says who orders, whatever --by says");
    let recovered = done(land.ask("bob", &["recover", "--output", "json"]));
    let roll: Value = serde_json::from_str(&recovered.stdout).unwrap();
    assert_eq!(roll["lines"].as_array().unwrap().len(), 8, "{roll}");
    let straight = done(muster(&[
        "recover",
        "--destination",
        &land.land.destination.address,
        "--source",
        &land.land.source.address,
        "--tls",
        &land.of("eve"),
    ]));
    assert!(straight.stdout.contains("FullyMigrated"), "{straight:?}");
}

#[test]
fn each_sites_ledger_says_by_whose_order_a_change_was_made_and_from_where() {
    let land = Secured::with_fleet(3);
    land.evacuate("bob");
    let lines = |site: &str| {
        let file = LedgerFile::open(&land.land.directory.path().join(site)).unwrap();
        let lines = file.stored(0, PAGE_MAX).unwrap();
        lines.into_iter().map(|line| (line.read().unwrap(), line.by, line.origin)).collect::<Vec<_>>()
    };
    let on_loopback = |origin: &Option<String>| origin.as_ref().is_some_and(|origin| origin.starts_with("127.0.0.1:"));
    let main = Some("muster://orchestrator/main".to_owned());
    for (event, by, origin) in lines("paris").into_iter().chain(lines("berlin")) {
        // What a site has seen by itself is by nobody's order.
        let is_ordered = event.token.is_some() || event.vm.is_none();
        assert_eq!(
            (by.is_some(), on_loopback(&origin)),
            (is_ordered, is_ordered),
            "{event:?} by {by:?} from {origin:?}"
        );
    }
    let by = |site, is_it: fn(&EventKind) -> bool| {
        let found: Vec<Option<String>> =
            lines(site).into_iter().filter(|(event, ..)| is_it(&event.kind)).map(|(_, by, _)| by).collect();
        assert!(!found.is_empty(), "no such line at {site}");
        found
    };
    assert_eq!(by("berlin", |kind| matches!(kind, EventKind::Claimed { .. })), std::slice::from_ref(&main));
    assert_eq!(by("paris", |kind| matches!(kind, EventKind::TransferBegun { .. })), [main.clone(), main.clone(), main]);
    let committed = by("berlin", |kind| matches!(kind, EventKind::Completed { .. }));
    assert!(
        committed.contains(&Some("muster://worker/paris".to_owned())),
        "the source's worker commits: {committed:?}"
    );

    // An admin who recovers at the workers themselves.
    let workers = ["--destination", &land.land.destination.address, "--source", &land.land.source.address];
    let straight = [
        &["recover", "--apply", "--assert-source-fenced", "its doors are shut", "--tls", &land.of("alice")],
        &workers[..],
    ];
    let ran = muster(&straight.concat());
    assert!(ran.code == 0, "{ran:?}");
    let asserted = by("berlin", |kind| matches!(kind, EventKind::Asserted { .. }));
    assert_eq!(asserted, [Some("muster://admin/alice".to_owned())]);

    // The chain that they all stand in is whole, in a file that is written meanwhile.
    for site in ["paris", "berlin"] {
        let file = land.land.directory.path().join(site);
        let verified = done(muster(&["audit", "verify", "--ledger", file.to_str().unwrap(), "--output", "json"]));
        let verified: Value = serde_json::from_str(&verified.stdout).unwrap();
        assert_eq!(verified["lines"].as_u64(), Some(lines(site).len() as u64));
        let head = verified["head"].as_str().unwrap();
        done(muster(&["audit", "verify", "--ledger", file.to_str().unwrap(), "--against", head]));
    }
}

#[test]
fn who_shows_no_certificate_or_a_strange_one_is_not_spoken_to() {
    let land = Secured::with_fleet(2);
    let address = ["--orchestrator", &land.land.orchestrator.address];
    let plain = muster(&[&["list"], &address[..]].concat());
    assert_eq!(plain.code, 1, "{plain:?}");

    done(muster(&["pki", "init", &land.of("strangers")]));
    done(issue(&land.land.directory, "strangers", "mallory", &["admin", "mallory"]));
    let strange = land.ask("mallory", &["list"]);
    assert_eq!(strange.code, 1, "{strange:?}");

    // Where another site's worker listens, and not the one that is meant, nobody is spoken to.
    let (journal, tls) = (land.of("other-journal"), land.of("main"));
    let (paris, berlin) =
        (format!("paris={}", land.land.source.address), format!("berlin={}", land.land.source.address));
    let arguments = ["--listen", "127.0.0.1:0", "--journal", &journal, "--site", &paris, "--site", &berlin];
    let orchestrator = Daemon::start(&[&["orchestrator"], &arguments[..], &["--tls", &tls]].concat());
    let asked = ["plan", &land.runbook(), "--orchestrator", &orchestrator.address, "--tls", &land.of("alice")];
    let refused = muster(&asked);
    let told = "that of muster://worker/paris, and not that of the worker of berlin";
    assert!(refused.code != 0 && refused.stderr.contains(told), "{refused:?}");
    let talked = muster(&["list", "--orchestrator", &land.land.source.address, "--tls", &land.of("alice")]);
    let told = "that of muster://worker/paris, and not that of an orchestrator";
    assert!(talked.code == 1 && talked.stderr.contains(told), "{talked:?}");
}

#[test]
fn a_daemon_shows_its_own_certificate_and_nobody_elses() {
    let land = Secured::with_fleet(2);
    let (ledger, sim) = (land.of("another-ledger"), format!("sim:{}", land.land.world.address));
    let worker = ["worker", "--site", "berlin", "--listen", "127.0.0.1:0", "--ledger", &ledger, "--hypervisor", &sim];
    let journal = land.of("another-journal");
    let orchestrator =
        ["orchestrator", "--listen", "127.0.0.1:0", "--journal", &journal, "--site", "paris=127.0.0.1:1"];
    for (daemon, certificate) in
        [(&worker[..], "paris"), (&worker, "alice"), (&orchestrator, "berlin"), (&orchestrator, "bob")]
    {
        let refused = muster(&[daemon, &["--tls", &land.of(certificate)]].concat());
        assert!(refused.code == 2 && refused.stderr.contains("is the certificate of"), "{certificate}: {refused:?}");
    }
    assert!(!Path::new(&ledger).exists() && !Path::new(&journal).exists(), "refused, and yet begun");
}

#[test]
fn a_daemon_listens_elsewhere_only_with_certificates_and_says_what_is_wrong_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| of(&directory, name);
    done(muster(&["pki", "init", &file("authority")]));
    done(issue(&directory, "authority", "main", &["orchestrator", "main"]));
    let journal = file("journal");
    let everywhere = [
        "orchestrator",
        "--listen",
        "0.0.0.0:0",
        "--journal",
        &journal,
        "--site",
        "paris=127.0.0.1:1",
        "--stop-with-stdin",
    ];
    let refused = muster(&everywhere);
    assert!(refused.code == 2 && refused.stderr.contains("--tls DIRECTORY"), "{refused:?}");
    assert!(!Path::new(&journal).exists(), "it was refused, and made a journal all the same");
    let served = muster(&[&everywhere[..], &["--tls", &file("main")]].concat());
    assert!(served.code == 0 && served.stdout.contains("listening on 0.0.0.0:"), "{served:?}");

    let wrong = |tls: &str, told: &str| {
        let refused = muster(&["list", "--tls", tls]);
        assert!(refused.code == 2 && refused.stderr.contains(told), "{told}: {refused:?}");
    };
    wrong(&file("nowhere"), "can't be read");
    let key = file("main/tls.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    wrong(&file("main"), "may be read by everybody");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::copy(file("authority/ca.key"), &key).unwrap();
    wrong(&file("main"), "issue it anew");
    std::fs::write(file("main/tls.crt"), "nothing").unwrap();
    wrong(&file("main"), "holds no certificate in PEM");
}

#[test]
fn certificates_are_made_once_shown_and_warned_of_before_they_expire() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| of(&directory, name);
    done(muster(&["pki", "init", &file("authority")]));
    let again = muster(&["pki", "init", &file("authority")]);
    assert!(again.code == 2 && again.stderr.contains("stands there already"), "{again:?}");
    done(issue(
        &directory,
        "authority",
        "bob",
        &["operator", "bob", "--site", "paris", "--tag", "team:a", "--days", "5"],
    ));
    let again = issue(&directory, "authority", "bob", &["operator", "bob"]);
    assert!(again.code == 2 && again.stderr.contains("--renew"), "{again:?}");
    let shown = done(muster(&["pki", "show", &file("bob"), "--output", "json"]));
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["identity"], "muster://operator/bob?site=paris&tag=team:a");
    let warned = muster(&["list", "--orchestrator", "127.0.0.1:1", "--tls", &file("bob")]);
    assert!(warned.stderr.contains("expires soon"), "{warned:?}");
    done(issue(&directory, "authority", "bob", &["operator", "bob", "--renew"]));
    let quiet = muster(&["list", "--orchestrator", "127.0.0.1:1", "--tls", &file("bob")]);
    assert!(!quiet.stderr.contains("expires soon"), "{quiet:?}");
    for wrong in [
        &["operator", "bob", "--address", "10.0.0.1"][..],
        &["worker", "paris", "--site", "paris"],
        &["worker", "paris", "--address", "http://x"],
        &["worker", "../paris"],
        &["operator", "bob", "--tag", "a&site=rome"],
    ] {
        let refused = issue(&directory, "authority", "wrong", wrong);
        assert_eq!(refused.code, 2, "{wrong:?}: {refused:?}");
        assert!(!Path::new(&file("wrong")).exists(), "{wrong:?} left something");
    }
}

#[test]
fn a_renewed_certificate_is_taken_over_while_the_daemon_runs() {
    let land = Secured::with_fleet(2);
    // From now on an authority counts that the daemons have not begun with, and the old one as well until all have changed over.
    done(muster(&["pki", "init", &land.of("next")]));
    let next = std::fs::read_to_string(land.of("next/ca.crt")).unwrap();
    done(issue(&land.land.directory, "next", "carol", &["viewer", "carol"]));
    let strange = land.ask("carol", &["list"]);
    assert_eq!(strange.code, 1, "{strange:?}");
    let trusted = Path::new(&land.of("main")).join("ca.crt");
    let old = std::fs::read_to_string(&trusted).unwrap();
    std::fs::write(&trusted, format!("{old}{next}")).unwrap();
    std::fs::write(Path::new(&land.of("carol")).join("ca.crt"), format!("{next}{old}")).unwrap();
    until("the new authority", || land.ask("carol", &["list"]).code == 0);
    // What can't be used changes nothing.
    std::fs::write(&trusted, "nothing").unwrap();
    looked_at_once_more();
    done(land.ask("carol", &["list"]));
}

#[test]
fn a_role_counts_at_its_sites_and_for_its_tags_alone() {
    let land = Secured::with_fleet(4);
    let runbook = land.runbook();
    let denied = |who: &str, arguments: &[&str], told: &str| {
        let refused = land.ask(who, arguments);
        assert!(refused.code == 4 && refused.stderr.contains(told), "{who} {arguments:?}: {refused:?}");
    };
    denied("rome", &["evacuate", &runbook], "doesn't reach site paris");
    denied("rome", &["check", &runbook], "doesn't reach site paris");
    denied("web", &["evacuate", &runbook], "none of the tags");
    denied("eve", &["evacuate", &runbook], "it takes the role of operator");
    land.evacuate("both");
    denied("rome", &["status"], "doesn't reach site");
    denied("rome", &["audit"], "limited to sites or tags");
    denied("web", &["cancel"], "some carry none of its tags");
    let shown = |who: &str, arguments: &[&str]| -> Value {
        let ran = done(land.ask(who, &[arguments, &["--output", "json"]].concat()));
        serde_json::from_str(&ran.stdout).unwrap()
    };
    assert_eq!(shown("rome", &["list"])["evacuations"].as_array().unwrap().len(), 0);
    assert_eq!(shown("both", &["list"])["evacuations"].as_array().unwrap().len(), 1);
    assert_eq!(shown("web", &["status"])["moves"].as_array().unwrap().len(), 0, "no VM carries the tag");
    assert_eq!(shown("eve", &["status"])["moves"].as_array().unwrap().len(), 4);
}
