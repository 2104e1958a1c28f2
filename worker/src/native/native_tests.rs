use std::time::Duration;

use backstitch_proto::message::{Dispatch, Failure, FailureKind, MetadataValue, Outcome, Verdict};
use serde::Deserialize;

use super::*;
use crate::command::Watchdog;
use crate::execution::{Executed, Executors};
use crate::stop::{self, Stop};
use crate::testing;

const DEADLINE: Duration = Duration::from_secs(30);

async fn run(registry: Registry, dispatch: Dispatch) -> Vec<Outcome> {
    let (_stopper, signal) = stop::channel();
    stoppable(registry, dispatch, signal).await.outcomes
}

async fn stoppable(native: Registry, dispatch: Dispatch, signal: stop::StopSignal) -> Executed {
    let executors = Executors { native, watchdog: Watchdog::default() };
    tokio::time::timeout(DEADLINE, testing::execute(&executors, dispatch, signal)).await.unwrap()
}

fn one<F, Fut>(function: F) -> Registry
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoOutcome> + Send + 'static,
{
    let mut registry = Registry::default();
    registry.insert("asset".into(), function);
    registry
}

fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.verdict {
        Verdict::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[derive(Deserialize)]
struct Config {
    unit: String,
}

async fn daily(ctx: Context) -> Result<Materialization, AssetError> {
    let Config { unit } = ctx.config()?;
    let (start, _) = ctx.window().ok_or_else(|| AssetError::new("no window"))?;
    ctx.log(format!("{} of {}", ctx.asset(), ctx.partition_key()));
    ctx.metadata("city", ctx.dimension("city").unwrap_or("none"));
    Ok(Materialization::new().metadata("unit", unit).metadata("start", start.to_rfc3339()).data_version("v1"))
}

#[tokio::test]
async fn a_function_sees_its_task_and_reports() {
    let mut dispatch = testing::dispatch("asset", &["1970-01-01|sea"]);
    testing::invocation(&mut dispatch).dimensions = vec!["date".into(), "city".into()];
    testing::invocation(&mut dispatch).config_json = r#"{"unit":"F"}"#.into();
    let outcome = run(one(daily), dispatch).await.remove(0);
    assert_eq!(outcome.verdict, Verdict::Succeeded);
    let names: Vec<&str> = outcome.metadata.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["city", "unit", "start"]);
    assert_eq!(outcome.metadata[0].1, MetadataValue::Text("sea".into()));
    assert_eq!(outcome.output.unwrap().text, "asset of 1970-01-01|sea\n");
    assert_eq!(outcome.data_version.as_deref(), Some("v1"));
}

#[tokio::test]
async fn config_of_another_form_is_a_permanent_failure() {
    let outcome = run(one(daily), testing::dispatch("asset", &["k"])).await.remove(0);
    assert!(!failure(&outcome).retryable);
    assert!(failure(&outcome).message.contains("missing field `unit`"), "{outcome:?}");
}

#[tokio::test]
async fn a_panic_fails_its_own_task_alone() {
    let function = |ctx: Context| async move { assert_ne!(ctx.partition_key(), "b", "b is bad") };
    let outcomes = run(one(function), testing::dispatch("asset", &["a", "b", "c"])).await;
    assert_eq!((&outcomes[0].verdict, &outcomes[2].verdict), (&Verdict::Succeeded, &Verdict::Succeeded));
    assert_eq!(failure(&outcomes[1]).kind, FailureKind::Panic);
    assert!(failure(&outcomes[1]).message.contains("b is bad"), "{:?}", outcomes[1]);
}

#[tokio::test]
async fn any_error_is_a_failure_and_its_causes_are_its_detail() {
    async fn parse(_: Context) -> Result<(), AssetError> {
        let config: Config = serde_json::from_str("{")?;
        Err(AssetError::new(config.unit).permanent())
    }
    let outcome = run(one(parse), testing::dispatch("asset", &["k"])).await.remove(0);
    assert_eq!(failure(&outcome).kind, FailureKind::Error);
    assert!(failure(&outcome).message.starts_with("EOF while parsing"), "{outcome:?}");

    let plain = |_: Context| async { Err::<(), _>("just text") };
    let outcome = run(one(plain), testing::dispatch("asset", &["k"])).await.remove(0);
    assert_eq!(failure(&outcome).message, "just text");
}

#[tokio::test]
async fn an_asset_that_nobody_registered_names_those_that_are() {
    let outcome = run(one(|_| async {}), testing::dispatch("other", &["k"])).await.remove(0);
    assert_eq!(failure(&outcome).kind, FailureKind::UnknownAsset);
    assert!(failure(&outcome).message.contains("(registered: asset)"), "{outcome:?}");
}

#[tokio::test]
async fn a_timeout_ends_a_call_and_the_next_task_runs() {
    let function = |ctx: Context| async move {
        if ctx.partition_key() == "slow" {
            std::future::pending::<()>().await;
        }
    };
    let mut dispatch = testing::dispatch("asset", &["slow", "quick"]);
    testing::invocation(&mut dispatch).timeout_ms = Some(50);
    testing::invocation(&mut dispatch).grace_ms = 10;
    let outcomes = run(one(function), dispatch).await;
    assert_eq!(failure(&outcomes[0]).kind, FailureKind::Timeout);
    assert_eq!(outcomes[1].verdict, Verdict::Succeeded);
}

#[tokio::test]
async fn a_call_that_is_told_to_end_may_clean_up() {
    let (cleaned, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let function = move |ctx: Context| {
        let cleaned = cleaned.clone();
        async move {
            cleaned.send("running").unwrap();
            ctx.cancellation().cancelled().await;
            cleaned.send("cleaned").unwrap();
        }
    };
    let (stopper, signal) = stop::channel();
    let running = tokio::spawn(stoppable(one(function), testing::dispatch("asset", &["a", "b"]), signal));
    assert_eq!(seen.recv().await, Some("running"));
    stopper.stop(Stop::Cancel);
    let executed = running.await.unwrap();
    assert_eq!(seen.recv().await, Some("cleaned"));
    assert_eq!(executed.stopped, Some(Stop::Cancel));
    // The second task was never called, and is cancelled all the same.
    assert!(seen.try_recv().is_err());
    assert!(executed.outcomes.iter().all(|outcome| outcome.verdict == Verdict::Cancelled));
    assert_eq!(executed.outcomes.len(), 2);
}

#[tokio::test]
async fn what_a_batch_logged_is_kept_once_with_its_first_failure_or_else_its_first_partition() {
    let cases: [(&[&str], usize); 2] = [(&["b", "c"], 1), (&[], 0)];
    for (failing, kept_with) in cases {
        let mut registry = Registry::default();
        registry.insert_batch("asset".into(), move |ctx: Context| async move {
            ctx.log("looked at all of them");
            let failed = |outcome: BatchOutcome, key: &&str| outcome.partition(*key, Err::<(), _>("no rows"));
            failing.iter().fold(BatchOutcome::new(), failed)
        });
        let outcomes = run(registry, testing::dispatch("asset", &["a", "b", "c"])).await;
        for (at, outcome) in outcomes.iter().enumerate() {
            let text = outcome.output.as_ref().map(|output| output.text.as_str());
            assert_eq!(text, (at == kept_with).then_some("looked at all of them\n"), "{at}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_batch_function_has_an_outcome_per_partition() {
    let mut registry = Registry::default();
    registry.insert_batch("asset".into(), |ctx: Context| async move {
        assert_eq!(
            ctx.partitions().map(|partition| partition.key().to_owned()).collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        ctx.metadata("batch", 3);
        BatchOutcome::new()
            .partition("a", Materialization::new().metadata("rows", 7_u64))
            .partition("b", Err::<(), _>("no rows"))
    });
    let outcomes = run(registry, testing::dispatch("asset", &["a", "b", "c"])).await;
    assert_eq!(outcomes[0].metadata.len(), 2);
    assert_eq!(failure(&outcomes[1]).message, "no rows");
    assert_eq!(outcomes[1].metadata, []);
    assert_eq!(outcomes[2].metadata, [("batch".to_owned(), MetadataValue::Int(3))]);
}
