//! When moves may begin: starts, weekly windows, lockouts; against a calendar that looks at every minute.

use muster_core::calendar::{Calendar, DAY_MS, Lockout, Window};
use muster_core::time::{Timestamp, days_since_epoch};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

fn window(days: [bool; 7], from_h: u64, length_h: u64) -> Window {
    Window { days, from_ms: from_h * HOUR_MS, length_ms: length_h * HOUR_MS }
}

/// Whether a move may begin, told the plain way.
fn is_open(calendar: &Calendar, at: Timestamp) -> bool {
    let in_window = |window: &Window| {
        [at.0, at.0.wrapping_sub(DAY_MS)].into_iter().filter(|of| *of <= at.0).any(|of| {
            let day = of / DAY_MS;
            let weekday = usize::try_from((day + 3) % 7).expect("a day of the week");
            let opening = day * DAY_MS + window.from_ms;
            window.days[weekday] && opening <= at.0 && at.0 < opening + window.length_ms
        })
    };
    calendar.start_at.is_none_or(|start| start <= at)
        && (calendar.windows.is_empty() || calendar.windows.iter().any(in_window))
        && !calendar.lockouts.iter().any(|lockout| lockout.from <= at && at < lockout.until)
}

fn calendars() -> Vec<Calendar> {
    let weekdays = [true, true, true, true, true, false, false];
    let sunday = [false, false, false, false, false, false, true];
    let at = |minutes: u64| Timestamp(minutes * MINUTE_MS);
    let lockouts = vec![Lockout { from: at(2_000), until: at(2_600) }, Lockout { from: at(2_500), until: at(4_321) }];
    vec![
        Calendar::default(),
        Calendar { start_at: Some(at(777)), ..Calendar::default() },
        Calendar { windows: vec![window(weekdays, 22, 7)], ..Calendar::default() },
        Calendar { windows: vec![window(sunday, 9, 24), window(weekdays, 3, 1)], ..Calendar::default() },
        Calendar { start_at: Some(at(100)), windows: vec![window([true; 7], 20, 6)], lockouts: lockouts.clone() },
        Calendar { lockouts, ..Calendar::default() },
    ]
}

#[test]
fn it_opens_when_a_look_at_every_minute_says_so() {
    for calendar in calendars() {
        for start in (0..14 * 24 * 60).step_by(97) {
            let from = Timestamp(start * MINUTE_MS);
            let opening = (start..).map(|minute| Timestamp(minute * MINUTE_MS)).find(|at| is_open(&calendar, *at));
            assert_eq!(calendar.opens_at(from), opening, "{calendar:?} from {from:?}");
        }
    }
}

#[test]
fn open_time_is_counted_and_found_again() {
    for calendar in calendars() {
        for start in (0..7 * 24 * 60).step_by(311) {
            let from = Timestamp(start * MINUTE_MS);
            let open_minutes =
                (start..start + 5_000).filter(|minute| is_open(&calendar, Timestamp(minute * MINUTE_MS)));
            let minutes: Vec<u64> = open_minutes.collect();
            let then = Timestamp((start + 5_000) * MINUTE_MS);
            assert_eq!(calendar.open_ms(from, then), minutes.len() as u64 * MINUTE_MS, "{calendar:?} from {from:?}");
            for (open, minute) in minutes.iter().enumerate().step_by(17) {
                let found = calendar.after_open_ms(from, open as u64 * MINUTE_MS);
                assert_eq!(found, Some(Timestamp(minute * MINUTE_MS)), "{calendar:?} from {from:?}");
            }
        }
    }
}

#[test]
fn one_that_never_opens_is_told() {
    let never = Calendar { windows: vec![window([false; 7], 1, 1)], ..Calendar::default() };
    assert_eq!((never.opens_at(Timestamp(5)), never.after_open_ms(Timestamp(5), 1)), (None, None));
    assert_eq!(never.open_ms(Timestamp(5), Timestamp(u64::MAX)), 0);
}

#[test]
fn days_are_those_of_the_gregorian_calendar() {
    assert_eq!(days_since_epoch(1970, 1, 1), 0);
    assert_eq!(days_since_epoch(1969, 12, 31), -1);
    assert_eq!(days_since_epoch(2000, 2, 29), 11_016);
    assert_eq!(days_since_epoch(2026, 11, 27), 20_784);
    let mut day = days_since_epoch(1896, 3, 1);
    for year in 1896..2105_i64 {
        let is_leap = (year + 1) % 4 == 0 && ((year + 1) % 100 != 0 || (year + 1) % 400 == 0);
        let next = days_since_epoch(year + 1, 3, 1);
        assert_eq!(next - day, if is_leap { 366 } else { 365 }, "{year}");
        day = next;
    }
}
