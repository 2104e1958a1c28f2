//! Workers that are alive.

use axum::Json;
use axum::extract::State;

use super::view::WorkerView;
use super::{Api, Problem};

/// Workers within their lease.
#[utoipa::path(get, path = "/api/workers", responses((status = 200, body = Vec<WorkerView>), (status = 503, body = Problem)))]
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<WorkerView>>, Problem> {
    Ok(Json(api.handle.workers().await?.into_iter().map(WorkerView::from).collect()))
}
