//! The reads of a ledger, over its pool of readers: the same for both databases.

/// Implements [`LedgerReads`](crate::ledger::LedgerReads) for a ledger that has a pool of `readers`, and `reader()` to
/// take one from it, with the statements of the module `$sql`.
macro_rules! answers {
    ($Ledger:ty, $sql:ident) => {
        #[async_trait::async_trait]
        impl crate::ledger::LedgerReads for $Ledger {
            async fn definitions(&self, fingerprint: &str) -> Result<Option<String>, LedgerError> {
                $sql::definitions(&mut *self.reader().await?, fingerprint).await
            }

            async fn partition_states(
                &self,
                asset: &str,
                sink: &mut StateSink<'_>,
            ) -> Result<(), LedgerError> {
                $sql::partition_states(&mut *self.reader().await?, asset, sink).await
            }

            async fn run_by_client_key(&self, client_key: &str) -> Result<Option<RunId>, LedgerError> {
                $sql::run_by_client_key(&mut *self.reader().await?, client_key).await
            }

            async fn run(&self, id: RunId) -> Result<Option<RunSummary>, LedgerError> {
                $sql::run(&mut *self.reader().await?, id).await
            }

            async fn runs(&self, filter: &RunFilter) -> Result<Page<RunSummary, RunId>, LedgerError> {
                $sql::runs(&mut *self.reader().await?, filter).await
            }

            async fn materializations(
                &self,
                query: &MaterializationQuery,
            ) -> Result<Page<Materialization, String>, LedgerError> {
                $sql::materializations(&mut *self.reader().await?, query).await
            }

            async fn attempts(
                &self,
                query: &AttemptQuery,
            ) -> Result<Page<AttemptRecord, AttemptCursor>, LedgerError> {
                $sql::attempts(&mut *self.reader().await?, query).await
            }

            async fn succeeded(
                &self,
                run: RunId,
            ) -> Result<Vec<backstitch_proto::partition::PartitionSubset>, LedgerError> {
                $sql::succeeded(&mut *self.reader().await?, run).await
            }

            async fn audit(&self) -> Result<AuditReport, LedgerError> {
                let mut transaction = self.readers.begin().await.doing("auditing the ledger")?;
                $sql::audit(&mut transaction).await
            }
        }
    };
}

pub(in crate::ledger) use answers;
