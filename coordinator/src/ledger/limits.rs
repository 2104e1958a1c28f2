//! What a submission must keep to, so that every database can store it and everything that follows from it.

use thiserror::Error;

use super::RunRecord;
use super::text::KEY_BYTES_MAX;

/// SQL has signed integers.
const ORDINAL_MAX: u32 = i32::MAX as u32;

/// Positions of assets are 16-bit numbers, in messages too.
const ASSETS_MAX: usize = 1 << 16;

/// A submission that the ledger cannot store.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotStorable {
    /// An idempotency key that is too long for an index.
    #[error("the client key has {bytes} bytes, at most {KEY_BYTES_MAX} are possible: use a hash of it")]
    ClientKey {
        /// Its length.
        bytes: usize,
    },
    /// A name that is too long for an index.
    #[error("the name of asset \"{}...\" has {} bytes, at most {KEY_BYTES_MAX} are possible", name.chars().take(40).collect::<String>(), name.len())]
    AssetName {
        /// The name.
        name: String,
    },
    /// More partitions than the ledger can number.
    #[error(
        "asset \"{asset}\" has partition number {ordinal}, the ledger counts to {ORDINAL_MAX}: use coarser partitions"
    )]
    Ordinal {
        /// The asset.
        asset: String,
        /// The highest ordinal.
        ordinal: u32,
    },
    /// More assets than a run can have.
    #[error("the run has {assets} assets, at most {ASSETS_MAX} are possible: submit several runs")]
    Assets {
        /// How many.
        assets: usize,
    },
}

impl RunRecord {
    /// Whether the ledger can store it. Ask before it enters a batch: there it would stop everything beside it.
    pub fn check_storable(&self) -> Result<(), NotStorable> {
        if let Some(bytes) = self.client_key.as_ref().map(String::len).filter(|bytes| *bytes > KEY_BYTES_MAX)
        {
            return Err(NotStorable::ClientKey { bytes });
        }
        if self.assets.len() > ASSETS_MAX {
            return Err(NotStorable::Assets { assets: self.assets.len() });
        }
        for planned in &self.assets {
            if planned.asset.len() > KEY_BYTES_MAX {
                return Err(NotStorable::AssetName { name: planned.asset.to_string() });
            }
            if let Some(ordinal) = planned.targets.last().filter(|ordinal| *ordinal > ORDINAL_MAX) {
                return Err(NotStorable::Ordinal { asset: planned.asset.to_string(), ordinal });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backstitch_proto::id::RunId;
    use backstitch_proto::partition::PartitionSubset;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::PlannedAsset;

    fn run(asset: &str, ordinal: u32) -> RunRecord {
        let targets = PartitionSubset::from_ordinals([ordinal]);
        let assets = vec![PlannedAsset { asset: Arc::from(asset), targets }];
        RunRecord {
            client_key: Some("k".repeat(KEY_BYTES_MAX)),
            ..RunRecord::backfill(RunId(Uuid::nil()), String::new(), 0, assets)
        }
    }

    #[test]
    fn a_submission_at_its_limits_is_accepted_and_one_beyond_them_is_told_which() {
        assert_eq!(run(&"a".repeat(KEY_BYTES_MAX), ORDINAL_MAX).check_storable(), Ok(()));
        let mut long_key = run("a", 0);
        long_key.client_key = Some("k".repeat(KEY_BYTES_MAX + 1));
        assert_eq!(long_key.check_storable(), Err(NotStorable::ClientKey { bytes: KEY_BYTES_MAX + 1 }));
        let name = "ü".repeat(KEY_BYTES_MAX);
        let refused = run(&name, 0).check_storable().expect_err("a long name");
        assert!(refused.to_string().contains("üüü...\" has 2048 bytes"), "{refused}");
        let refused = run("a", ORDINAL_MAX + 1).check_storable();
        assert_eq!(refused, Err(NotStorable::Ordinal { asset: "a".to_owned(), ordinal: ORDINAL_MAX + 1 }));
    }
}
