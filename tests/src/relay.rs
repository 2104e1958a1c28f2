//! A TCP relay between a program and a server, so that a test decides what the network does.
//!
//! ```text
//!   program ──▶ relay ──▶ server        cut:       the connections that exist break; new ones are fine
//!                                       refuse:    all break, and new ones break at once
//!                                       silence:   all stay open, and nothing passes (a pulled cable)
//!                                       strand:    some stay open, and nothing passes on them ever again; others are
//!                                                  fine (a server that was replaced, a router that forgot them)
//!                                       half-open: all stay open, and one side is not heard any more; at once, or from
//!                                                  certain words of the program on
//!                                       delay:     everything passes, later
//!                                       tear:      the next that is said breaks off in the middle of a frame
//!                                       garble:    the next that is said arrives as something else
//! ```
//!
//! A relay to several servers stands for the service name of a cluster: a new connection goes to the next one that
//! takes it. It can be led to other servers, as a service name is when a standby takes over.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What one read takes. Small enough that a cut falls into the middle of large messages.
const CHUNK_BYTES: usize = 16 * 1024;

/// A relay to one server. Its connections break when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    network: watch::Sender<Network>,
    line: Arc<Line>,
    accepting: JoinHandle<()>,
}

/// What the relay and its connections share.
#[derive(Debug)]
struct Line {
    /// Where new connections go.
    ports: Mutex<Vec<u16>>,
    accepted: AtomicUsize,
    /// What becomes of the next chunk of a side, on whichever connection it comes.
    next: Mutex<Option<(Side, Harm)>>,
    /// Chunks that were harmed.
    harmed: AtomicUsize,
}

/// What becomes of one chunk.
#[derive(Clone, Copy, Debug)]
enum Harm {
    /// So many bytes pass, and never the last; then the connection breaks.
    Torn(usize),
    /// None of its bytes arrives as it was.
    Garbled,
}

impl Line {
    /// What is to become of a chunk that `side` has said. The end of a connection is no chunk, and a single byte cannot
    /// be torn.
    fn harm(&self, side: Side, bytes: usize) -> Option<Harm> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.take_if(|(of, _)| *of == side && bytes > 1).map(|(_, harm)| harm)
    }
}

#[derive(Clone, Copy, Debug)]
struct Network {
    /// Connections of an older generation are cut.
    generation: u64,
    /// The first of the connections on which nothing passes, and the first after them.
    stranded: (usize, usize),
    weather: Weather,
}

impl Network {
    fn holds_back(self, number: usize, from: Side, said: bool) -> bool {
        (self.stranded.0..self.stranded.1).contains(&number) || self.weather.holds_back(from, said)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Weather {
    Fair,
    Refusing,
    Silent,
    /// Nothing that this side says is heard.
    HalfOpen(Side),
    /// The same, on a connection on which the program says this.
    HalfOpenFrom(Side, &'static str),
    Slow(Duration),
}

/// An end of a relayed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The program under test.
    Program,
    /// The server.
    Server,
}

impl Weather {
    /// Whether what `from` says does not pass on a connection on which the program `said` certain words.
    fn holds_back(self, from: Side, said: bool) -> bool {
        match self {
            Self::Silent => true,
            Self::HalfOpen(side) => side == from,
            Self::HalfOpenFrom(side, _) => side == from && said,
            Self::Fair | Self::Refusing | Self::Slow(_) => false,
        }
    }
}

impl Relay {
    /// A relay to `port` on 127.0.0.1, in fair weather.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn to(port: u16) -> Result<Self> {
        Self::to_any(vec![port]).await
    }

    /// A relay to whichever of `ports` on 127.0.0.1 takes a connection, in turn.
    ///
    /// # Errors
    /// As for [`to`](Self::to).
    pub async fn to_any(ports: Vec<u16>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("opening a relay")?;
        let address = listener.local_addr().context("opening a relay")?;
        let (network, _) =
            watch::channel(Network { generation: 0, stranded: (0, 0), weather: Weather::Fair });
        let line = Arc::new(Line {
            ports: Mutex::new(ports),
            accepted: AtomicUsize::new(0),
            next: Mutex::new(None),
            harmed: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&line), network.subscribe()));
        Ok(Self { address, network, line, accepting })
    }

    /// The port to connect to instead of the server's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `url` of a server on 127.0.0.1, with its port replaced by the relay's.
    #[must_use]
    pub fn url(&self, url: &str, server_port: u16) -> String {
        url.replace(&format!("127.0.0.1:{server_port}"), &self.address.to_string())
    }

    /// Leads to `port` on 127.0.0.1 from now on. What is connected stays so, until it is cut.
    pub fn lead_to(&self, port: u16) {
        *self.line.ports.lock().unwrap_or_else(PoisonError::into_inner) = vec![port];
    }

    /// Breaks every connection that exists. New ones are fine.
    pub fn cut(&self) {
        self.network.send_modify(|network| network.generation += 1);
    }

    /// Breaks every connection, and every new one at once.
    pub fn refuse(&self) {
        self.network.send_modify(|network| {
            network.generation += 1;
            network.weather = Weather::Refusing;
        });
    }

    /// Lets nothing pass, while connections stay open.
    pub fn silence(&self) {
        self.network.send_modify(|network| network.weather = Weather::Silent);
    }

    /// Lets nothing pass any more on these connections, which stay open, and everything on others. They are numbered
    /// from 0 in the order in which they were [`accepted`](Self::accepted).
    pub fn strand(&self, connections: Range<usize>) {
        self.network.send_modify(|network| {
            network.stranded = (connections.start, connections.end);
            network.weather = Weather::Fair;
        });
    }

    /// Connections that were taken so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.line.accepted.load(Ordering::SeqCst)
    }

    /// Lets nothing pass that `side` says, while connections stay open and the other side is heard. Followed by
    /// [`cut`](Self::cut) it leaves a program without the answer to what it asked: perhaps it was done.
    pub fn half_open(&self, side: Side) {
        self.network.send_modify(|network| network.weather = Weather::HalfOpen(side));
    }

    /// As [`half_open`](Self::half_open), but each connection is whole until the program says `words` on it. Those do
    /// not pass if it is the program that is not heard; otherwise they do, and exactly their answer is missing.
    pub fn half_open_from(&self, side: Side, words: &'static str) {
        self.network.send_modify(|network| network.weather = Weather::HalfOpenFrom(side, words));
    }

    /// Holds everything back for `delay`, chunk by chunk.
    pub fn delay(&self, delay: Duration) {
        self.network.send_modify(|network| network.weather = Weather::Slow(delay));
    }

    /// Lets `bytes` of the next chunk that `side` says pass, or all but its last byte if there are no more, and breaks
    /// its connection.
    pub fn tear(&self, side: Side, bytes: usize) {
        self.harm_next(Some((side, Harm::Torn(bytes))));
    }

    /// Puts garbage in the place of the next chunk that `side` says. Its connection stays open.
    pub fn garble(&self, side: Side) {
        self.harm_next(Some((side, Harm::Garbled)));
    }

    /// Chunks that were torn or garbled so far.
    #[must_use]
    pub fn harmed(&self) -> usize {
        self.line.harmed.load(Ordering::SeqCst)
    }

    fn harm_next(&self, harm: Option<(Side, Harm)>) {
        *self.line.next.lock().unwrap_or_else(PoisonError::into_inner) = harm;
    }

    /// Breaks every connection with what was held back on it, and lets new ones pass.
    pub fn restore_anew(&self) {
        self.network.send_modify(|network| {
            network.generation += 1;
            network.weather = Weather::Fair;
        });
    }

    /// Lets everything pass again. What was held back passes first.
    pub fn restore(&self) {
        self.harm_next(None);
        self.network.send_modify(|network| network.weather = Weather::Fair);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.refuse();
    }
}

async fn accept(listener: TcpListener, line: Arc<Line>, network: watch::Receiver<Network>) {
    let mut turn = 0;
    while let Ok((client, _)) = listener.accept().await {
        let number = line.accepted.fetch_add(1, Ordering::SeqCst);
        let (line, mut network) = (Arc::clone(&line), network.clone());
        // What was sent before this connection existed does not concern it.
        let now = *network.borrow_and_update();
        if now.weather == Weather::Refusing {
            continue;
        }
        let mut in_turn = line.ports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        turn = (turn + 1) % in_turn.len();
        in_turn.rotate_left(turn);
        tokio::spawn(async move {
            for port in in_turn {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                    return join(client, server, (now.generation, number), &line, network).await;
                }
            }
            // Servers that are down look like one that hangs up: the client sees its connection end.
        });
    }
}

/// Carries bytes both ways until one side ends or the connection is cut. Dropping both sockets ends it.
async fn join(
    client: TcpStream,
    server: TcpStream,
    (generation, number): (u64, usize),
    line: &Line,
    mut network: watch::Receiver<Network>,
) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (passing, said) = (network.clone(), AtomicBool::new(false));
    tokio::select! {
        // First: what was held back when the connection was cut must not slip through.
        biased;
        _ = network.wait_for(|network| network.generation > generation) => {}
        _ = carry((number, Side::Program, line), from_client, to_server, passing.clone(), &said) => {}
        _ = carry((number, Side::Server, line), from_server, to_client, passing.clone(), &said) => {}
    }
}

async fn carry(
    (number, side, line): (usize, Side, &Line),
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
    said: &AtomicBool,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let bytes = from.read(&mut chunk).await?;
        // Noted before anything passes, so before there is an answer.
        if let Weather::HalfOpenFrom(_, words) = network.borrow().weather
            && side == Side::Program
            && says(&chunk[..bytes], words)
        {
            said.store(true, Ordering::Relaxed);
        }
        let passes = |network: &Network| !network.holds_back(number, side, said.load(Ordering::Relaxed));
        let weather = match network.wait_for(passes).await {
            Ok(network) => network.weather,
            // The relay is gone.
            Err(_) => return Ok(()),
        };
        if let Weather::Slow(delay) = weather {
            tokio::time::sleep(delay).await;
        }
        if bytes == 0 {
            return Ok(());
        }
        let harm = line.harm(side, bytes);
        let bytes = match harm {
            Some(Harm::Torn(passing)) => passing.min(bytes - 1),
            _ => bytes,
        };
        if let Some(Harm::Garbled) = harm {
            chunk[..bytes].iter_mut().for_each(|byte| *byte = !*byte);
        }
        to.write_all(&chunk[..bytes]).await?;
        if harm.is_some() {
            line.harmed.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(Harm::Torn(_)) = harm {
            return Ok(());
        }
    }
}

/// Whether `words` are in a chunk. Words that two chunks share are not found: these are for words of a line.
fn says(chunk: &[u8], words: &str) -> bool {
    chunk.windows(words.len()).any(|window| window == words.as_bytes())
}
