//! The progress of live runs: segments in, unions out.

macro_rules! progress {
    ($Database:ty) => {
        mod progress {
            use std::collections::HashMap;

            use backstitch_proto::id::RunId;
            use backstitch_proto::partition::PartitionSubset;
            use sqlx::QueryBuilder;

            use crate::ledger::LedgerError;
            use crate::ledger::error::{Doing, unreadable};
            use crate::ledger::progress::{Fold, Key, Progress, SegmentColumns};
            use crate::ledger::sql::bulk::statements;

            type Connection = <$Database as sqlx::Database>::Connection;

            pub(in crate::ledger) async fn insert_progress(
                connection: &mut Connection,
                number: i64,
                segments: &[(Key, SegmentColumns)],
            ) -> Result<(), LedgerError> {
                for rows in statements(segments, |(_, columns)| columns.bytes()) {
                    let mut query = QueryBuilder::<$Database>::new(
                        "INSERT INTO progress (run_id, asset_index, segment, succeeded, failed, cancelled, retried) ",
                    );
                    query.push_values(rows, |mut row, ((run, asset_index), columns)| {
                        row.push_bind(run.0)
                            .push_bind(i32::from(*asset_index))
                            .push_bind(number)
                            .push_bind(columns.succeeded.as_slice())
                            .push_bind(columns.failed.as_slice())
                            .push_bind(columns.cancelled.as_slice())
                            .push_bind(columns.retried.as_slice());
                    });
                    query.build().execute(&mut *connection).await.doing("committing the progress of a run")?;
                }
                Ok(())
            }

            /// Unites segments of one asset of one run in one of this number.
            pub(in crate::ledger) async fn fold_progress(
                connection: &mut Connection,
                number: i64,
                fold: &Fold,
            ) -> Result<(), LedgerError> {
                const DOING: &str = "folding the progress of a run";
                let (run, asset_index) = fold.key;
                let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)> = sqlx::query_as(
                    "DELETE FROM progress WHERE run_id = $1 AND asset_index = $2 AND segment BETWEEN $3 AND $4 \
                     RETURNING succeeded, failed, cancelled, retried",
                )
                .bind(run.0)
                .bind(i32::from(asset_index))
                .bind(fold.numbers.start())
                .bind(fold.numbers.end())
                .fetch_all(&mut *connection)
                .await
                .doing(DOING)?;
                let mut progress = Progress::default();
                for (succeeded, failed, cancelled, retried) in rows {
                    let segment = SegmentColumns { succeeded, failed, cancelled, retried };
                    progress.unite(&segment).map_err(unreadable("the progress of a run"))?;
                }
                progress.settle();
                insert_progress(connection, number, &[(fold.key, progress.to_columns())]).await
            }

            /// The tasks of a live run that succeeded, by position of their asset.
            pub(in crate::ledger) async fn materialized_so_far(
                connection: &mut Connection,
                run: RunId,
            ) -> Result<HashMap<u16, PartitionSubset>, LedgerError> {
                let segments: Vec<(i32, Vec<u8>)> = sqlx::query_as(
                    "SELECT asset_index, succeeded FROM progress WHERE run_id = $1 AND length(succeeded) > 0",
                )
                .bind(run.0)
                .fetch_all(connection)
                .await
                .doing("reading what a run has materialized")?;
                let mut sets: HashMap<u16, PartitionSubset> = HashMap::new();
                for (position, bytes) in segments {
                    let segment =
                        PartitionSubset::from_bytes(&bytes).map_err(unreadable("the progress of a run"))?;
                    let set = sets.entry(position as u16).or_default();
                    *set = set.union(&segment);
                }
                Ok(sets)
            }
        }
        pub(in crate::ledger) use progress::*;
    };
}

pub(super) use progress;
