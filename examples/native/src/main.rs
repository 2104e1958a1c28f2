//! A worker program with two native assets. See README.md.

mod daylight;

use backstitch_worker::{AssetError, BatchOutcome, Context, Materialization, Worker, WorkerOptions};
use chrono::{Days, NaiveDate};
use serde::Deserialize;
use tokio::fs;

/// The config of `daylight`, as backstitch.yaml declares it.
#[derive(Deserialize)]
struct Config {
    latitude: f64,
}

/// Many days in one call; each has an outcome of its own.
async fn daylight(ctx: Context) -> Result<BatchOutcome, AssetError> {
    let Config { latitude } = ctx.config()?;
    let folder = ctx.project_dir().join("out/daylight");
    fs::create_dir_all(&folder).await?;
    let mut outcome = BatchOutcome::new();
    for partition in ctx.partitions() {
        let result =
            match daylight::hours(parse(partition.key())?, latitude) {
                Some(hours) => {
                    fs::write(folder.join(partition.key()), hours.to_string()).await?;
                    Ok(Materialization::new().metadata("hours", hours))
                }
                None => Err(AssetError::new(format!("the sun does not set or rise at {latitude} degrees"))
                    .permanent()),
            };
        outcome = outcome.partition(partition.key(), result);
    }
    Ok(outcome)
}

/// One month, from the files of its days.
async fn daylight_by_month(ctx: Context) -> Result<Materialization, AssetError> {
    let (start, end) = ctx.window().ok_or_else(|| AssetError::new("a month has a window").permanent())?;
    let mut hours: Vec<f64> = Vec::new();
    let mut day = start.date_naive();
    while day < end.date_naive() {
        let file = ctx.project_dir().join(format!("out/daylight/{day}"));
        hours.push(fs::read_to_string(file).await?.parse()?);
        day = day + Days::new(1);
    }
    ctx.log(format!("{} days from {start}", hours.len()));
    let (shortest, longest) =
        (hours.iter().copied().fold(f64::MAX, f64::min), hours.iter().copied().fold(0.0, f64::max));
    Ok(Materialization::new()
        .metadata("days", hours.len())
        .metadata("shortest", shortest)
        .metadata("mean", hours.iter().sum::<f64>() / hours.len() as f64)
        .metadata("longest", longest))
}

fn parse(key: &str) -> Result<NaiveDate, AssetError> {
    key.parse()
        .map_err(|error| AssetError::new(format!("partition key \"{key}\" is no date: {error}")).permanent())
}

#[tokio::main]
async fn main() -> Result<(), backstitch_worker::WorkerError> {
    let options = WorkerOptions {
        queues: vec!["daylight".to_owned()],
        project_dir: std::env::args_os().nth(1).unwrap_or_else(|| ".".into()).into(),
        ..WorkerOptions::default()
    };
    Worker::builder()
        .options(options)
        .asset_batch("daylight", daylight)
        .asset("daylight_by_month", daylight_by_month)
        .run()
        .await
}
