//! Runs: submit, list, show, change, cancel, retry.

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use backstitch_broker::trace_context;
use backstitch_proto::id::RunId;
use opentelemetry::trace::TraceContextExt;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::view::{AttemptView, Listing, RunView, run_id};
use super::{Api, InPath, Problem};
use crate::engine::RunSnapshot;
use crate::ledger::{AttemptQuery, PAGE_ROWS_DEFAULT, RunFilter, RunOrigin, RunStatus, RunSummary};
use crate::service::{HandleError, PlanPreview, Submission, Submitted, tasks_of};

type Answer<T> = Result<Json<T>, Problem>;

/// Submit a run. Returns once it is durable.
#[utoipa::path(
    post, path = "/api/runs", request_body = Submission,
    responses(
        (status = 201, body = Submitted, description = "Accepted, durably"),
        (status = 200, body = Submitted, description = "Nothing to do, or the client key is known"),
        (status = 422, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn submit(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Json<Submission>, JsonRejection>,
) -> Result<(StatusCode, Json<Submitted>), Problem> {
    let Json(submission) = body?;
    let submission = Submission { traceparent: traceparent(&headers), ..submission };
    let submitted = api.handle.submit(submission).await?;
    let created = submitted.run.is_some() && !submitted.existing;
    Ok((if created { StatusCode::CREATED } else { StatusCode::OK }, Json(submitted)))
}

/// What a submission would run.
#[utoipa::path(
    post, path = "/api/runs/plan", request_body = Submission,
    responses((status = 200, body = PlanPreview), (status = 422, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn plan(
    State(api): State<Api>,
    body: Result<Json<Submission>, JsonRejection>,
) -> Answer<PlanPreview> {
    let Json(submission) = body?;
    Ok(Json(api.handle.plan(submission).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only runs in this state.
    status: Option<RunStatus>,
    /// Only runs that target this asset.
    asset: Option<String>,
    /// Only runs asked for like this.
    origin: Option<RunOrigin>,
    /// Rows of a page, up to 1,000.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Runs, newest first.
#[utoipa::path(
    get, path = "/api/runs", params(ListQuery),
    responses((status = 200, body = Listing<RunView>), (status = 422, body = Problem))
)]
pub(super) async fn list(
    State(api): State<Api>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<Listing<RunView>> {
    let Query(query) = query?;
    let cursor = query
        .cursor
        .map(|cursor| {
            run_id(&cursor).ok_or_else(|| {
                Problem::invalid(format!("\"{cursor}\" is not a cursor: pass \"next\" of the page before"))
            })
        })
        .transpose()?;
    let filter = RunFilter {
        status: query.status,
        asset: query.asset,
        origin: query.origin,
        limit: query.limit.unwrap_or(PAGE_ROWS_DEFAULT),
        cursor,
    };
    let page = api.handle.ledger().runs(&filter).await?;
    let unended = page.items.iter().filter(|summary| summary.counts.is_none());
    let mut live = live(&api, unended.map(|summary| summary.record.id).collect()).await?;
    let view = |summary: RunSummary| {
        let live = live.remove(&summary.record.id);
        RunView::new(summary, live)
    };
    let items = page.items.into_iter().map(view).collect();
    Ok(Json(Listing { items, next: page.next.map(|id| id.to_string()) }))
}

/// One run.
#[utoipa::path(
    get, path = "/api/runs/{id}", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 200, body = RunView), (status = 404, body = Problem))
)]
pub(super) async fn show(State(api): State<Api>, InPath(id): InPath) -> Answer<RunView> {
    let id = known(&id)?;
    // A run that ends in between is in the ledger by then: ask the engine first.
    if let Some(live) = live(&api, vec![id]).await?.remove(&id) {
        return Ok(Json(RunView::live(live)));
    }
    let summary = api.handle.ledger().run(id).await?;
    let summary = summary.ok_or_else(|| Problem::unknown_run(&id.to_string()))?;
    Ok(Json(RunView::new(summary, None)))
}

/// Changes of a live run. What is absent stays; at least one is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// Stop or resume dispatching.
    paused: Option<bool>,
    /// Another priority class.
    priority: Option<i32>,
    /// Another bound on the tasks that execute at once; 0 removes it.
    max_parallel: Option<u32>,
}

/// Pause, resume, re-prioritise or throttle a live run.
///
/// One after the other: if one is refused, those before it stand.
#[utoipa::path(
    patch, path = "/api/runs/{id}", params(("id" = String, Path, description = "Id of the run")),
    request_body = Change,
    responses(
        (status = 204), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn change(
    State(api): State<Api>,
    InPath(id): InPath,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let id = known(&id)?;
    let Json(Change { paused, priority, max_parallel }) = body?;
    if (paused, priority, max_parallel) == (None, None, None) {
        return Err(Problem::invalid("nothing to change: give `paused`, `priority` or `max_parallel`"));
    }
    if let Some(priority) = priority {
        changed(&api, id, api.handle.reprioritise(id, priority).await).await?;
    }
    if let Some(bound) = max_parallel {
        changed(&api, id, api.handle.throttle(id, (bound > 0).then_some(bound)).await).await?;
    }
    if let Some(paused) = paused {
        changed(&api, id, api.handle.pause(id, paused).await).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Cancel a live run. Cancelling one that has ended is a conflict.
#[utoipa::path(
    post, path = "/api/runs/{id}/cancel", params(("id" = String, Path, description = "Id of the run")),
    responses((status = 202), (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn cancel(State(api): State<Api>, InPath(id): InPath) -> Result<StatusCode, Problem> {
    let id = known(&id)?;
    changed(&api, id, api.handle.cancel(id).await).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Submit a run of exactly those tasks of an ended run that did not succeed.
#[utoipa::path(
    post, path = "/api/runs/{id}/retry", params(("id" = String, Path, description = "Id of the ended run")),
    responses(
        (status = 201, body = Submitted), (status = 200, body = Submitted, description = "Everything succeeded"),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn retry(
    State(api): State<Api>,
    InPath(id): InPath,
) -> Result<(StatusCode, Json<Submitted>), Problem> {
    let id = known(&id)?;
    let submitted = api.handle.retry(id).await?;
    Ok((if submitted.run.is_some() { StatusCode::CREATED } else { StatusCode::OK }, Json(submitted)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AttemptsQuery {
    /// Only of this asset.
    asset: Option<String>,
    /// Only of this partition.
    partition: Option<String>,
    /// Only attempts that did not succeed.
    #[serde(default)]
    failed: bool,
    /// With what they printed.
    #[serde(default)]
    output: bool,
    /// Rows of a page, up to 1,000.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Attempts of a run: by asset, partition and number.
#[utoipa::path(
    get, path = "/api/runs/{id}/attempts", params(("id" = String, Path, description = "Id of the run"), AttemptsQuery),
    responses((status = 200, body = Listing<AttemptView>), (status = 404, body = Problem), (status = 422, body = Problem))
)]
pub(super) async fn attempts(
    State(api): State<Api>,
    InPath(id): InPath,
    query: Result<Query<AttemptsQuery>, QueryRejection>,
) -> Answer<Listing<AttemptView>> {
    let id = known(&id)?;
    let Query(query) = query?;
    let run = api.handle.ledger().run(id).await?.ok_or_else(|| Problem::unknown_run(&id.to_string()))?;
    let asset_index = match &query.asset {
        None => None,
        Some(name) => {
            let found = run.record.assets.iter().position(|planned| *planned.asset == **name);
            // A project has at most 10,000 assets.
            let mend = || format!("/api/runs/{id} lists them");
            Some(found.ok_or_else(|| Problem::no_such("asset of this run", name, &mend()))? as u16)
        }
    };
    let cursor = query
        .cursor
        .map(|cursor| {
            cursor.parse().map_err(|error: crate::ledger::CursorError| Problem::invalid(error.to_string()))
        })
        .transpose()?;
    let tasks = match &query.partition {
        Some(key) => tasks_of(api.handle.ledger().as_ref(), &run.record, asset_index, key).await?,
        None => None,
    };
    let query = AttemptQuery {
        asset_index,
        partition_key: query.partition,
        tasks,
        only_unsuccessful: query.failed,
        with_output: query.output,
        limit: query.limit.unwrap_or(PAGE_ROWS_DEFAULT),
        cursor,
        ..AttemptQuery::of_run(id)
    };
    let page = api.handle.ledger().attempts(&query).await?;
    let items = page.items.into_iter().map(AttemptView::from).collect();
    Ok(Json(Listing { items, next: page.next.map(|cursor| cursor.to_string()) }))
}

/// The span of the caller, which becomes the root of the run's trace. One that cannot be read is no reason to refuse.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parsed = trace_context::extract(&BTreeMap::from([("traceparent".to_owned(), text.to_owned())]));
    parsed.span().span_context().is_valid().then(|| text.to_owned())
}

fn known(id: &str) -> Result<RunId, Problem> {
    run_id(id).ok_or_else(|| Problem::unknown_run(id))
}

/// How a change of a live run went. The engine cannot tell a run that has ended from one that never was.
async fn changed(api: &Api, id: RunId, change: Result<(), HandleError>) -> Result<(), Problem> {
    match change {
        Err(HandleError::Request(_)) if api.handle.ledger().run(id).await?.is_none() => {
            Err(Problem::unknown_run(&id.to_string()))
        }
        change => Ok(change?),
    }
}

/// What the engine knows of these runs, asked once for all of them; nothing on a standby.
async fn live(api: &Api, runs: Vec<RunId>) -> Result<HashMap<RunId, RunSnapshot>, Problem> {
    if runs.is_empty() {
        return Ok(HashMap::new());
    }
    match api.handle.live_among(runs).await {
        Ok(live) => Ok(live.into_iter().map(|run| (run.record.id, run)).collect()),
        Err(HandleError::NotLeading) => Ok(HashMap::new()),
        Err(error) => Err(error.into()),
    }
}
