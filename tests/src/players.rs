//! How simulations are played: on all cores at once, and each in a thread that can be given up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Does this for each of these on all cores, and returns what came of them in their order.
///
/// # Panics
/// Where one of them panics.
pub fn side_by_side<I: Sync, O: Send>(all: &[I], play: impl Fn(usize, &I) -> O + Sync) -> Vec<O> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let mut played: Vec<(usize, O)> = std::thread::scope(|scope| {
        let player = || {
            let mut mine = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(one) = all.get(number) else { return mine };
                mine.push((number, play(number, one)));
            }
        };
        let players: Vec<_> = (0..cores).map(|_| scope.spawn(player)).collect();
        players.into_iter().flat_map(|player| player.join().expect("a player")).collect()
    });
    played.sort_by_key(|(number, _)| *number);
    played.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Why nothing came of a play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenUp {
    /// It took too long.
    NeverEnds,
    /// It panicked, with these words.
    Panicked(String),
}

/// Plays in a thread of its own, and gives it up after so long: paused time can't end a loop that never waits.
///
/// # Errors
/// It didn't end, or panicked.
pub fn in_a_thread<T: Send + 'static>(
    longest: Duration,
    play: impl FnOnce() -> T + Send + 'static,
) -> Result<T, GivenUp> {
    let (sender, receiver) = channel();
    let thread = std::thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(play());
    });
    match receiver.recv_timeout(longest) {
        Ok(outcome) => Ok(outcome),
        Err(RecvTimeoutError::Timeout) => Err(GivenUp::NeverEnds),
        Err(RecvTimeoutError::Disconnected) => {
            let panic = thread.join().err();
            let words = panic.as_ref().and_then(|panic| {
                panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            });
            Err(GivenUp::Panicked(words.unwrap_or_default()))
        }
    }
}

#[test]
fn what_panics_or_never_ends_is_given_up() {
    let short = Duration::from_millis(50);
    assert_eq!(in_a_thread(Duration::from_secs(60), || 7), Ok(7));
    assert_eq!(
        in_a_thread(Duration::from_secs(60), || panic!("a flaw")),
        Err::<(), _>(GivenUp::Panicked("a flaw".to_owned()))
    );
    let (_held, never) = channel::<()>();
    assert_eq!(in_a_thread(short, move || never.recv().is_ok()), Err(GivenUp::NeverEnds));
    assert_eq!(side_by_side(&[3, 1, 2], |number, one| (number, one * 10)), [(0, 30), (1, 10), (2, 20)]);
}
