//! A connection, carried frame by frame (HTTP/2), so that every call over it is a point of its caller's life: the caller can
//! be killed before it is sent, or when its answer comes, and the answer can be lost with the connection.

use crate::life::{Hit, Life, Moment};
use crate::network::{Network, Port};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

/// What a client sends before its first frame.
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RESET: u8 = 0x3;
const END_STREAM: u8 = 0x1;

/// One direction of a connection.
pub(crate) struct Way {
    pub(crate) network: Network,
    pub(crate) from: Port,
    pub(crate) to: Port,
}

impl Way {
    async fn pass(&self) {
        self.network.pass(self.from, self.to).await;
    }
}

/// The call whose answer is waited for, to be hit then.
type Awaited = Arc<Mutex<Option<(u32, Hit)>>>;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    bytes: Vec<u8>,
}

impl Frame {
    async fn read(from: &mut ReadHalf<DuplexStream>) -> io::Result<Frame> {
        let mut head = [0; HEAD_BYTES];
        from.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut bytes = head.to_vec();
        bytes.resize(HEAD_BYTES + length, 0);
        from.read_exact(&mut bytes[HEAD_BYTES..]).await?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Ok(Frame { kind: head[3], flags: head[4], stream, bytes })
    }

    /// The first word of an answer, or its whole.
    fn answers(&self) -> bool {
        match self.kind {
            DATA => self.bytes.len() > HEAD_BYTES,
            HEADERS => self.flags & END_STREAM != 0,
            other => other == RESET,
        }
    }
}

/// Carries a connection until one side closes it, or a call on it is hit.
pub(crate) async fn carry(
    near: DuplexStream,
    far: DuplexStream,
    caller: &Life,
    name: &'static str,
    [there, back]: [&Way; 2],
) {
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    let awaited = Awaited::default();
    // An end of either direction is an end of both: nobody here sends on a connection that is half closed.
    tokio::select! {
        biased;
        _ = answers(far_read, near_write, caller, &awaited, back) => {}
        _ = calls(near_read, far_write, caller, name, &awaited, there) => {}
    }
}

async fn calls(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    caller: &Life,
    name: &'static str,
    awaited: &Awaited,
    way: &Way,
) -> io::Result<()> {
    let mut preface = [0; PREFACE_BYTES];
    from.read_exact(&mut preface).await?;
    to.write_all(&preface).await?;
    loop {
        let frame = Frame::read(&mut from).await?;
        if frame.kind == HEADERS {
            match caller.begin_call(name) {
                None => {}
                Some(Hit { moment: Moment::Before, .. }) => return Ok(()),
                Some(hit @ Hit { moment: Moment::After | Moment::ReplyLost, .. }) => {
                    *awaited.lock().unwrap_or_else(PoisonError::into_inner) = Some((frame.stream, hit));
                }
            }
        }
        way.pass().await;
        to.write_all(&frame.bytes).await?;
    }
}

async fn answers(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    caller: &Life,
    awaited: &Awaited,
    way: &Way,
) -> io::Result<()> {
    loop {
        let frame = Frame::read(&mut from).await?;
        let awaited_hit = *awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stream, hit)) = awaited_hit
            && stream == frame.stream
            && frame.answers()
        {
            caller.hit_answer(hit);
            return Ok(());
        }
        way.pass().await;
        to.write_all(&frame.bytes).await?;
    }
}
