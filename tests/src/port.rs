//! Free TCP ports.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// `N` ports that nobody listens on, all different. Somebody else may still take one before it is used: the server
/// then fails to start, which is loud.
pub(crate) fn free<const N: usize>() -> Result<[u16; N]> {
    // Held until all are chosen, so that they differ.
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
        *port = listener.local_addr().context("looking for a free port")?.port();
        listeners.push(listener);
    }
    Ok(ports)
}
