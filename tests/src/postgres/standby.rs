//! A second server that has everything that the first one has committed, or lacks the last of it, and takes its place.

use anyhow::{Context, Result, ensure};
use sqlx::{Connection, PgConnection};

use super::{Postgres, folder};
use crate::relay::Relay;
use crate::wait::{SOON, wait_for};

/// Longer than the end of recovery takes.
const PROMOTION_S: i32 = 60;

impl Postgres {
    /// Starts a standby of this server. When this returns, a commit is confirmed only once the standby has it too.
    ///
    /// # Errors
    /// When it does not start or does not follow.
    pub async fn start_standby(&self) -> Result<Self> {
        let mut session = self.session().await?;
        let standby = self.start_copy(self.port).await?;
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

    /// Starts a standby that no commit waits for, and that follows by `line` to this server. What has not passed it when
    /// this server dies, the standby never has.
    ///
    /// # Errors
    /// When it does not start or does not follow.
    pub async fn start_late_standby(&self, line: &Relay) -> Result<Self> {
        let mut session = self.session().await?;
        let standby = self.start_copy(line.port()).await?;
        wait_for("the standby to follow", SOON, async || {
            let follows = "SELECT COUNT(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'";
            let follows: bool = sqlx::query_scalar(follows).fetch_one(&mut session).await.ok()?;
            follows.then_some(())
        })
        .await?;
        Ok(standby)
    }

    /// A session, when it serves: it listens before that.
    async fn session(&self) -> Result<PgConnection> {
        wait_for("the server to serve", SOON, async || PgConnection::connect(&self.url()).await.ok()).await
    }

    /// Starts a copy of this server that follows it at `port`.
    async fn start_copy(&self, port: u16) -> Result<Self> {
        let mut standby = Self::prepare(folder()?)?;
        let (port, data) = (port.to_string(), standby.data().display().to_string());
        let copy =
            ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-D", &data, "-c", "fast", "-R", "--no-sync"];
        standby.complete("pg_basebackup", &copy).await?;
        standby.restart().await?;
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
