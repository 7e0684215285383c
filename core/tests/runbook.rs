//! Runbooks: the example parses, every mistake is reported at once and in its place.

use muster_core::guardian::Guardian;
use muster_core::ids::VmId;
use muster_core::ladder::Ladder;
use muster_core::runbook::selection::{Chosen, Turn};
use muster_core::runbook::{
    ColdStartPolicy, Deadlines, FailureBudget, Limits, MISTAKES_MAX, Mistake, ModeChoice, ONLY_WAVE, RUNBOOK_MAX_BYTES,
    Retry, Runbook,
};
use muster_core::time::Timestamp;

const EXAMPLE: &str = include_str!("../../examples/evacuate.toml");

const MINIMAL: &str = "name = \"n\"\nsource.site = \"a\"\ndestination.site = \"b\"\n";

fn mistakes(text: &str) -> Vec<Mistake> {
    Runbook::parse(text).expect_err("it has mistakes")
}

/// The mistakes of a runbook that is right but for `rest`, which begins on line 4.
fn mistakes_of(rest: &str) -> Vec<String> {
    mistakes(&format!("{MINIMAL}{rest}")).iter().map(ToString::to_string).collect()
}

const PAIR: &str = "hands_off = \"x\"\ngive_back = \"y\"\n";

/// A runbook's rest with a guardian "ha" that has these lines.
fn guardian(lines: &str) -> String {
    format!("select = [{{ all = true }}]\n[[guardian]]\nname = \"ha\"\n{lines}")
}

fn parse(rest: &str) -> Runbook {
    Runbook::parse(&format!("{MINIMAL}{rest}")).expect("it has no mistakes")
}

#[test]
fn the_documented_example_parses() {
    let runbook = Runbook::parse(EXAMPLE).expect("the example is right");
    assert_eq!(runbook.name, "leave-hamburg");
    assert_eq!((runbook.source.as_str(), runbook.destination.as_str()), ("hamburg", "berlin"));
    let names: Vec<&str> = runbook.waves.iter().map(|wave| wave.name.as_str()).collect();
    assert_eq!(names, ["databases", "everything else"]);
    assert_eq!(runbook.waves[0].selections[0].mode, ModeChoice::Live);
    assert_eq!(runbook.waves[0].selections[1].mode, ModeChoice::Cold);
    assert_eq!(runbook.waves[1].selections[0].chosen, Chosen::All);
    assert!(runbook.waves[1].selections[0].except.waves.contains(&0));
    let usual = Limits {
        per_storage: Some(4),
        source_host_mbit_s: Some(10_000),
        destination_host_mbit_s: Some(10_000),
        stream_mbit_s: Some(5_000),
        ..Limits::default()
    };
    assert_eq!(runbook.limits, usual, "the example says that the others are the defaults");
    let links: Vec<(&str, u64, u32)> =
        runbook.links.iter().map(|link| (link.name.as_str(), link.mbit_s, link.at_once)).collect();
    assert_eq!(links, [("hamburg-berlin", 20_000, 4), ("rack 1", 10_000, 2)]);
    let turn = &runbook.waves[0].selections[0].turn;
    assert_eq!((turn.priority, turn.value, turn.group.as_deref()), (10, 100, Some("databases")));
    assert_eq!(runbook.waves[0].selections[0].apart.as_deref(), Some("databases"));
    assert_eq!(runbook.waves[0].selections[1].turn.after, ["databases"]);
    // 2026-12-04T20:00:00Z is a Friday: moves may begin at once.
    let start = Timestamp(1_796_414_400_000);
    assert_eq!((runbook.calendar.start_at, runbook.calendar.opens_at(Timestamp(0))), (Some(start), Some(start)));
    assert_eq!(runbook.deadline_at, Some(Timestamp(1_796_623_200_000)));
    assert_eq!((runbook.calendar.windows.len(), runbook.calendar.lockouts.len()), (1, 1));
    assert_eq!(runbook.retry, Retry::default(), "the example says that these are the defaults");
    assert_eq!(runbook.failure_budget, FailureBudget::Percent(5));
    assert_eq!(runbook.deadlines.transfer_ms, Some(3_600_000));
    let usual = Deadlines { transfer_ms: runbook.deadlines.transfer_ms, ..Deadlines::default() };
    assert_eq!(
        (runbook.deadlines, &runbook.ladder),
        (usual, &Ladder::default()),
        "the example says that these are the defaults"
    );
    assert_eq!((runbook.transfer.bandwidth_mib_s, runbook.transfer.connections), (Some(500), Some(4)));
    assert!(runbook.transfer.needs_tls);
    let guardian = runbook.guardian("pacemaker").expect("the example deals with one");
    assert_eq!((guardian.hands_off.as_str(), guardian.give_back.as_str()), ("pacemaker-unmanage", "pacemaker-manage"));
    assert_eq!(guardian.timeout_ms, Guardian::TIMEOUT_MS, "the example says that this is the default");
    assert_eq!(runbook.retention.retired_copies_ms, Some(604_800_000));
}

#[test]
fn a_minimal_runbook_has_one_wave_and_the_defaults() {
    let runbook = parse("[[select]]\nall = true\n");
    assert_eq!(runbook.waves.len(), 1);
    assert_eq!(runbook.waves[0].name, ONLY_WAVE);
    assert_eq!(runbook.waves[0].selections[0].mode, ModeChoice::Auto);
    assert_eq!(runbook.failure_budget, FailureBudget::Unlimited);
    assert_eq!(runbook.recovery.cold_start, ColdStartPolicy::Never);
    assert_eq!(runbook.deadlines.transfer_ms, None);
    assert_eq!(runbook.guardians, []);
    assert_eq!(runbook.retention.retired_copies_ms, None);
}

#[test]
fn inline_selections_are_the_same_as_sections() {
    let inline = parse("wave = [{ name = \"w\", select = [{ tags = [\"t\"], mode = \"off\" }] }]\n");
    let sections = parse("[[wave]]\nname = \"w\"\n[[wave.select]]\ntags = [\"t\"]\nmode = \"off\"\n");
    assert_eq!(inline, sections);
}

#[test]
fn per_site_follows_total() {
    let limits = parse("[limits]\ntotal = 50\n[[select]]\nall = true\n").limits;
    assert_eq!((limits.total, limits.per_site), (50, 50));
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_the_file() {
    let text = r#"nme = "x"
[source]
site = "a b"
[[wave]]
name = "first"
[[wave.select]]
names = []
[[wave.select]]
tags = ["x"]
mode = "hot"
[[wave]]
name = "first"
[[wave.select]]
all = true
except = { waves = ["frist"] }
[limts]
total = 1
[retry]
attempts = 11
jitter = "yes"
[failure_budget]
moves = 1
percent = 2
"#;
    let found: Vec<(usize, usize, String)> =
        mistakes(text).into_iter().map(|mistake| (mistake.line, mistake.column, mistake.what)).collect();
    let expected = [
        (1, 1, "the runbook has no \"destination\""),
        (1, 1, "the runbook has no \"name\""),
        (1, 1, "unknown key \"nme\" in the runbook"),
        (3, 8, "\"a b\" is not a site's name"),
        (7, 9, "\"names\" in [[wave.select]] 1 is an empty list"),
        (10, 8, "unknown mode \"hot\""),
        (12, 8, "a second wave is named \"first\""),
        (15, 21, "no earlier wave is named \"frist\""),
        (16, 2, "unknown key \"limts\" in the runbook"),
        (19, 12, "\"attempts\" is 11, which is out of range"),
        (20, 10, "\"jitter\" in [retry] is a string"),
        (23, 1, "\"moves\" and \"percent\" both stand in [failure_budget]"),
    ];
    let expected: Vec<(usize, usize, String)> =
        expected.into_iter().map(|(line, column, what)| (line, column, what.to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn mistakes_say_what_was_meant() {
    let limits = mistakes_of("[[select]]\nall = true\n[limits]\nper_sit = 1\n");
    assert_eq!(limits, ["line 7, column 1: unknown key \"per_sit\" in [limits]; did you mean \"per_site\"?"]);
    let wave = mistakes_of(
        "[[wave]]\nname = \"one\"\nselect = [{ all = true }]\n[[wave]]\nname = \"two\"\nselect = [{ all = true, except = { waves = [\"oen\"] } }]\n",
    );
    assert_eq!(wave, ["line 9, column 45: no earlier wave is named \"oen\"; did you mean \"one\"?"]);
    let itself = mistakes_of("[[wave]]\nname = \"one\"\nselect = [{ all = true, except = { waves = [\"one\"] } }]\n");
    assert!(itself[0].contains("only waves further up"), "{itself:?}");
}

#[test]
fn each_of_these_is_one_mistake() {
    let long_list = (0..=256).map(|n| format!("\"a{n}*\"")).collect::<Vec<_>>().join(",");
    let cases = [
        ("", "the runbook has no \"select\""),
        ("[[select]]\n", "selects nothing"),
        ("[[select]]\nall = false\n", "all = false selects nothing"),
        ("[[select]]\nall = true\ntags = [\"a\"]\n", "all = true beside \"tags\""),
        ("[[select]]\nall = 1\n", "\"all\" in [[select]] 1 is an integer"),
        ("[[select]]\nnames = \"a\"\n", "\"names\" in [[select]] 1 is a string"),
        ("[[select]]\nnames = [\"a\", 1]\n", "an entry of \"names\" is an integer"),
        ("[[select]]\nnames = [\"a\", \"a\"]\n", "stands twice"),
        ("[[select]]\nnames = [\"a/b*\"]\n", "can't match anything"),
        ("[[select]]\nhosts = [\"rack 7\"]\n", "can't match anything"),
        ("[[select]]\nids = [\"7\"]\n", "is not a UUID"),
        ("[[select]]\nall = true\ndestination_hosts = []\n", "is an empty list"),
        ("[[select]]\nall = true\nexcept = {}\n", "is empty"),
        ("[[select]]\nall = true\nexcept = { names = [\"*\"] }\n", "excepts all that it selects"),
        ("[[select]]\ntags = [\"a\"]\nexcept = { tags = [\"b\", \"a\"] }\n", "excepts all that it selects"),
        ("[[select]]\nall = true\nexcept = [\"a\"]\n", "\"except\" in [[select]] 1 is an array"),
        ("[select]\nall = true\n", "\"select\" in the runbook is a table"),
        ("select = []\n", "\"select\" is empty"),
        ("wave = []\n", "\"wave\" is an empty list"),
        ("wave = [1]\n", "an entry of \"wave\" is an integer"),
        ("[[wave]]\nname = \"a\"\n", "has no \"select\""),
        ("[[wave]]\nselect = [{ all = true }]\n", "has no \"name\""),
        ("[[wave]]\nname = \" \"\nselect = [{ all = true }]\n", "\"name\" is empty"),
        ("select = [{ all = true }]\n[[wave]]\nname = \"a\"\nselect = [{ tags = [\"b\"] }]\n", "beside [[wave]]"),
        ("select = [{ all = true }]\nlimits = 1\n", "\"limits\" in the runbook is an integer"),
        ("select = [{ all = true }]\n[limits]\ntotal = 0\n", "out of range"),
        ("select = [{ all = true }]\n[limits]\ntotal = -1\n", "\"total\" is -1"),
        ("select = [{ all = true }]\n[limits]\ntotal = 1.5\n", "\"total\" in [limits] is a float"),
        ("select = [{ all = true }]\n[retry]\nattempts = 0\n", "out of range"),
        ("select = [{ all = true }]\n[retry]\nbackoff_ms = 500\nbackoff_max_ms = 400\n", "below the first wait"),
        ("select = [{ all = true }]\n[failure_budget]\n", "[failure_budget] is empty"),
        ("select = [{ all = true }]\n[failure_budget]\npercent = 101\n", "out of range"),
        ("select = [{ all = true }]\n[recovery]\ncold_start = \"always\"\n", "unknown cold_start"),
        ("select = [{ all = true }]\n[deadlines]\nhandover_ms = 99\n", "out of range"),
        ("select = [{ all = true }]\n[deadlines]\nsetup_ms = 99\n", "out of range"),
        ("select = [{ all = true }]\n[retention]\nretired_copies_ms = 999\n", "out of range"),
        ("select = [{ all = true }]\n[retention]\nretired_copies_ms = 315_360_000_001\n", "out of range"),
        ("select = [{ all = true }]\n[retention]\nretired_copies = 1_000\n", "did you mean \"retired_copies_ms\"?"),
        ("select = [{ all = true }]\n[transfer]\nbandwidth_mib_s = 0\n", "out of range"),
        ("select = [{ all = true }]\n[transfer]\nconnections = 65\n", "out of range"),
        ("select = [{ all = true }]\n[transfer]\ntls = false\n", "no runbook can take TLS away"),
        ("select = [{ all = true }]\n[transfer]\nbandwidth_mibs = 1\n", "did you mean \"bandwidth_mib_s\"?"),
        ("select = [{ all = true }]\n[ladder]\ndowntimes_ms = 500\n", "has to be a list of whole numbers"),
        ("select = [{ all = true }]\n[ladder]\ndowntimes_ms = [500, \"x\"]\n", "is no whole number in its range"),
        ("select = [{ all = true }]\n[ladder]\ndowntimes_ms = [500, 500]\n", "make each longer"),
        ("select = [{ all = true }]\n[ladder]\nauto_converge = \"yes\"\n", "unknown auto_converge"),
        ("select = [{ all = true }]\n[ladder]\nstalled_rounds = 1\n", "out of range"),
        ("select = [{ all = true }]\ndescription = \"\\u0007\"\n", "control characters"),
        (&format!("select = [{{ names = [{long_list}] }}]\n"), "257 entries with a '*'"),
    ];
    each_is_one(&cases);
}

#[test]
fn each_of_these_is_one_mistake_about_a_guardian() {
    let cases = [
        ("select = [{ all = true }]\nguardian = 1\n", "\"guardian\" in the runbook is an integer"),
        ("select = [{ all = true }]\n[guardian]\nname = \"a\"\n", "\"guardian\" in the runbook is a table"),
        ("select = [{ all = true }]\nguardian = [7]\n", "an entry of \"guardian\" is an integer"),
        (&guardian("hands_off = \"x\"\n"), "[[guardian]] 1 has no \"give_back\""),
        (&guardian("give_back = \"x\"\n"), "[[guardian]] 1 has no \"hands_off\""),
        (&guardian("hands_off = \"x\"\ngive_back = \"/bin/x\"\n"), "\"/bin/x\" is not a command's name"),
        (&guardian("hands_off = \"../x\"\ngive_back = \"x\"\n"), "\"../x\" is not a command's name"),
        (&guardian("hands_off = [\"x\"]\ngive_back = \"x\"\n"), "\"hands_off\" in [[guardian]] 1 is an array"),
        (&guardian("hands_off = \"x\"\ngive_back = \"x\"\ntimeout_ms = 99\n"), "out of range"),
        (&guardian("hands_off = \"x\"\ngive_back = \"x\"\ntimeout_ms = 3600001\n"), "use 100 to 3600000"),
        (&guardian("hands_off = \"x\"\ngive_bak = \"x\"\ngive_back = \"x\"\n"), "did you mean \"give_back\"?"),
        (&guardian(&format!("{PAIR}[[guardian]]\nname = \"ha\"\n{PAIR}")), "a second guardian is named \"ha\""),
        (&guardian(PAIR).replace("\"ha\"", "\"h\\na\""), "\"name\" goes over several lines"),
        ("select = [{ all = true }]\n[[guardian]]\nhands_off = \"x\"\ngive_back = \"x\"\n", "has no \"name\""),
    ];
    each_is_one(&cases);
}

fn each_is_one(cases: &[(&str, &str)]) {
    for (rest, expected) in cases {
        let found = mistakes_of(rest);
        assert_eq!(found.len(), 1, "{rest}\n{found:#?}");
        assert!(found[0].contains(expected), "{rest}\n{found:#?}");
    }
}

#[test]
fn a_guardian_s_mistakes_are_told_at_their_places() {
    let found = mistakes_of(&guardian("hands_off = \"/usr/bin/x\"\ntimeout_ms = \"1\"\nshell = true\n"));
    let begins: Vec<&str> = found.iter().map(|mistake| mistake.split(':').next().unwrap_or_default()).collect();
    // The section itself, then each value in its line.
    let places = ["line 5, column 1", "line 7, column 13", "line 8, column 14", "line 9, column 1"];
    assert_eq!(begins, places, "{found:#?}");
}

#[test]
fn guardians_are_read_in_any_form() {
    let runbook = parse(&guardian(&format!("{PAIR}timeout_ms = 5_000\n")));
    assert_eq!((runbook.guardians.len(), runbook.guardians[0].timeout_ms), (1, 5_000));
    assert_eq!(runbook.guardian("other"), None);
    let inline = "select = [{ all = true }]\nguardian = [{ name = \"ha\", hands_off = \"x\", give_back = \"y\", timeout_ms = 5_000 }]\n";
    assert_eq!(parse(inline), runbook);
}

#[test]
fn a_move_within_one_site_is_refused() {
    let text = "name = \"n\"\nsource.site = \"a\"\ndestination.site = \"a\"\n[[select]]\nall = true\n";
    let found = mistakes(text);
    assert_eq!((found.len(), found[0].line, found[0].column), (1, 3, 20), "{found:?}");
}

#[test]
fn what_is_not_toml_is_one_mistake_with_its_place() {
    for (text, line, column, what) in [
        ("name = \"n\"\nname = \"m\"\n", 2, 1, "duplicate key: \"name\""),
        ("name = \"n\"\nlimits = [1,\n", 2, 13, "unclosed array"),
        ("\n  name\n", 2, 7, "key with no value"),
    ] {
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].line, found[0].column), (line, column), "{found:?}");
        assert!(found[0].what.contains(what), "{found:?}");
    }
}

#[test]
fn what_comes_in_is_bounded() {
    assert_eq!(mistakes(&"#".repeat(RUNBOOK_MAX_BYTES + 1)).len(), 1);
    let many: String = (0..5 * MISTAKES_MAX).map(|n| format!("x{n} = 1\n")).collect();
    assert_eq!(mistakes(&many).len(), MISTAKES_MAX + 1);
    let deep = format!("x = {}", "[".repeat(100_000));
    assert!(!mistakes(&deep).is_empty());
    let waves = "[[wave]]\nname = \"a\"\nselect = [{ all = true }]\n".repeat(101);
    assert!(mistakes_of(&waves).iter().any(|mistake| mistake.contains("101 waves")));
    let guardians: String =
        (0..=Guardian::COUNT_MAX).map(|n| format!("[[guardian]]\nname = \"{n}\"\n{PAIR}")).collect();
    let found = mistakes_of(&format!("select = [{{ all = true }}]\n{guardians}"));
    assert!(found.iter().any(|mistake| mistake.contains("65 guardians")), "{found:?}");
}

/// Whatever is thrown at it, it answers, and never with an empty list.
#[test]
fn mangled_runbooks_are_answered() {
    let mut seed = 7_u64;
    for _ in 0..3_000 {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (seed >> 33) as usize % bytes.len();
            bytes[place] = b"\"[]{}=.,*x1\n "[(seed >> 20) as usize % 13];
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Err(mistakes) = Runbook::parse(&text) {
            assert!(!mistakes.is_empty(), "{text}");
            let lines = text.lines().count() + 1;
            assert!(mistakes.iter().all(|mistake| (1..=lines).contains(&mistake.line) && mistake.column >= 1));
        }
    }
}

#[test]
fn backoff_doubles_to_its_ceiling_and_jitter_at_most_halves_it() {
    let steady = Retry { attempts: 10, backoff_ms: 100, backoff_max_ms: 1_000, jitter: false };
    let waits: Vec<u64> = (1..=6).map(|failed| steady.backoff_after_ms(failed, 99)).collect();
    assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
    assert_eq!(steady.backoff_after_ms(u32::MAX, 0), 1_000);
    let jittered = Retry { jitter: true, ..steady };
    let spread: Vec<u64> = (0..1_000).map(|dice| jittered.backoff_after_ms(1, dice)).collect();
    assert!(spread.iter().all(|wait| (50..=100).contains(wait)));
    assert!(spread.contains(&50) && spread.contains(&100));
}

#[test]
fn a_failure_budget_is_overdrawn_by_one_more_than_it_allows() {
    assert!(!FailureBudget::Unlimited.is_overdrawn(usize::MAX, 1));
    assert!(!FailureBudget::Moves(2).is_overdrawn(2, 10) && FailureBudget::Moves(2).is_overdrawn(3, 10));
    assert!(!FailureBudget::Percent(10).is_overdrawn(1, 19) && FailureBudget::Percent(10).is_overdrawn(2, 19));
    assert!(FailureBudget::Percent(0).is_overdrawn(1, 1_000));
}

#[test]
fn ids_are_selected_by() {
    let id: VmId = "6ba7b810-9dad-41d1-80b4-00c04fd430c8".parse().expect("a UUID");
    let runbook = parse(&format!("[[select]]\nids = [\"{id}\"]\n"));
    match &runbook.waves[0].selections[0].chosen {
        Chosen::Matching(criteria) => assert!(criteria.ids.as_ref().is_some_and(|ids| ids.contains(&id))),
        Chosen::All => panic!("it selects one VM"),
    }
}

const ALL: &str = "select = [{ all = true }]\n";

#[test]
fn what_says_nothing_of_turns_and_ways_has_none() {
    let runbook = parse("[[select]]\nall = true\n");
    assert_eq!((runbook.links.len(), runbook.deadline_at, runbook.calendar), (0, None, Default::default()));
    assert_eq!(runbook.waves[0].selections[0].turn, Turn::default());
}

#[test]
fn links_that_can_not_be_are_refused() {
    let links = |lines: &str| mistakes_of(&format!("{ALL}{lines}"));
    let expected =
        ["line 5, column 1: [[link]] 1 has no \"mbit_s\"; add mbit_s: what it carries, in megabits per second"];
    assert_eq!(links("[[link]]\nname = \"wan\"\n"), expected);
    let twice = "[[link]]\nname = \"wan\"\nmbit_s = 1\n";
    assert_eq!(
        links(&twice.repeat(2)),
        ["line 9, column 8: a second link is named \"wan\"; give each link its own name"]
    );
    let wrong = links("[[link]]\nname = \"wan\"\nmbit_s = 0\nat_once = 1001\nsource_hosts = [\"a b\"]\n");
    assert_eq!(wrong.len(), 3, "{wrong:#?}");
}

#[test]
fn schedules_that_can_not_be_are_refused() {
    let schedule = |lines: &str| mistakes_of(&format!("{ALL}[schedule]\n{lines}"));
    for (lines, what) in [
        ("start_at = 2026-12-01T22:00:00\n", "\"start_at\" in [schedule] is a datetime"),
        ("start_at = \"22:00\"\n", "\"start_at\" in [schedule] is a string"),
        ("start_at = 1969-12-31T23:00:00Z\n", "\"start_at\" lies before 1970"),
        ("start_at = 2026-12-01T22:00:00Z\ndeadline = 2026-12-01T23:00:00+02:00\n", "\"deadline\" is not later"),
        ("window = [{ from = 22:00:00 }]\n", "has no \"until\""),
        ("window = [{ from = 22:00:00, until = 05:00:00, days = [\"monday\"] }]\n", "\"monday\" is no day"),
        ("window = [{ from = 2026-12-01T22:00:00Z, until = 05:00:00 }]\n", "\"from\" in"),
        ("lockout = [{ from = 2026-12-01T22:00:00Z, until = 2026-12-01T22:00:00Z }]\n", "ends before it begins"),
    ] {
        let found = schedule(lines);
        assert!(found.len() == 1 && found[0].contains(what), "{lines}: {found:#?}");
    }
}

#[test]
fn groups_are_named_before_somebody_waits_for_them() {
    let select = |first: &str, second: &str, third: &str| {
        let selection = |lines: &str| format!("[[select]]\nnames = [\"x\"]\n{lines}\n");
        mistakes_of(&[first, second, third].map(selection).concat())
    };
    let right =
        "[[select]]\nnames = [\"x\"]\ngroup = \"db\"\n[[select]]\nnames = [\"y\"]\nafter = [\"db\"]\ngroup = \"web\"\n";
    assert_eq!(parse(right).waves[0].selections[1].turn.after, ["db"]);
    for (first, second, third, what) in [
        ("after = [\"db\"]", "group = \"db\"", "", "no selection further up has the group \"db\""),
        ("group = \"db\"", "after = [\"db\"]\ngroup = \"db\"", "", "comes after its own group \"db\""),
        ("group = \"db\"", "after = [\"db\"]", "group = \"db\"", "waits for all of it"),
        ("group = \"db\"", "after = [\"db\", \"db\"]", "", "names \"db\" twice"),
        ("priority = 1001", "", "", "\"priority\" is 1001"),
    ] {
        let found = select(first, second, third);
        assert!(found.len() == 1 && found[0].contains(what), "{first}, {second}, {third}: {found:#?}");
    }
}
