//! How muster's parts are reached: with TLS where a directory of certificates is given, else on this machine alone. Renews what
//! stands in the directory, and warns before it expires.

use crate::error::CliError;
use crate::orders::{Order, Spoken};
use muster_core::env::Env;
use muster_core::time::Timestamp;
use muster_proto::channel::{Counterpart, Dial, TcpDial};
use muster_proto::tls::{Reloaded, Tls, TlsDial, TlsFiles};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a daemon looks whether its certificates were renewed.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(5);

/// How long before its end a certificate is warned of, in milliseconds: 30 days.
const EXPIRY_WARNING_MS: u64 = 30 * DAY_MS;

/// How often a daemon warns of it.
const EXPIRY_WARNING_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// How muster's parts are reached.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    tls: Option<Arc<Tls>>,
}

impl Transport {
    /// Loopback alone, without certificates.
    pub(crate) fn loopback() -> Self {
        Transport { tls: None }
    }

    /// What the order needs: the certificates of this directory, or none; then whatever is spoken to, or listened at, is on loopback.
    pub(super) fn open(directory: Option<&Path>, order: &Order, env: &dyn Env) -> Result<Self, CliError> {
        let spoken = order.spoken();
        if spoken.is_empty() {
            return Ok(Transport::loopback());
        }
        let Some(directory) = directory else {
            return match spoken.into_iter().find(|spoken| !spoken.is_loopback()) {
                None => Ok(Transport::loopback()),
                Some(spoken) => Err(not_loopback(&spoken)),
            };
        };
        Transport::shown(directory, env)
    }

    /// The certificates of this directory.
    pub(super) fn shown(directory: &Path, env: &dyn Env) -> Result<Self, CliError> {
        let tls = Tls::load(TlsFiles::in_directory(directory), env.now())?;
        warn_of_expiry(&tls, env.now());
        Ok(Transport { tls: Some(Arc::new(tls)) })
    }

    /// Refuses to begin with somebody else's certificate: nobody would speak to it.
    pub(super) fn must_show(&self, flag: &str, expected: &Counterpart) -> Result<(), CliError> {
        match &self.tls {
            Some(tls) if !expected.is(&tls.own().party) => Err(CliError::Usage {
                what: format!(
                    "{flag}: what stands there is the certificate of {}, and not that of {expected}",
                    tls.own().party
                ),
                mend: "issue one with \"muster pki issue\"".to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// How others are dialled.
    pub(crate) fn dial(&self) -> Arc<dyn Dial> {
        match &self.tls {
            None => Arc::new(TcpDial),
            Some(tls) => Arc::new(TlsDial::new(Arc::clone(tls))),
        }
    }

    /// What a daemon shows to those who connect; none where only this machine can.
    pub(super) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Takes over certificates that are renewed, until `stop`.
    pub(super) fn keep_fresh(&self, env: Arc<dyn Env>, stop: CancellationToken) {
        let Some(tls) = self.tls() else { return };
        tokio::spawn(async move {
            let mut look = tokio::time::interval(RENEWAL_INTERVAL);
            look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut warn = tokio::time::interval(EXPIRY_WARNING_INTERVAL);
            // It was warned of when the daemon began.
            warn.reset();
            let mut last_trouble = None;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = warn.tick() => warn_of_expiry(&tls, env.now()),
                    _ = look.tick() => last_trouble = renew(&tls, env.now(), last_trouble).await,
                }
            }
        });
    }
}

/// Looks at the files once. What is wrong with them is said once, and not again with every look.
async fn renew(tls: &Arc<Tls>, now: Timestamp, last_trouble: Option<String>) -> Option<String> {
    let reading = Arc::clone(tls);
    match tokio::task::spawn_blocking(move || reading.reload(now)).await {
        Ok(Ok(Reloaded::Unchanged)) => None,
        Ok(Ok(Reloaded::Changed)) => {
            let own = tls.own();
            tracing::warn!(identity = %own.party, days_left = days_left(own.not_after, now), "certificates were renewed");
            None
        }
        Ok(Err(error)) => {
            let trouble = error.to_string();
            if last_trouble.as_ref() != Some(&trouble) {
                tracing::error!(%error, "renewed certificates can't be used; connections are made with the ones before");
            }
            Some(trouble)
        }
        Err(error) => {
            tracing::error!(%error, "certificates were not looked at");
            None
        }
    }
}

fn warn_of_expiry(tls: &Tls, now: Timestamp) {
    let own = tls.own();
    if own.not_after.0 < now.0.saturating_add(EXPIRY_WARNING_MS) {
        let days_left = days_left(own.not_after, now);
        tracing::warn!(identity = %own.party, days_left, "the certificate expires soon; issue it anew with \"muster pki issue --renew\"");
    }
}

fn days_left(not_after: Timestamp, now: Timestamp) -> u64 {
    not_after.0.saturating_sub(now.0) / DAY_MS
}

fn not_loopback(spoken: &Spoken) -> CliError {
    CliError::Usage {
        what: format!("{}: {} is not a loopback address", spoken.flag, spoken.address),
        mend: "give --tls DIRECTORY, as \"muster pki issue\" makes it, or an address like 127.0.0.1:7700; without TLS only loopback may be used"
            .to_owned(),
    }
}
