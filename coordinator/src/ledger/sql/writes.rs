//! What a submission adds: definitions, assets, runs.
//!
//! Every statement changes nothing when it is run a second time.

macro_rules! writes {
    ($Database:ty) => {
        mod writes {
            use std::collections::{BTreeSet, HashMap, HashSet};
            use std::sync::Arc;

            use backstitch_proto::id::RunId;
            use sqlx::QueryBuilder;

            use crate::ledger::assets::AssetIds;
            use crate::ledger::error::Doing;
            use crate::ledger::month::Month;
            use crate::ledger::sql::bulk::statements;
            use crate::ledger::sql::word;
            use crate::ledger::text::storable;
            use crate::ledger::{Batch, CommitError, LedgerError, PlannedAsset, RunRecord, RunStatus};

            type Connection = <$Database as sqlx::Database>::Connection;

            /// `committed` are fingerprints of definitions that are there.
            pub(in crate::ledger) async fn insert_definitions(
                connection: &mut Connection,
                definitions: &[(String, Arc<str>)],
                committed: &HashSet<String>,
            ) -> Result<(), LedgerError> {
                for (fingerprint, json) in definitions.iter().filter(|(fingerprint, _)| !committed.contains(fingerprint)) {
                    sqlx::query("INSERT INTO definitions (fingerprint, json) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                        .bind(fingerprint)
                        .bind(storable(json))
                        .execute(&mut *connection)
                        .await
                        .doing("committing definitions")?;
                }
                Ok(())
            }

            /// Gives an id to every asset of the batch.
            pub(in crate::ledger) async fn resolve_assets(
                connection: &mut Connection,
                asset_ids: &mut AssetIds<'_>,
                batch: &Batch,
            ) -> Result<(), LedgerError> {
                const DOING: &str = "looking up assets";
                let unknown = asset_ids.unknown(batch);
                // As they are stored: names that differ only in a NUL are one asset.
                let stored: BTreeSet<_> = unknown.iter().map(|name| storable(name)).collect();
                let mut stored = Vec::from_iter(stored);
                let mut ids: HashMap<String, i32> = HashMap::with_capacity(stored.len());
                for names in statements(&stored, |name| name.len()) {
                    let mut query = QueryBuilder::<$Database>::new("SELECT name, id FROM assets WHERE name IN (");
                    let mut list = query.separated(", ");
                    for name in names {
                        list.push_bind(name.as_ref());
                    }
                    query.push(")");
                    ids.extend(query.build_query_as::<(String, i32)>().fetch_all(&mut *connection).await.doing(DOING)?);
                }
                stored.retain(|name| !ids.contains_key(name.as_ref()));
                for names in statements(&stored, |name| name.len()) {
                    let mut query = QueryBuilder::<$Database>::new("INSERT INTO assets (name) ");
                    query.push_values(names, |mut row, name| _ = row.push_bind(name.as_ref()));
                    query.push(" RETURNING name, id");
                    ids.extend(query.build_query_as::<(String, i32)>().fetch_all(&mut *connection).await.doing(DOING)?);
                }
                for name in unknown {
                    // Each was found or inserted.
                    let id = ids[storable(&name).as_ref()];
                    asset_ids.add(name, id);
                }
                Ok(())
            }

            pub(in crate::ledger) async fn insert_run(
                connection: &mut Connection,
                run: &RunRecord,
                asset_ids: &AssetIds<'_>,
            ) -> Result<(), CommitError> {
                const DOING: &str = "committing a run";
                // Pairs of text: JSON has room for every one of them.
                let tags = serde_json::to_string(&run.tags).expect("tags are text");
                sqlx::query(
                    "INSERT INTO runs (id, origin, status, priority, max_parallel, created_us, evaluated_us, job, \
                     selection, partitions, client_key, tags, config, definitions, traceparent) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING",
                )
                .bind(run.id.0)
                .bind(word(run.origin))
                .bind(word(RunStatus::Running))
                .bind(run.priority)
                .bind(run.max_parallel.map(i64::from))
                .bind(run.created_us)
                .bind(run.evaluated_us)
                .bind(run.job.as_deref().map(storable))
                .bind(storable(&run.selection))
                .bind(run.partitions.as_deref().map(storable))
                .bind(run.client_key.as_deref().map(storable))
                .bind(&tags)
                .bind(storable(&run.config_json))
                .bind(&run.definitions)
                .bind(run.traceparent.as_deref())
                .execute(&mut *connection)
                .await
                .doing(DOING)?;
                if let Some(client_key) = &run.client_key {
                    let owner = run_by_client_key(connection, client_key).await?;
                    if let Some(owner) = owner.filter(|owner| *owner != run.id) {
                        return Err(CommitError::ClientKeyTaken { run: run.id, owner });
                    }
                }
                let columns = |(position, planned): (usize, &PlannedAsset)| {
                    (position as i32, asset_ids.of(&planned.asset), planned.targets.to_bytes())
                };
                let rows: Vec<_> = run.assets.iter().enumerate().map(columns).collect();
                for rows in statements(&rows, |(.., targets)| targets.len()) {
                    let mut query =
                        QueryBuilder::<$Database>::new("INSERT INTO run_assets (run_id, position, asset_id, targets) ");
                    query.push_values(rows, |mut row, (position, asset_id, targets)| {
                        row.push_bind(run.id.0).push_bind(*position).push_bind(*asset_id).push_bind(targets.as_slice());
                    });
                    query.push(" ON CONFLICT DO NOTHING");
                    query.build().execute(&mut *connection).await.doing(DOING)?;
                }
                Ok(())
            }

            /// The run that was submitted with this idempotency key.
            pub(in crate::ledger) async fn run_by_client_key(
                connection: &mut Connection,
                client_key: &str,
            ) -> Result<Option<RunId>, LedgerError> {
                let id = sqlx::query_scalar("SELECT id FROM runs WHERE client_key = $1")
                    .bind(storable(client_key))
                    .fetch_optional(connection)
                    .await
                    .doing("looking up a client key")?;
                Ok(id.map(RunId))
            }

            /// The first month whose history must stay: the one of this time, or of the oldest live run.
            pub(in crate::ledger) async fn first_month_to_keep(
                connection: &mut Connection,
                before_us: i64,
            ) -> Result<Month, LedgerError> {
                let oldest_live: Option<uuid::Uuid> =
                    sqlx::query_scalar("SELECT id FROM runs WHERE finished_us IS NULL ORDER BY id LIMIT 1")
                        .fetch_optional(connection)
                        .await
                        .doing("looking for the oldest live run")?;
                let month = Month::at(before_us.div_euclid(1_000));
                Ok(oldest_live.map_or(month, |run| month.min(Month::of(RunId(run)))))
            }
        }
        pub(in crate::ledger) use writes::*;
    };
}

pub(super) use writes;
