//! What a coordinator and a worker need from outside: the servers, which may come up after them, and a name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use backstitch_broker::RabbitMq;
use backstitch_coordinator::ledger::{self, Address, Ledger};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Pause before a server that is not there is tried again: whoever starts everything at once waits no longer.
const PAUSE: Duration = Duration::from_secs(1);

/// Opens the ledger, waiting for its server. `None` when told to stop meanwhile.
pub(super) async fn ledger(
    address: &Address,
    shutdown: &CancellationToken,
) -> Result<Option<Arc<dyn Ledger>>> {
    while !shutdown.is_cancelled() {
        match ledger::connect(address).await {
            Ok(ledger) => return Ok(Some(ledger)),
            Err(error) if error.is_transient() => {
                warn!(error = &error as &dyn std::error::Error, %address, "the ledger is not available yet");
            }
            Err(error) => return Err(error.into()),
        }
        _ = shutdown.run_until_cancelled(sleep(PAUSE)).await;
    }
    Ok(None)
}

/// Connects to RabbitMQ, waiting for it. `None` when told to stop meanwhile.
pub(super) async fn rabbitmq(
    url: &str,
    name: &str,
    shutdown: &CancellationToken,
) -> Result<Option<RabbitMq>> {
    while !shutdown.is_cancelled() {
        match RabbitMq::connect(url, name).await {
            Ok(broker) => return Ok(Some(broker)),
            Err(error) if !error.is_permanent() => {
                warn!(error = &error as &dyn std::error::Error, "the broker is not available yet");
            }
            Err(error) => return Err(error.into()),
        }
        _ = shutdown.run_until_cancelled(sleep(PAUSE)).await;
    }
    Ok(None)
}

/// Host or pod, and process.
pub(super) fn process_name() -> String {
    format!("{}-{}", host().as_deref().unwrap_or("backstitch"), std::process::id())
}

/// Where others reach an API that listens on `address`.
pub(super) fn advertised(address: SocketAddr) -> String {
    let any_interface = address.ip().is_unspecified();
    match host().filter(|_| any_interface) {
        Some(host) => format!("http://{host}:{}", address.port()),
        None if any_interface => format!("http://127.0.0.1:{}", address.port()),
        None => format!("http://{address}"),
    }
}

fn host() -> Option<String> {
    crate::settings::environment("HOSTNAME")
}
