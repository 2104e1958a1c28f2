//! For supervisors and scrapers.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{Encoder, TextEncoder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Api, Problem};
use crate::ledger::LeaderInfo;

/// What a coordinator serves as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It leads.
    Leader,
    /// It would lead if the leader ended.
    Standby,
}

/// Whether this coordinator serves, and as what.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// `leader` or `standby`.
    #[schema(value_type = String)]
    pub role: Role,
    /// Term of leadership, if it leads.
    pub epoch: Option<u32>,
    /// Where the leader's API is reached, as far as the ledger knows.
    pub leader: Option<String>,
    /// State of the broker connection.
    pub broker: String,
    /// Version of the zone database.
    pub zone_database: String,
}

/// Who leads.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LeaderView {
    /// Name of the coordinator.
    pub name: String,
    /// Where its API is reached.
    pub url: String,
    /// Its term of leadership.
    pub epoch: u32,
    /// Whether it is the coordinator that answers.
    pub here: bool,
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = String)))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// The process leads, or stands by to lead; ledger and broker answer.
#[utoipa::path(get, path = "/readyz", responses((status = 200, body = Readiness), (status = 503, body = Problem)))]
pub(super) async fn ready(State(api): State<Api>) -> Result<Json<Readiness>, Problem> {
    let leader: Option<LeaderInfo> = api.handle.ledger().leader().await?;
    let broker = api.handle.broker_state();
    if !broker.is_connected() {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "broker",
            "The broker does not take messages",
        )
        .detail(broker.to_string()));
    }
    let epoch = api.handle.epoch().map(|epoch| epoch.0);
    Ok(Json(Readiness {
        role: if epoch.is_some() { Role::Leader } else { Role::Standby },
        epoch,
        leader: leader.map(|leader| leader.api_address),
        broker: broker.to_string(),
        zone_database: backstitch_proto::partition::zone_database_version().to_owned(),
    }))
}

/// The coordinator that leads, as far as the ledger knows, whatever the state of the broker.
#[utoipa::path(get, path = "/api/leader", responses((status = 200, body = LeaderView), (status = 404, body = Problem)))]
pub(super) async fn leader(State(api): State<Api>) -> Result<Json<LeaderView>, Problem> {
    let leader = api.handle.ledger().leader().await?;
    let unled = || Problem::not_found("nobody leads on this ledger yet: ask again in a moment");
    let leader = leader.ok_or_else(unled)?;
    let here = api.handle.epoch() == Some(leader.epoch);
    let LeaderInfo { epoch, name, api_address, .. } = leader;
    Ok(Json(LeaderView { name, url: api_address, epoch: epoch.0, here }))
}

/// Invariants that do not hold, as far as the leader sees; empty when all is well.
#[utoipa::path(get, path = "/api/violations", responses((status = 200, body = Vec<String>), (status = 503, body = Problem)))]
pub(super) async fn violations(State(api): State<Api>) -> Result<Json<Vec<String>>, Problem> {
    let found = api.handle.violations().await?;
    Ok(Json(found.iter().map(ToString::to_string).collect()))
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&api.metrics.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics", "Metrics cannot be written")
            .detail(error.to_string())
            .into_response(),
    }
}
