//! A volume's data as a stream that tells its holes.

use std::ffi::{c_char, c_int, c_longlong};
use virt::error::Error;
use virt::stream::Stream;
use virt_sys as sys;

/// What libvirt answers where a hole begins.
const AT_A_HOLE: c_int = -3;

/// What came next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes of the buffer were filled.
    Data(usize),
    /// So many bytes of nothing but zeros, which take no room.
    Hole(u64),
    /// The stream has ended.
    End,
}

/// Waits for what comes next on a stream that was opened for sparse data.
///
/// # Errors
/// libvirt's; the stream is of no use after one.
pub fn receive(stream: &Stream, buffer: &mut [u8]) -> Result<Piece, Error> {
    // SAFETY: the stream's pointer is valid while it is borrowed, and libvirt writes no more than the buffer's length.
    let received = unsafe {
        let at = buffer.as_mut_ptr().cast::<c_char>();
        sys::virStreamRecvFlags(stream.as_ptr(), at, buffer.len(), sys::VIR_STREAM_RECV_STOP_AT_HOLE)
    };
    if received != AT_A_HOLE {
        let bytes = usize::try_from(received).map_err(|_| Error::last_error())?;
        return Ok(if bytes == 0 { Piece::End } else { Piece::Data(bytes) });
    }
    let mut length: c_longlong = 0;
    // SAFETY: as above; the integer outlives the call.
    let outcome = unsafe { sys::virStreamRecvHole(stream.as_ptr(), &mut length, 0) };
    if outcome < 0 {
        return Err(Error::last_error());
    }
    Ok(Piece::Hole(u64::try_from(length).unwrap_or(0)))
}

/// Sends all of these bytes.
///
/// # Errors
/// libvirt's; the stream is of no use after one.
pub fn send(stream: &Stream, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        // SAFETY: the stream's pointer is valid while it is borrowed, and libvirt reads no more than the slice's length.
        let sent = unsafe { sys::virStreamSend(stream.as_ptr(), bytes.as_ptr().cast::<c_char>(), bytes.len()) };
        let sent = usize::try_from(sent).map_err(|_| Error::last_error())?;
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Sends a hole of so many bytes.
///
/// # Errors
/// libvirt's; the stream is of no use after one.
pub fn send_hole(stream: &Stream, length: u64) -> Result<(), Error> {
    let length = c_longlong::try_from(length).unwrap_or(c_longlong::MAX);
    // SAFETY: the stream's pointer is valid while it is borrowed.
    let outcome = unsafe { sys::virStreamSendHole(stream.as_ptr(), length, 0) };
    if outcome < 0 { Err(Error::last_error()) } else { Ok(()) }
}
