//! The reads of a ledger, over its pool of readers: the same for both databases.

/// Statements of an audit, at most: it has about twenty, and each may read everything.
pub(in crate::ledger) const AUDIT_STATEMENTS: u32 = 32;

/// The answer to one read, by a reader that the ledger lends for the time that so many statements may take.
macro_rules! answer {
    ($statements:expr, $ledger:expr, $read:path $(, $argument:expr)*) => {{
        let answer = async {
            let mut reader = $ledger.reader().await?;
            let answer = $read(&mut reader $(, $argument)*).await;
            $ledger.done(reader, answer)
        };
        $ledger.in_time_for($statements, answer).await
    }};
}

/// Implements [`LedgerReads`](crate::ledger::LedgerReads) for a ledger with the statements of the module `$sql`. It has
/// `reader()`, which lends a connection to read with, `done()`, which takes it back with the answer, and `in_time_for()`,
/// which waits for the answer of so many statements and not for ever.
macro_rules! answers {
    ($Ledger:ty, $sql:ident) => {
        #[async_trait::async_trait]
        impl crate::ledger::LedgerReads for $Ledger {
            async fn definitions(&self, fingerprint: &str) -> Result<Option<String>, LedgerError> {
                crate::ledger::sql::answer!(1, self, $sql::definitions, fingerprint)
            }

            async fn partition_states(
                &self,
                asset: &str,
                sink: &mut StateSink<'_>,
            ) -> Result<(), LedgerError> {
                crate::ledger::sql::answer!(1, self, $sql::partition_states, asset, sink)
            }

            async fn run_by_client_key(&self, client_key: &str) -> Result<Option<RunId>, LedgerError> {
                crate::ledger::sql::answer!(1, self, $sql::run_by_client_key, client_key)
            }

            async fn run(&self, id: RunId) -> Result<Option<RunSummary>, LedgerError> {
                crate::ledger::sql::answer!(1, self, $sql::run, id)
            }

            async fn runs(&self, filter: &RunFilter) -> Result<Page<RunSummary, RunId>, LedgerError> {
                crate::ledger::sql::answer!(1, self, $sql::runs, filter)
            }

            async fn materializations(
                &self,
                query: &MaterializationQuery,
            ) -> Result<Page<Materialization, String>, LedgerError> {
                crate::ledger::sql::answer!(1, self, $sql::materializations, query)
            }

            async fn attempts(
                &self,
                query: &AttemptQuery,
            ) -> Result<Page<AttemptRecord, AttemptCursor>, LedgerError> {
                crate::ledger::sql::answer!(1, self, $sql::attempts, query)
            }

            async fn succeeded(
                &self,
                run: RunId,
            ) -> Result<Vec<backstitch_proto::partition::PartitionSubset>, LedgerError> {
                crate::ledger::sql::answer!(1, self, $sql::succeeded, run)
            }

            async fn successes(&self, run: RunId, sink: &mut SuccessSink<'_>) -> Result<(), LedgerError> {
                crate::ledger::sql::answer!(1, self, $sql::successes, run, sink)
            }

            async fn audit(&self) -> Result<AuditReport, LedgerError> {
                crate::ledger::sql::answer!(crate::ledger::sql::AUDIT_STATEMENTS, self, $sql::audit)
            }
        }
    };
}

pub(in crate::ledger) use {answer, answers};
