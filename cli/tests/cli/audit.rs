//! The audit trail as a person keeps it: listed, exported, held against a head that was kept elsewhere.

use crate::site::{ALL, Land};
use crate::support::{Ran, muster};
use serde_json::Value;

/// How many bytes lie between two places of an export that are changed: a prime, so that every field comes up.
const STRIDE_BYTES: usize = 211;

/// What "muster audit verify" says is wrong, and where.
fn fault(ran: &Ran) -> (String, u64) {
    assert_eq!(ran.code, 5, "{ran:?}");
    let verified: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let fault = &verified["fault"];
    (fault["kind"].as_str().unwrap().to_owned(), fault["sequence"].as_u64().unwrap())
}

#[test]
fn the_trail_is_exported_and_every_change_to_it_is_found() {
    let mut land = Land::with_fleet(4, 50);
    let watched = land.ask(&["evacuate", &land.runbook(ALL), "--watch", "--by", "ada"]);
    assert_eq!(watched.code, 0, "{watched:?}");
    let listed = land.json(&["audit", "--by", "ada", "--record", "ordered"]);
    let [ordered] = listed["lines"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert!(ordered["origin"].as_str().unwrap().starts_with("127.0.0.1:"), "{ordered}");
    assert_eq!(ordered["request_id"].as_str().unwrap().len(), 36, "{ordered}");

    let head = land.ask(&["audit", "head"]).stdout.trim().to_owned();
    let newest = land.json(&["audit", "head"]);
    assert_eq!(newest["head"], head.as_str());
    let count = newest["sequence"].as_u64().unwrap();
    let whole = land.ask(&["audit", "verify", "--against", &head]);
    assert_eq!(whole.code, 0, "{whole:?}");
    assert!(whole.stdout.contains(&format!("{count} lines are whole; the head is {head}")), "{whole:?}");
    let beyond = format!("{}:{}", count + 2, newest["link"].as_str().unwrap());
    let cut_off = land.ask(&["audit", "verify", "--against", &beyond, "--output", "json"]);
    assert_eq!(fault(&cut_off), ("cut_off".to_owned(), count + 1));

    let file = |name: &str| land.directory.path().join(name).to_str().unwrap().to_owned();
    let (export, changed) = (file("export.jsonl"), file("changed.jsonl"));
    let told = land.ask(&["audit", "export", "--to", &export]);
    assert_eq!((told.code, told.stderr.contains(&format!("{count} lines are exported"))), (0, true), "{told:?}");
    assert_eq!(land.ask(&["audit", "export", "--to", &export]).code, 1, "an export that is there was overwritten");
    let good = std::fs::read(&export).unwrap();
    assert_eq!(land.ask(&["audit", "export"]).stdout.as_bytes(), good);
    let verify = |path: &str, more: &[&str]| {
        muster(&[&["audit", "verify", "--output", "json", "--export", path], more].concat())
    };
    assert_eq!(verify(&export, &["--against", &head]).code, 0);

    // One character after the other.
    for at in (0..good.len()).step_by(STRIDE_BYTES) {
        let mut bad = good.clone();
        bad[at] = if bad[at] == b'x' { b'y' } else { b'x' };
        std::fs::write(&changed, &bad).unwrap();
        let line = good[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let ran = verify(&changed, &[]);
        let (kind, sequence) = fault(&ran);
        // A change to a line's own number reads as a gap before it.
        assert!(kind == "changed" || kind == "gap", "at {at}: {ran:?}");
        assert_eq!(sequence, line, "at {at}: {ran:?}");
    }
    // What a link doesn't cover, since it follows from what it does.
    let text = String::from_utf8(good.clone()).unwrap();
    let lied = text.replacen("\"outcome\":\"migrated\"", "\"outcome\":\"stayed_at_source\"", 1);
    assert_ne!(lied, text);
    std::fs::write(&changed, lied).unwrap();
    assert_eq!(fault(&verify(&changed, &[])).0, "changed");
    // A line taken out, two swapped, and the last one cut off.
    let lines: Vec<&str> = text.lines().collect();
    let write = |lines: Vec<&str>| std::fs::write(&changed, lines.join("\n") + "\n").unwrap();
    write([&lines[..4], &lines[5..]].concat());
    assert_eq!(fault(&verify(&changed, &[])), ("gap".to_owned(), 5));
    write([&lines[..4], &[lines[5], lines[4]], &lines[6..]].concat());
    assert_eq!(fault(&verify(&changed, &[])), ("gap".to_owned(), 5));
    write(lines[..lines.len() - 1].to_vec());
    assert_eq!(verify(&changed, &[]).code, 0, "without a head nobody can tell");
    assert_eq!(fault(&verify(&changed, &["--against", &head])), ("cut_off".to_owned(), count));

    let part = file("part.jsonl");
    assert_eq!(land.ask(&["audit", "export", "--record", "settled", "--to", &part]).code, 0);
    assert_eq!(fault(&verify(&part, &[])).0, "gap", "a part of a trail can't be verified by itself");
    let table = land.ask(&["audit", "export", "--format", "csv"]).stdout;
    assert!(table.starts_with("sequence,at_ms,at,by,origin,"), "{table}");
    assert_eq!(table.matches("\r\n").count() as u64, count + 1);

    // The journal's file itself, while it is written and after.
    let journal = file("journal");
    let of_file =
        |against: &str| muster(&["audit", "verify", "--output", "json", "--journal", &journal, "--against", against]);
    assert_eq!(of_file(&head).code, 0);
    land.orchestrator.kill();
    assert_eq!(of_file(&head).code, 0);
    let genesis = text.lines().next().map(|line| serde_json::from_str::<Value>(line).unwrap()["link"].clone()).unwrap();
    let another = format!("{count}:{}", genesis.as_str().unwrap());
    assert_eq!(fault(&of_file(&another)), ("another_head".to_owned(), count));
}
