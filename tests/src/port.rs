//! Free TCP ports that stay free for those who asked for them.
//!
//! They are none of those that the kernel gives to connections on their way out: such a connection could take the port
//! of a server that is down for a moment, or has not opened it yet. And each is marked as taken until this process
//! ends, so that tests of other processes choose others.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use rand::Rng;

/// Below those that Linux gives to connections on their way out (`ip_local_port_range`), above those of well-known
/// services.
const PORTS: Range<u16> = 10_000..32_000;

/// How many are looked at for one that is free.
const TRIES: usize = 1_000;

/// UDP sockets with the numbers of ports that this process has chosen. Nobody talks to them; they are the mark.
static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// `N` ports that nobody listens on, all different.
///
/// # Errors
/// When none is free.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    for port in &mut ports {
        *port = (0..TRIES).find_map(|_| take(rand::rng().random_range(PORTS))).context("no port is free")?;
    }
    Ok(ports)
}

/// Takes `port`, unless somebody else has it.
fn take(port: u16) -> Option<u16> {
    let mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
    Some(port)
}
