//! `soak --minutes N [--seed S]`: mixed load with faults for a while, then heal, quiesce and a full audit.
//!
//! The seed decides what happens and in which order; when it happens is up to the machine. It is printed, and with
//! it every step, so that a failure can be walked through again. `tests/soak` builds and starts it.

mod faults;
mod load;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use backstitch_tests::cluster::{Broker, Cluster, Database, Project, Shape};
use backstitch_tests::wait::pass;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use load::Load;

/// Partitions of each of the two assets. Runs are of parts of them.
const SLICES: u32 = 300;

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
    let mut rng = StdRng::seed_from_u64(seed);
    let shape = Shape {
        coordinators: 2,
        workers: 4,
        slots: 3,
        broker: Broker::Own,
        database: Database::Own,
        variables: vec![("BACKSTITCH_DRAIN_GRACE", "1s".to_owned())],
    };
    let mut cluster = Cluster::start(Project::chain(SLICES, "0.1")?, shape).await?;
    let mut load = Load::default();
    let begin = Instant::now();
    let mut steps = 0;
    while begin.elapsed() < time {
        load.step(&cluster, &mut rng).await?;
        let fault = faults::choose(&mut rng);
        println!("soak: {:4.0} s, {fault:?}", begin.elapsed().as_secs_f64());
        faults::strike(fault, &mut cluster, &mut rng)
            .await
            .with_context(|| format!("{fault:?}, seed {seed}"))?;
        cluster.heal()?;
        faults::replace_what_is_gone(&mut cluster).await?;
        pass(Duration::from_millis(rng.random_range(500..4_000))).await;
        steps += 1;
    }
    println!("soak: heal, quiesce, audit");
    let ended = load.end(&mut cluster).await.with_context(|| format!("seed {seed}"))?;
    cluster.audit().await.with_context(|| format!("seed {seed}"))?;
    let outcomes = cluster.outcomes().await?;
    ensure!(outcomes.get("succeeded").is_some_and(|succeeded| *succeeded > 0), "nothing ever succeeded");
    println!("soak: {steps} faults, {ended} runs, attempts {outcomes:?}, seed {seed}: all invariants hold");
    Ok(())
}
