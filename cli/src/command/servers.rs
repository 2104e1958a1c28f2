//! What a coordinator and a worker need from outside: a server that may come up after them, and a name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backstitch_coordinator::ledger::{self, Address, Ledger, LedgerError};
use backstitch_worker::host_name;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Pause before a database that is not there is tried again: whoever starts everything at once waits no longer.
const PAUSE: Duration = Duration::from_secs(1);

/// Opens the ledger, waiting for its server. `None` when told to stop meanwhile.
pub(super) async fn ledger(
    address: &Address,
    shutdown: &CancellationToken,
) -> Result<Option<Arc<dyn Ledger>>, LedgerError> {
    let attempts = async {
        loop {
            match ledger::connect(address).await {
                Err(error) if error.is_transient() => {
                    warn!(error = &error as &dyn std::error::Error, %address, "the ledger is not available yet");
                    sleep(PAUSE).await;
                }
                connected => return connected,
            }
        }
    };
    shutdown.run_until_cancelled(attempts).await.transpose()
}

/// Host or pod, and process.
pub(super) fn process_name() -> String {
    format!("{}-{}", host_name().as_deref().unwrap_or("backstitch"), std::process::id())
}

/// Where others reach an API that listens on `address`.
pub(super) fn advertised(address: SocketAddr) -> String {
    let any_interface = address.ip().is_unspecified();
    match host_name().filter(|_| any_interface) {
        Some(host) => format!("http://{host}:{}", address.port()),
        None if any_interface => format!("http://127.0.0.1:{}", address.port()),
        None => format!("http://{address}"),
    }
}
