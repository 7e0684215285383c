//! Real programs, on the real clock: what they say is bounded, how long they take is bounded, and how many there are at once.

use super::*;
use muster_core::ids::TEXT_MAX_BYTES;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use tokio::time::Instant;

const NAME: &str = "it";

/// A folder with a program of these lines, and the commands that have it.
fn commands(lines: &str) -> (TempDir, Commands) {
    let folder = tempfile::tempdir().unwrap();
    let (text, path) = (folder.path().join("text"), folder.path().join("program"));
    fs::write(&text, format!("#!/bin/sh\ncd {}\n{lines}\n", folder.path().display())).unwrap();
    // By another process: a file that this one has open for writing, be it through a fork elsewhere, can't be run.
    assert!(std::process::Command::new("install").arg("-m755").args([&text, &path]).status().unwrap().success());
    let program = Program::at(path).unwrap();
    (folder, Commands::new(BTreeMap::from([(NAME.parse().unwrap(), program)])))
}

async fn run(commands: &Commands, within: Duration, stop: &CancellationToken) -> Ran {
    let (name, vm) = (NAME.parse().unwrap(), VmId(uuid::Uuid::from_u128(7)));
    let environment = vec![("MUSTER_VM_NAME", "$(touch pwned); `x`".to_owned())];
    commands.run(Run { command: &name, vm, environment, within }, stop).await
}

async fn outcome(lines: &str, within: Duration) -> Ran {
    let (_folder, commands) = commands(lines);
    run(&commands, within, &CancellationToken::new()).await
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn of_what_it_says_the_end_is_kept_fit_to_be_shown() {
    let flood = "i=0; while [ $i -lt 3000 ]; do echo 'much ado about nothing, over and over again, to no end' >&2; i=$((i+1)); done";
    let said = outcome(&format!("{flood}; printf 'the \\033[31mend\\000 \\377 \u{e4}\\n' >&2; exit 7"), LONG).await;
    let Ran::Failed(said) = said else { panic!("{said:?}") };
    assert!(said.starts_with("command it ended with exit status: 7; it said last: "), "{said}");
    assert!(said.ends_with("the  [31mend  \u{fffd} \u{e4}"), "{said}");
    assert!(said.len() <= TEXT_MAX_BYTES && !said.chars().any(char::is_control), "{said}");
    assert_eq!(
        outcome("exit 1", LONG).await,
        Ran::Failed("command it ended with exit status: 1; it said nothing".into())
    );
    let plain = outcome("echo out; exit 1", LONG).await;
    assert_eq!(plain, Ran::Failed("command it ended with exit status: 1; it said last: out".into()));
    let killed = outcome("kill -9 $$", LONG).await;
    assert!(matches!(&killed, Ran::Failed(why) if why.contains("signal: 9")), "{killed:?}");
}

#[tokio::test]
async fn no_shell_reads_what_it_is_told() {
    let (folder, commands) = commands("echo \"$#:$1:$MUSTER_VM_NAME:$HOME:$(cat)\" > told");
    assert_eq!(run(&commands, LONG, &CancellationToken::new()).await, Ran::Succeeded);
    let told = fs::read_to_string(folder.path().join("told")).unwrap();
    assert_eq!(told, "1:00000000-0000-0000-0000-000000000007:$(touch pwned); `x`::\n");
    assert!(!folder.path().join("pwned").exists());
}

#[tokio::test]
async fn what_it_leaves_behind_is_not_waited_for() {
    let began = Instant::now();
    assert_eq!(outcome("sleep 20 & exit 0", LONG).await, Ran::Succeeded);
    let late = outcome("trap '' TERM; echo tired; sleep 20", Duration::from_millis(300)).await;
    let why = "command it has not ended within 300 ms and was killed; it said last: tired";
    assert_eq!(late, Ran::Failed(why.into()));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn told_to_stop_it_is_killed_and_reaped() {
    let (folder, commands) = commands("echo $$ > process.new; mv process.new process; sleep 20");
    let (process, stop) = (folder.path().join("process"), CancellationToken::new());
    let stopper = stop.clone();
    let watched = process.clone();
    tokio::spawn(async move {
        while !watched.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stopper.cancel();
    });
    assert_eq!(run(&commands, LONG, &stop).await, Ran::Stopped);
    let process = fs::read_to_string(process).unwrap();
    let there = std::process::Command::new("kill").args(["-0", process.trim()]).output().unwrap();
    assert!(!there.status.success(), "it is still there");
    assert_eq!(run(&commands, LONG, &stop).await, Ran::Stopped, "what is not wanted any more isn't begun");
}

#[tokio::test]
async fn no_more_run_at_once_than_may() {
    let (folder, commands) = commands("mkdir \"at-$$\"; ls -d at-* | wc -l >> counts; sleep 0.2; rmdir \"at-$$\"");
    let stop = CancellationToken::new();
    let runs = (0..3 * COMMANDS_AT_ONCE_MAX).map(|_| run(&commands, LONG, &stop));
    let all = futures::future::join_all(runs).await;
    assert!(all.iter().all(|ran| *ran == Ran::Succeeded), "{all:?}");
    let counts = fs::read_to_string(folder.path().join("counts")).unwrap();
    let most = counts.lines().map(|line| line.trim().parse::<usize>().unwrap()).max().unwrap();
    assert!((2..=COMMANDS_AT_ONCE_MAX).contains(&most), "{most} at once");
}

#[tokio::test]
async fn what_is_not_there_any_more_fails_with_its_reason() {
    let (folder, commands) = commands("exit 0");
    fs::remove_file(folder.path().join("program")).unwrap();
    let gone = run(&commands, LONG, &CancellationToken::new()).await;
    assert!(matches!(&gone, Ran::Failed(why) if why.starts_with("command it can't be run: ")), "{gone:?}");
    let none = Commands::new(BTreeMap::new());
    let missing = run(&none, LONG, &CancellationToken::new()).await;
    assert!(matches!(&missing, Ran::Failed(why) if why.contains("has no command it; start")), "{missing:?}");
}

#[test]
fn only_executable_files_at_absolute_paths_are_programs() {
    let (folder, _commands) = commands("exit 0");
    let why = |path: &Path| Program::at(path.to_owned()).unwrap_err().to_string();
    assert!(why(Path::new("bin/true")).contains("not an absolute path"));
    assert!(why(folder.path()).contains("is not a file"));
    assert!(why(&folder.path().join("text")).contains("is not executable"));
    assert!(why(&folder.path().join("nothing")).contains("can't be looked at"));
}
