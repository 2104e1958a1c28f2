//! `soak --minutes N [--seed S]`: mixed load with faults for a while, then heal, quiesce and a full audit.
//!
//! The seed decides what happens and in which order; when it happens is up to the machine. It is printed, and with
//! it every step, so that a failure can be walked through again. `tests/soak` builds and starts it.

mod bag;
mod check;
mod fault;
mod lines;
mod load;
mod processes;
mod servers;
mod strangers;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use backstitch_tests::cluster::{Broker, Cluster, Database, Shape};
use backstitch_tests::wait::pass;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use bag::Bag;
use fault::{ALL, Strike, replace_what_is_gone};
use load::Load;

/// The longest that something stays broken. Two leases: everything that gives up after a while has given up.
const BROKEN_MAX: Duration = Duration::from_secs(20);

/// After so many faults the live system is verified.
const VERIFIED_EVERY: usize = 5;

/// A slow machine may take so much longer until each kind of fault has been made.
const OVERTIME: Duration = Duration::from_secs(10 * 60);

/// What was asked for.
struct Asked {
    time: Duration,
    seed: u64,
}

fn asked() -> Result<Asked> {
    let mut asked = Asked { time: Duration::from_secs(60 * 60), seed: rand::random() };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--minutes" => asked.time = Duration::from_secs_f64(60.0 * value.parse::<f64>()?),
            "--seed" => asked.seed = value.parse()?,
            _ => bail!("usage: soak [--minutes N] [--seed S]"),
        }
    }
    Ok(asked)
}

#[tokio::main]
async fn main() -> Result<()> {
    let Asked { time, seed } = asked()?;
    println!("soak: {:.1} minutes, seed {seed}", time.as_secs_f64() / 60.0);
    soak(time, seed).await.with_context(|| format!("seed {seed}"))
}

async fn soak(time: Duration, seed: u64) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(load::project()?, shape()).await?;
    cluster.garbage = true;
    let (mut load, mut bag) = (Load::default(), Bag::default());
    // In a short time each kind of fault has its turn too.
    let longest = BROKEN_MAX.min(time / ALL.len() as u32);
    let (begin, mut steps) = (Instant::now(), 0);
    while begin.elapsed() < time || (!bag.missing().is_empty() && begin.elapsed() < time + OVERTIME) {
        load.step(&cluster, &mut rng).await?;
        let fault = bag.draw(&mut rng);
        println!("soak: {:4.0} s, {fault:?}", begin.elapsed().as_secs_f64());
        let is_first = bag.is_missing(fault);
        let mut strike = Strike { cluster: &mut cluster, rng: &mut rng, longest, is_first };
        bag.note(fault, strike.make(fault).await.with_context(|| format!("{fault:?}"))?);
        cluster.heal()?;
        replace_what_is_gone(&mut cluster).await?;
        steps += 1;
        if steps % VERIFIED_EVERY == 0 {
            cluster.verify().await.with_context(|| format!("at work, after {fault:?}"))?;
        }
        pass(Duration::from_millis(rng.random_range(500..3_000))).await;
    }
    println!("soak: heal, quiesce, audit");
    cluster.heal()?;
    let (asked, never_asked) = (load.summary(), load.missing());
    let ended = load.end(&mut cluster).await?;
    cluster.audit().await?;
    check::check(&cluster, &ended).await?;
    println!("soak: {}; {asked}", bag.summary());
    let missing = bag.missing();
    ensure!(missing.is_empty(), "never made: {missing:?}");
    ensure!(never_asked.is_empty(), "never taken by a leader: {never_asked:?}");
    let outcomes = cluster.outcomes().await?;
    let runs = ended.len();
    println!("soak: {steps} faults, {runs} runs, attempts {outcomes:?}, seed {seed}: all invariants hold");
    Ok(())
}

fn shape() -> Shape {
    Shape {
        coordinators: 2,
        workers: 4,
        slots: 3,
        broker: Broker::Own,
        database: Database::Own,
        variables: vec![("BACKSTITCH_DRAIN_GRACE", "1s".to_owned())],
        own_clocks: true,
    }
}
