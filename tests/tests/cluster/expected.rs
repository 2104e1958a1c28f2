//! What the ledger must hold, worked out from the raw files and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// How many partitions of each asset there are.
pub(crate) const MATERIALIZATIONS: [(&str, usize); 4] =
    [("readings", 730), ("daily_summary", 730), ("monthly_report", 24), ("city_comparison", 1)];

/// Tasks of the whole project.
pub(crate) const TASKS: u64 = 730 + 730 + 24 + 1;

/// The example project, as it is in the repository.
pub(crate) fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/weather")
}

/// Temperatures in tenths of a degree: exact, whatever is added up.
type Tenths = Vec<i64>;

/// All hourly temperatures of each city and month, by partition key of `monthly_report`.
fn by_month() -> Result<BTreeMap<String, Tenths>> {
    let mut months: BTreeMap<String, Tenths> = BTreeMap::new();
    for (city, file) in [("seattle", "seattle-temps.csv"), ("san_francisco", "sf-temps.csv")] {
        let text = std::fs::read_to_string(example().join("data").join(file))?;
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().context("a header")?.split(',').collect();
        let column = |name: &str| header.iter().position(|found| *found == name).context("a column");
        let (date, temp) = (column("date")?, column("temp")?);
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            // 2010/01/31 05:00 is in 2010-01-01, the month's first day.
            let month = format!("{city}|{}-01", cells[date][..7].replace('/', "-"));
            let degrees: f64 = cells[temp].parse()?;
            months.entry(month).or_default().push((degrees * 10.0).round() as i64);
        }
    }
    ensure!(months.len() == 24, "the raw files have {} months", months.len());
    Ok(months)
}

/// Compares what `materializations monthly_report --output json` printed with the raw files.
pub(crate) fn check_months(listed: &Value) -> Result<()> {
    let listed = listed.as_array().context("a list")?;
    let months = by_month()?;
    ensure!(listed.len() == months.len(), "{} months are listed", listed.len());
    for made in listed {
        ensure!(made["asset"] == "monthly_report", "{made}");
        let key = made["partition"].as_str().context("a partition")?;
        let hours = months.get(key).with_context(|| format!("{key} is not in the raw files"))?;
        let reported = |name: &str| made["metadata"][name].as_f64().with_context(|| format!("{key}: {name}"));
        let mean = hours.iter().sum::<i64>() as f64 / hours.len() as f64 / 10.0;
        let (min, max) = (hours.iter().min().context("hours")?, hours.iter().max().context("hours")?);
        // Rounded to two decimals: at most half of the last place away.
        ensure!((reported("mean_f")? - mean).abs() <= 0.005 + 1e-9, "{key}: mean {mean}, listed {made}");
        ensure!((reported("min_f")? - *min as f64 / 10.0).abs() < 1e-9, "{key}: min {min}, listed {made}");
        ensure!((reported("max_f")? - *max as f64 / 10.0).abs() < 1e-9, "{key}: max {max}, listed {made}");
    }
    Ok(())
}

/// The rows of the raw files per city and day add up to what `readings` reports.
pub(crate) fn check_readings(listed: &Value) -> Result<()> {
    let rows: i64 = listed
        .as_array()
        .context("a list")?
        .iter()
        .map(|made| made["metadata"]["row_count"].as_i64().context("row_count"))
        .sum::<Result<i64>>()?;
    let hours: usize = by_month()?.values().map(Vec::len).sum();
    ensure!(rows == hours as i64, "the raw files have {hours} rows, readings report {rows}");
    Ok(())
}
