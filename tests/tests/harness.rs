//! The harness itself: what it starts, it ends, and what it breaks, it breaks.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use backstitch_tests::loss::Loss;
use backstitch_tests::postgres::Postgres;
use backstitch_tests::process::Process;
use backstitch_tests::relay::{Relay, Side};
use backstitch_tests::shared::skipped;
use backstitch_tests::wait::{SOON, soon, wait_for};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Waits until a process has ended. A zombie has: nobody may be there to collect it.
async fn gone(process: u32) -> Result<()> {
    let status = format!("/proc/{process}/status");
    wait_for("a process to end", SOON, async || match std::fs::read_to_string(&status) {
        Ok(status) => status.contains("State:\tZ").then_some(()),
        Err(_) => Some(()),
    })
    .await
}

#[tokio::test]
async fn a_process_is_heard_on_both_streams_and_its_end_is_seen() -> Result<()> {
    let mut process = Process::spawn("speaker", shell("echo out; echo err >&2; read -r nothing; exit 3"))?;
    assert_eq!(process.line("out", SOON).await?, "out");
    assert_eq!(process.line("err", SOON).await?, "err");
    assert_eq!(process.wait(SOON).await?.code(), Some(3));
    Ok(())
}

#[tokio::test]
async fn a_line_that_never_comes_is_an_error_that_shows_the_output() -> Result<()> {
    let process = Process::spawn("silent", shell("echo something else; exit 1"))?;
    let error = process.line("expected", SOON).await.err().context("an error")?;
    assert!(format!("{error:#}").contains("it ended without \"expected\""), "{error:#}");
    Ok(())
}

#[tokio::test]
async fn a_line_from_before_a_mark_does_not_count_after_it() -> Result<()> {
    let process = Process::spawn("repeater", shell("echo tick 1; echo tick 2; echo end"))?;
    process.line("end", SOON).await?;
    assert_eq!((process.lines(), process.line_after(1, "tick", SOON).await?), (3, "tick 2".to_owned()));
    assert!(process.line_after(2, "tick", SOON).await.is_err());
    Ok(())
}

#[tokio::test]
async fn dropping_a_process_ends_its_children() -> Result<()> {
    let process = Process::spawn("parent", shell("sleep 1000 & echo child $!; wait"))?;
    let line = process.line("child", SOON).await?;
    let child = line.strip_prefix("child ").context("an id")?.parse()?;
    drop(process);
    gone(child).await
}

/// The test process of the next test, started by it.
const VICTIM: &str = "BACKSTITCH_TEST_HARNESS_VICTIM";

#[tokio::test]
async fn a_killed_test_leaves_no_process_behind() -> Result<()> {
    if std::env::var_os(VICTIM).is_some() {
        let process = Process::spawn("orphan", shell("echo orphan $$; exec sleep 1000"))?;
        process.line("orphan", SOON).await?;
        std::future::pending::<()>().await;
    }
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_killed_test_leaves_no_process_behind", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(victim.stdout.take().context("a pipe")?).lines();
    let orphan = loop {
        let line = lines.next_line().await?.context("the orphan's id")?;
        if let Some((_, id)) = line.split_once("orphan] orphan ") {
            break id.parse()?;
        }
    };
    victim.kill().await?;
    gone(orphan).await
}

#[tokio::test]
async fn a_postgres_cluster_can_be_killed_and_keeps_its_port() -> Result<()> {
    let mut cluster = Postgres::start().await?;
    let port = cluster.port();
    cluster.kill().await?;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    cluster.restart().await?;
    cluster.stop().await?;
    cluster.restart().await?;
    TcpStream::connect(("127.0.0.1", port)).await?;
    Ok(())
}

/// A server that sends back what it gets, and a relay to it.
async fn echo() -> Result<Relay> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    Relay::to(port).await
}

async fn round_trip(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"ping").await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"ping");
    Ok(())
}

#[tokio::test]
async fn a_relay_breaks_slows_and_silences_what_passes() -> Result<()> {
    let relay = echo().await?;
    let connect = async || TcpStream::connect(("127.0.0.1", relay.port())).await;

    let mut stream = connect().await?;
    round_trip(&mut stream).await?;
    relay.cut();
    assert!(round_trip(&mut stream).await.is_err(), "cut");
    let mut stream = connect().await?;
    round_trip(&mut stream).await.context("after a cut")?;

    relay.delay(Duration::from_millis(100));
    let start = tokio::time::Instant::now();
    round_trip(&mut stream).await?;
    assert!(start.elapsed() >= Duration::from_millis(200), "slow both ways");

    relay.silence();
    stream.write_all(b"held").await?;
    let mut answer = [0; 4];
    let quiet = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await;
    assert!(quiet.is_err(), "silent");
    relay.restore();
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"held", "what was held back passes");

    for side in [Side::Program, Side::Server] {
        relay.half_open(side);
        stream.write_all(b"half").await?;
        let unheard = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await;
        assert!(unheard.is_err(), "{side:?} is not heard");
        relay.restore();
        stream.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"half");

        relay.half_open_from(side, "last");
        round_trip(&mut stream).await.context("before the words")?;
        stream.write_all(b"last").await?;
        let unheard = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await;
        assert!(unheard.is_err(), "{side:?} is not heard from the words on");
        let mut other = connect().await?;
        round_trip(&mut other).await.context("another connection")?;
        relay.restore_anew();
        assert!(round_trip(&mut stream).await.is_err(), "cut");
        stream = connect().await?;
        round_trip(&mut stream).await.context("after a restoration")?;
    }

    for (side, harmed) in [(Side::Program, 1), (Side::Server, 3)] {
        relay.garble(side);
        stream.write_all(b"ping").await?;
        stream.read_exact(&mut answer).await?;
        assert_eq!(answer, b"ping".map(|byte| !byte), "{side:?}: garbled");
        round_trip(&mut stream).await.context("after what was garbled")?;
        relay.tear(side, 3);
        stream.write_all(b"ping").await?;
        let mut torn = Vec::new();
        // Its server may be cut off with something to say, which looks like a reset.
        _ = stream.read_to_end(&mut torn).await;
        assert!(torn.is_empty() || torn == b"pin", "{side:?}: {torn:?}");
        assert_eq!(relay.harmed(), harmed + 1);
        stream = connect().await?;
        round_trip(&mut stream).await.context("after what was torn")?;
    }

    relay.refuse();
    assert!(round_trip(&mut stream).await.is_err(), "refused");
    let again = async { round_trip(&mut connect().await?).await };
    assert!(again.await.is_err(), "refused again");
    relay.restore();
    round_trip(&mut connect().await?).await
}

#[tokio::test]
async fn a_relay_to_several_servers_goes_to_one_that_is_there() -> Result<()> {
    let there = echo().await?;
    // Nobody listens on port 1.
    let relay = Relay::to_any(vec![1, there.port()]).await?;
    for _ in 0..2 {
        round_trip(&mut TcpStream::connect(("127.0.0.1", relay.port())).await?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn packets_are_lost_and_everything_arrives() -> Result<()> {
    if !Loss::is_possible() {
        return skipped("only root can make the network lose packets, with nft");
    }
    let relay = echo().await?;
    let mut stream = TcpStream::connect(("127.0.0.1", relay.port())).await?;
    let loss = Loss::of(30, &[relay.port()])?;
    soon(async {
        while loss.packets()?.contains(&0) {
            round_trip(&mut stream).await?;
        }
        anyhow::Ok(())
    })
    .await?
}

#[tokio::test]
async fn the_packets_that_a_killed_test_loses_are_lost_until_the_next_one() -> Result<()> {
    if !Loss::is_possible() {
        return skipped("only root can make the network lose packets, with nft");
    }
    let mut killed = shell("exit").spawn()?;
    let left_behind = format!("backstitch_loss_{}_0", killed.id().context("an id")?);
    killed.wait().await?;
    let made = shell(&format!("PATH=$PATH:/usr/sbin nft add table ip {left_behind}")).status().await?;
    assert!(made.success());
    drop(Loss::of(1, &[1])?);
    let tables = shell("PATH=$PATH:/usr/sbin nft list tables").output().await?;
    let tables = String::from_utf8(tables.stdout)?;
    assert!(!tables.contains(&left_behind), "{tables}");
    Ok(())
}
