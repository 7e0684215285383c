//! What all daemons share: the port, the signals, the line that says where they listen.

use crate::error::CliError;
use crate::orders::Serving;
use crate::writer::Writer;
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A port that is bound.
pub(super) async fn bind(serving: Serving) -> Result<TcpListener, CliError> {
    let unusable = |source| CliError::Bind { address: serving.listen, source };
    TcpListener::bind(serving.listen).await.map_err(unusable)
}

/// Says where a daemon listens: for people, and for whoever started it on port 0.
pub(super) fn say_listening(listener: &TcpListener, writer: &Writer) -> Result<SocketAddr, CliError> {
    let address = listener.local_addr().map_err(|source| CliError::System { doing: "reading a port", source })?;
    writer.line(&format!("listening on {address}"));
    Ok(address)
}

/// Cancelled by SIGTERM, by SIGINT and, if that is wanted, by the end of standard input.
pub(super) fn stop_token(serving: Serving) -> Result<CancellationToken, CliError> {
    let failed = |source| CliError::System { doing: "listening for signals", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = end_of_stdin(), if serving.stop_with_stdin => {}
        }
        token.cancel();
    });
    Ok(stop)
}

async fn end_of_stdin() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 256];
    while let Ok(1..) = stdin.read(&mut ignored).await {}
}
