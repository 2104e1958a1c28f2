//! The first command that a newcomer runs.

use anyhow::{Context, Result, ensure};

use crate::expected;
use crate::world::{copy_of_example, run, run_json};

#[tokio::test]
async fn the_first_command_gives_every_monthly_mean_that_the_raw_files_give() -> Result<()> {
    let project = copy_of_example()?;
    let folder = project.path().to_str().context("a path")?;
    run(["backfill", "--project", folder, "--all"]).await?;
    for (asset, count) in expected::MATERIALIZATIONS {
        let listed = run_json(["materializations", asset, "--project", folder, "--output", "json"]).await?;
        ensure!(listed.as_array().map_or(0, Vec::len) == count, "{asset}: {listed}");
    }
    let readings =
        run_json(["materializations", "readings", "--project", folder, "--output", "json"]).await?;
    expected::check_readings(&readings)?;
    let months =
        run_json(["materializations", "monthly_report", "--project", folder, "--output", "json"]).await?;
    expected::check_months(&months)?;

    let again = run(["backfill", "--project", folder, "--all"]).await?;
    ensure!(again.to_lowercase().contains("nothing"), "the second run must have nothing to do: {again}");
    let runs = run_json(["runs", "list", "--project", folder, "--output", "json"]).await?;
    ensure!(runs.as_array().map_or(0, Vec::len) == 1, "the second command must not make a run: {runs}");
    run(["verify", "--project", folder]).await?;
    Ok(())
}
