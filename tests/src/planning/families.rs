//! Evacuations made by seed, for planning: who moves where over which links. Pure; knows no sites.
//!
//! Sizes follow the mix that public clouds have told of: most VMs are small, a few are huge, the mean is about 6 GB.

use muster_core::timetable::{Host, Link, Problem, SECOND_NS, Task};

/// Memory in MiB, and how many of a thousand VMs have about as much.
const SIZES: [(f64, u32); 8] = [
    (768.0, 100),
    (1_792.0, 300),
    (3_584.0, 300),
    (7_168.0, 180),
    (14_336.0, 70),
    (28_672.0, 35),
    (57_344.0, 12),
    (114_688.0, 3),
];

const GBIT_S: u64 = 1_000_000_000;
const BITS_OF_A_MIB: f64 = 8_388_608.0;

/// How the moves lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Any VM goes from any host to any other, by chance; interfaces of 10 and 25 Gbit/s.
    Random,
    /// Racks are emptied, each behind an uplink that carries less than its hosts together could send; hosts take a while to shut down.
    Racks,
    /// All interfaces are alike and every move takes the whole of two: an open shop. Hosts are filled as a scheduler that balances fills them, each VM in
    /// turn where least is.
    Balanced,
    /// The same, but no VM is large and hosts have almost exactly the same to carry: nobody has time to spare.
    Level,
}

impl Family {
    /// All.
    pub const ALL: [Family; 4] = [Family::Random, Family::Racks, Family::Balanced, Family::Level];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Random => "random",
            Family::Racks => "racks",
            Family::Balanced => "balanced",
            Family::Level => "level",
        }
    }

    /// One of its evacuations, with so many moves between so many hosts.
    ///
    /// # Panics
    /// Where there are fewer than four hosts.
    #[must_use]
    pub fn problem(self, moves: u32, hosts: u32, seed: u64) -> Problem {
        let mut random = fastrand::Rng::with_seed(seed);
        let half = hosts / 2;
        let (links, hosts, tasks) = match self {
            Family::Random => spread(moves, half, &mut random),
            Family::Racks => racks(moves, half, &mut random),
            Family::Balanced => open_shop(moves, half, false, &mut random),
            Family::Level => open_shop(moves, half, true, &mut random),
        };
        Problem::new(links, hosts, tasks).expect("what is made here can be planned")
    }
}

type Parts = (Vec<Link>, Vec<Host>, Vec<Task>);

fn link(gbit_s: u64) -> Link {
    Link { capacity_bit_s: gbit_s * GBIT_S }
}

fn spread(moves: u32, half: u32, random: &mut fastrand::Rng) -> Parts {
    let links: Vec<Link> = (0..2 * half).map(|_| link(if random.u8(..4) == 0 { 25 } else { 10 })).collect();
    let tasks = (0..moves).map(|_| {
        let (source, destination) = (random.u32(..half), half + random.u32(..half));
        let rate_bit_s =
            links[source as usize].capacity_bit_s.min(links[destination as usize].capacity_bit_s).min(10 * GBIT_S);
        task(source, destination, vec![source, destination], rate_bit_s, random)
    });
    let tasks = tasks.collect();
    (links, vec![Host::default(); 2 * half as usize], tasks)
}

fn racks(moves: u32, half: u32, random: &mut fastrand::Rng) -> Parts {
    const HOSTS_OF_A_RACK: u32 = 16;
    let racks = half.div_ceil(HOSTS_OF_A_RACK);
    let mut links = vec![link(10); 2 * half as usize];
    links.extend((0..2 * racks).map(|_| link(40)));
    let uplink = |host: u32| {
        2 * half + if host < half { host / HOSTS_OF_A_RACK } else { racks + (host - half) / HOSTS_OF_A_RACK }
    };
    let hosts = (0..2 * half).map(|host| Host {
        shutdown_ns: if host < half { random.u64(..60) * SECOND_NS } else { 0 },
        ..Host::default()
    });
    let hosts = hosts.collect();
    let tasks = (0..moves).map(|_| {
        let (source, destination) = (random.u32(..half), half + random.u32(..half));
        let path = vec![source, uplink(source), uplink(destination), destination];
        task(source, destination, path, 10 * GBIT_S, random)
    });
    (links, hosts, tasks.collect())
}

/// Each VM is put where least is, of either side: in turn, or the largest first.
fn open_shop(moves: u32, half: u32, is_level: bool, random: &mut fastrand::Rng) -> Parts {
    let mut tasks: Vec<Task> = (0..moves).map(|_| task(0, 1, Vec::new(), 10 * GBIT_S, random)).collect();
    // A VM that alone takes as long as a host with its share of all would make the rest easy.
    let share_ns = tasks.iter().map(|task| task.duration_ns).sum::<u64>() / u64::from(half);
    let longest_ns = if is_level { share_ns / 4 } else { share_ns / 2 }.max(10 * SECOND_NS);
    for task in &mut tasks {
        while task.duration_ns > longest_ns {
            *task = self::task(0, 1, Vec::new(), 10 * GBIT_S, random);
        }
    }
    if is_level {
        tasks.sort_by_key(|task| std::cmp::Reverse(task.duration_ns));
    }
    let mut loads = vec![0_u64; 2 * half as usize];
    // Among as many draws as there are hosts, not among all: else source and destination would fill in step and make pairs.
    let mut least = |from: u32, duration_ns: u64| {
        let drawn = (0..half).map(|_| from + random.u32(..half));
        let host = drawn.min_by_key(|host| loads[*host as usize]).expect("there are hosts");
        loads[host as usize] += duration_ns;
        host
    };
    for task in &mut tasks {
        task.source = least(0, task.duration_ns);
        task.destination = least(half, task.duration_ns);
        task.path = vec![task.source, task.destination];
    }
    (vec![link(10); 2 * half as usize], vec![Host::default(); 2 * half as usize], tasks)
}

fn task(source: u32, destination: u32, path: Vec<u32>, rate_bit_s: u64, random: &mut fastrand::Rng) -> Task {
    let memory_mib = size_mib(random);
    // Some of it is sent again, since the guest runs on, and every move costs a second or two besides.
    let sent = memory_mib * (1.02 + 0.25 * random.f64());
    let duration_s = sent * BITS_OF_A_MIB / rate_bit_s as f64 + 1.0 + random.f64();
    Task {
        source,
        destination,
        path,
        rate_bit_s,
        duration_ns: (duration_s * SECOND_NS as f64) as u64,
        memory_mib: memory_mib as u64,
        wave: 0,
        priority: 0,
        value: 1.0,
        after: Vec::new(),
    }
}

fn size_mib(random: &mut fastrand::Rng) -> f64 {
    let all: u32 = SIZES.iter().map(|(_, share)| share).sum();
    let mut drawn = random.u32(..all);
    let about = 0.6 + 0.8 * random.f64();
    for (mib, share) in SIZES {
        if drawn < share {
            return mib * about;
        }
        drawn -= share;
    }
    unreachable!("what is drawn is less than all shares together")
}
