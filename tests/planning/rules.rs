//! What a timetable has to keep: each rule alone, in a problem where breaking it would end earlier.

use super::{a_move, gbit, problem, steps};
use muster_core::timetable::{
    Bottleneck, Bound, Host, Link, Problem, ProblemError, SECOND_NS, Task, Timetable, plan, repair,
};
use muster_tests::planning::check::check;

fn planned(problem: &Problem) -> Timetable {
    let timetable = plan(problem, None, 1, &mut steps(200));
    check(problem, &timetable, None).unwrap();
    timetable
}

fn seconds(timetable: &Timetable, problem: &Problem) -> u64 {
    timetable.makespan_ns(problem) / SECOND_NS
}

#[test]
fn a_link_carries_what_it_can_and_no_more() {
    let three = |rate| (0..3).map(|host| Task { rate_bit_s: gbit(rate), ..a_move(host, 3, &[3], 10) }).collect();
    for (rate, expected) in [(10, 30), (5, 20), (3, 10)] {
        let problem = problem(4, three(rate));
        assert_eq!(seconds(&planned(&problem), &problem), expected, "at {rate} Gbit/s");
    }
}

#[test]
fn waves_and_order_are_kept_and_what_is_urgent_goes_first() {
    let waves = problem(4, vec![a_move(0, 2, &[0, 2], 10), Task { wave: 7, ..a_move(1, 3, &[1, 3], 10) }]);
    assert_eq!(seconds(&planned(&waves), &waves), 20);
    let after = problem(4, vec![Task { after: vec![1], ..a_move(0, 2, &[0, 2], 10) }, a_move(1, 3, &[1, 3], 10)]);
    assert_eq!(planned(&after).starts_ns, [Some(10 * SECOND_NS), Some(0)]);
    // By their lengths the other would go first.
    let urgent = problem(4, vec![a_move(0, 2, &[0, 2], 20), Task { priority: 1, ..a_move(0, 3, &[0, 3], 10) }]);
    assert_eq!(planned(&urgent).starts_ns, [Some(10 * SECOND_NS), Some(0)]);
}

#[test]
fn a_host_is_waited_for_and_its_shutdown_counts() {
    let hosts = vec![
        Host { shutdown_ns: 40 * SECOND_NS, ..Host::default() },
        Host::default(),
        Host { ready_ns: 15 * SECOND_NS, ..Host::default() },
    ];
    let links = vec![Link { capacity_bit_s: gbit(10) }; 3];
    let tasks = vec![a_move(1, 2, &[2], 30), a_move(0, 2, &[2], 10)];
    let problem = Problem::new(links, hosts, tasks).unwrap();
    // The shorter goes first, since its source takes long to shut down: 15 + 10 + 40, against 15 + 30 + 10 + 40.
    assert_eq!(planned(&problem).starts_ns, [Some(25 * SECOND_NS), Some(15 * SECOND_NS)]);
    // The link: ready at 15, busy for 40, the least shutdown is none.
    let bound = Bound::of(&problem);
    assert_eq!((bound.ns, bound.bottleneck), (65 * SECOND_NS, Some(Bottleneck::Task(1))));
}

#[test]
fn memory_is_waited_for_and_what_never_fits_is_left_behind() {
    let host = |free_mib| Host { free_mib, ..Host::default() };
    let links = vec![Link { capacity_bit_s: gbit(10) }; 3];
    let tasks = || vec![a_move(0, 1, &[0], 10), a_move(1, 2, &[2], 20)];
    // Host 1 has room for what comes only once its own VM has left.
    let swap = Problem::new(links.clone(), vec![host(None), host(Some(0)), host(None)], tasks()).unwrap();
    assert_eq!(planned(&swap).starts_ns, [Some(20 * SECOND_NS), Some(0)]);
    let never = Problem::new(links, vec![host(None), host(Some(0)), host(Some(1_000))], tasks()).unwrap();
    let timetable = planned(&never);
    assert_eq!(timetable.left_behind().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_wave_does_not_wait_for_what_never_fits() {
    let hosts = vec![Host::default(), Host { free_mib: Some(1_000), ..Host::default() }, Host::default()];
    let tasks = vec![a_move(0, 1, &[0], 10), Task { wave: 1, ..a_move(0, 2, &[0], 20) }];
    let problem = Problem::new(vec![Link { capacity_bit_s: gbit(10) }], hosts, tasks).unwrap();
    assert_eq!(planned(&problem).starts_ns, [None, Some(0)]);
}

#[test]
fn by_a_deadline_the_most_valuable_go() {
    // One link, 100 s: of the long one for 10 and ten short ones for 2 each, the short ones are worth more.
    let mut tasks = vec![Task { value: 10.0, ..a_move(0, 1, &[0], 100) }];
    tasks.extend((0..10).map(|_| Task { value: 2.0, ..a_move(0, 1, &[0], 10) }));
    let problem = problem(2, tasks);
    let timetable = plan(&problem, Some(100 * SECOND_NS), 1, &mut steps(50));
    check(&problem, &timetable, Some(100 * SECOND_NS)).unwrap();
    assert_eq!(timetable.left_behind().collect::<Vec<_>>(), [0]);
    let enough = plan(&problem, Some(200 * SECOND_NS), 1, &mut steps(50));
    assert_eq!(enough.left_behind().count(), 0);
}

#[test]
fn by_a_deadline_what_is_worth_most_for_the_scarce_link_goes() {
    // Link 0 is scarce, link 1 is not: what takes much of link 1 only costs nothing.
    let mut tasks: Vec<Task> = (0..10).map(|_| Task { value: 1.0, ..a_move(0, 3, &[0], 10) }).collect();
    tasks.extend((0..5).map(|_| Task { value: 0.5, ..a_move(1, 3, &[1], 20) }));
    tasks.push(Task { value: 9.0, ..a_move(0, 3, &[0], 30) });
    let problem = problem(4, tasks);
    let deadline_ns = 100 * SECOND_NS;
    let timetable = plan(&problem, Some(deadline_ns), 1, &mut steps(50));
    check(&problem, &timetable, Some(deadline_ns)).unwrap();
    assert!((timetable.value(&problem) - (9.0 + 7.0 + 2.5)).abs() < 1e-9, "{:?}", timetable.starts_ns);
}

#[test]
fn what_follows_something_left_behind_is_left_behind() {
    let tasks = vec![
        Task { value: 1.0, ..a_move(0, 1, &[0], 90) },
        Task { value: 5.0, after: vec![0], ..a_move(0, 1, &[0], 20) },
        Task { value: 4.0, ..a_move(0, 1, &[0], 30) },
    ];
    let problem = problem(2, tasks);
    let timetable = plan(&problem, Some(100 * SECOND_NS), 1, &mut steps(50));
    check(&problem, &timetable, Some(100 * SECOND_NS)).unwrap();
    assert_eq!(timetable.left_behind().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_repair_keeps_turns_and_puts_what_is_tried_again_at_the_end() {
    // Under way: 4 s are left of the first. The second failed and is tried again; the third and fourth keep their turns.
    let tasks = vec![a_move(0, 1, &[0], 4), a_move(0, 1, &[0], 10), a_move(0, 1, &[0], 20), a_move(0, 1, &[0], 30)];
    let problem = problem(2, tasks);
    let repaired = repair(&problem, &[0, u64::MAX, 50 * SECOND_NS, 30 * SECOND_NS]);
    check(&problem, &repaired, None).unwrap();
    let starts = [Some(0), Some(54 * SECOND_NS), Some(34 * SECOND_NS), Some(4 * SECOND_NS)];
    assert_eq!(repaired.starts_ns, starts);
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let base = || a_move(0, 1, &[0], 10);
    let refused = |tasks: Vec<Task>| {
        Problem::new(vec![Link { capacity_bit_s: gbit(10) }], vec![Host::default(); 2], tasks).unwrap_err()
    };
    assert!(matches!(refused(vec![Task { source: 9, ..base() }]), ProblemError::Unknown { task: 0, what: "host" }));
    assert!(matches!(refused(vec![Task { path: vec![3], ..base() }]), ProblemError::Unknown { what: "link", .. }));
    assert!(matches!(refused(vec![Task { path: vec![0, 0], ..base() }]), ProblemError::LinkTwice { .. }));
    assert!(matches!(refused(vec![Task { destination: 0, ..base() }]), ProblemError::Nowhere { .. }));
    assert!(matches!(refused(vec![Task { rate_bit_s: gbit(11), ..base() }]), ProblemError::TooFast { .. }));
    assert!(matches!(refused(vec![Task { rate_bit_s: 0, ..base() }]), ProblemError::Nothing { what: "rate", .. }));
    assert!(matches!(refused(vec![Task { duration_ns: 0, ..base() }]), ProblemError::Nothing { .. }));
    assert!(matches!(refused(vec![Task { duration_ns: u64::MAX / 2, ..base() }]), ProblemError::TooLong));
    assert!(matches!(refused(vec![Task { value: f64::NAN, ..base() }]), ProblemError::Worth { .. }));
    assert!(matches!(refused(vec![Task { after: vec![0], ..base() }]), ProblemError::Circle { .. }));
    let circle = vec![Task { after: vec![1], ..base() }, Task { after: vec![0], ..base() }];
    assert!(matches!(refused(circle), ProblemError::Circle { .. }));
    let later = vec![Task { after: vec![1], ..base() }, Task { wave: 1, ..base() }];
    assert!(matches!(refused(later), ProblemError::Circle { task: 0 }));
}
