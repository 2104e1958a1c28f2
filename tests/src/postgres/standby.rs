//! A second server that has everything that the first one has committed, and takes its place.

use anyhow::{Context, Result, ensure};
use sqlx::{Connection, PgConnection};

use super::{Postgres, folder};
use crate::wait::{SOON, wait_for};

/// Longer than the end of recovery takes.
const PROMOTION_S: i32 = 60;

impl Postgres {
    /// Starts a standby of this server. When this returns, a commit is confirmed only once the standby has it too.
    ///
    /// # Errors
    /// When it does not start or does not follow.
    pub async fn start_standby(&self) -> Result<Self> {
        // It listens before it serves.
        let mut session =
            wait_for("the server to serve", SOON, async || PgConnection::connect(&self.url()).await.ok())
                .await?;
        let mut standby = Self::prepare(folder()?)?;
        let (port, data) = (self.port.to_string(), standby.data().display().to_string());
        let copy =
            ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-D", &data, "-c", "fast", "-R", "--no-sync"];
        standby.complete("pg_basebackup", &copy).await?;
        standby.restart().await?;
        sqlx::raw_sql("ALTER SYSTEM SET synchronous_standby_names = '*'").execute(&mut session).await?;
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut session).await?;
        wait_for("the standby to follow every commit", SOON, async || {
            let follows = "SELECT COUNT(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'";
            let follows: bool = sqlx::query_scalar(follows).fetch_one(&mut session).await.ok()?;
            follows.then_some(())
        })
        .await?;
        Ok(standby)
    }

    /// Makes a standby take commits, without waiting for a standby of its own.
    ///
    /// # Errors
    /// When it does not.
    pub async fn promote(&self) -> Result<()> {
        let mut session = PgConnection::connect(&self.url()).await?;
        let promoted: bool = sqlx::query_scalar("SELECT pg_promote(TRUE, $1)")
            .bind(PROMOTION_S)
            .fetch_one(&mut session)
            .await
            .context("promoting a standby")?;
        ensure!(promoted, "the standby is none any more");
        Ok(())
    }
}
