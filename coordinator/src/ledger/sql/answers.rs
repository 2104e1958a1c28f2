//! The reads of a ledger, over its pool of readers: the same for both databases.

/// The answer to one read, by a reader that the ledger lends.
macro_rules! answer {
    ($ledger:expr, $read:path $(, $argument:expr)*) => {{
        let mut reader = $ledger.reader().await?;
        let answer = $read(&mut reader $(, $argument)*).await;
        $ledger.done(reader, answer)
    }};
}

/// Implements [`LedgerReads`](crate::ledger::LedgerReads) for a ledger with the statements of the module `$sql`. It has
/// `reader()`, which lends a connection to read with, and `done()`, which takes it back with the answer.
macro_rules! answers {
    ($Ledger:ty, $sql:ident) => {
        #[async_trait::async_trait]
        impl crate::ledger::LedgerReads for $Ledger {
            async fn definitions(&self, fingerprint: &str) -> Result<Option<String>, LedgerError> {
                crate::ledger::sql::answer!(self, $sql::definitions, fingerprint)
            }

            async fn partition_states(
                &self,
                asset: &str,
                sink: &mut StateSink<'_>,
            ) -> Result<(), LedgerError> {
                crate::ledger::sql::answer!(self, $sql::partition_states, asset, sink)
            }

            async fn run_by_client_key(&self, client_key: &str) -> Result<Option<RunId>, LedgerError> {
                crate::ledger::sql::answer!(self, $sql::run_by_client_key, client_key)
            }

            async fn run(&self, id: RunId) -> Result<Option<RunSummary>, LedgerError> {
                crate::ledger::sql::answer!(self, $sql::run, id)
            }

            async fn runs(&self, filter: &RunFilter) -> Result<Page<RunSummary, RunId>, LedgerError> {
                crate::ledger::sql::answer!(self, $sql::runs, filter)
            }

            async fn materializations(
                &self,
                query: &MaterializationQuery,
            ) -> Result<Page<Materialization, String>, LedgerError> {
                crate::ledger::sql::answer!(self, $sql::materializations, query)
            }

            async fn attempts(
                &self,
                query: &AttemptQuery,
            ) -> Result<Page<AttemptRecord, AttemptCursor>, LedgerError> {
                crate::ledger::sql::answer!(self, $sql::attempts, query)
            }

            async fn succeeded(
                &self,
                run: RunId,
            ) -> Result<Vec<backstitch_proto::partition::PartitionSubset>, LedgerError> {
                crate::ledger::sql::answer!(self, $sql::succeeded, run)
            }

            async fn audit(&self) -> Result<AuditReport, LedgerError> {
                crate::ledger::sql::answer!(self, $sql::audit)
            }
        }
    };
}

pub(in crate::ledger) use {answer, answers};
