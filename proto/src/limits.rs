//! Every bound of the wire, by name. Both ends use the same ones.

use std::time::Duration;

/// Most items in one request: commands, VMs to observe, roll entries. What is more goes into further requests.
pub const ITEMS_MAX: usize = 1_000;

/// Largest message either end accepts, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes of items put into one request, so that it stays below [`MESSAGE_MAX_BYTES`] with its frame.
pub const BATCH_MAX_BYTES: usize = MESSAGE_MAX_BYTES / 2;

/// Most hosts of one site.
pub const HOSTS_MAX: usize = 10_000;

/// Most VMs of one site's inventory.
pub const INVENTORY_VMS_MAX: usize = 1_000_000;

/// Most hosts of one site that may show something of one VM.
pub const SIGHTINGS_MAX: usize = 1_000;

/// Most parts of one kind in one item of a survey: machine types, networks, residents of a host, disks of a VM.
pub const SURVEY_PARTS_MAX: usize = 100_000;

/// Longest text of one part of a survey, in bytes: a path, a device, a name.
pub const SURVEY_TEXT_MAX_BYTES: usize = 4_096;

/// Most evacuations that a site lists.
pub const EVACUATIONS_MAX: usize = 10_000;

/// Most assertions of one evacuation.
pub const ASSERTIONS_MAX: usize = 1_000;

/// Longest tag of a VM, in bytes.
pub const TAG_MAX_BYTES: usize = 255;

/// Longest stable reason of an error, in bytes.
pub const REASON_MAX_BYTES: usize = 63;

/// Longest nonce of a proof of the path, in bytes.
pub const NONCE_MAX_BYTES: usize = 64;

/// Longest particulars of one line of history, in bytes.
pub const DETAIL_MAX_BYTES: usize = 512 * 1024;

/// Greatest size of one thing (a memory, a disk, what was sent), in MiB: an exbibyte. Sums over a whole site can't
/// overflow below it.
pub const SIZE_MAX_MIB: u64 = 1 << 40;

/// Most field violations in one status: they travel in a header, and headers are small.
pub const VIOLATIONS_MAX: usize = 16;

/// Longest description of one violation, in bytes.
pub const VIOLATION_MAX_BYTES: usize = 384;

/// Messages that a server puts aside for one slow reader of a stream before it waits for it.
pub const STREAM_BUFFER: usize = 64;

/// Page size where a request says 0.
pub const PAGE_DEFAULT: u32 = 100;

/// Largest page.
pub const PAGE_MAX: u32 = 1_000;

/// How long making a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Deadline of a call that answers from memory or the ledger.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Deadline of a call that may wait for hypervisors: a stream of outcomes or observations.
pub const HYPERVISOR_CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a `Watch` says that the site is alive when nothing changes.
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// How long a `Watch` may say nothing before its reader takes the site for silent.
pub const ALIVE_TIMEOUT: Duration = Duration::from_secs(8);

/// How often an open connection is probed (HTTP/2 ping).
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long a probe may stay unanswered before the connection is given up.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a status of class `Retry` suggests to wait.
pub const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Most streams and calls at once on one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;

/// Most calls at once that a service carries out, streams until their end among them. One more is turned away.
pub const CALLS_MAX: usize = 1_024;

/// Most connections at once. One more is closed; it leaves files enough to a daemon that may open 1,024.
pub const CONNECTIONS_MAX: usize = 512;

/// How long a new connection may say nothing.
pub const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest headers of one request, in bytes.
pub const HEADERS_MAX_BYTES: u32 = 16 * 1024;

/// How long a service works on the answer to a call, or on the beginning of a stream, whether or not the caller has set a deadline.
pub const SERVER_DEADLINE: Duration = Duration::from_secs(300);

/// How long a server that stops waits for callers that don't take their answers.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
