//! The HTTP API. Every handler is a few lines: the decisions are in the engine, the reads in the ledger.
//!
//! Errors are RFC 9457 problem documents ([`problem`]). The OpenAPI document is made from the handlers themselves
//! and served at `/api/openapi.json`. Reads that need the leader's state answer 503 on a standby;
//! `/api/leader` says whom to ask.

mod assets;
mod health;
mod materializations;
mod problem;
mod runs;
mod view;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::routing::get;
use axum::{Json, Router, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use assets::AssetView;
pub use health::{LeaderView, Readiness, Role};
pub use problem::Problem;
pub use view::{
    AttemptView, Listing, MaterializationView, RunAssetView, RunRequestView, RunView, WorkerView,
};

use crate::service::Handle;

/// Largest request body in bytes: a submission is a few lines of text.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Longest time for requests that are under way when the server stops. The slowest answer takes a second or two; a
/// client that sends half a request, or does not read its answer, keeps no process alive.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// What handlers share.
#[derive(Clone)]
struct Api {
    handle: Handle,
    metrics: Arc<prometheus::Registry>,
}

/// The one name or id in a path. What cannot be read is refused with a problem document, like everything else.
struct InPath(String);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name) = Path::from_request_parts(parts, state).await?;
        Ok(Self(name))
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Backstitch",
        description = "Runs partitioned data assets: submit runs, follow them, and ask what is up to date."
    ),
    paths(document)
)]
struct Document;

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", responses((status = 200, body = Object)))]
async fn document(
    State(document): State<Arc<utoipa::openapi::OpenApi>>,
) -> Json<Arc<utoipa::openapi::OpenApi>> {
    Json(document)
}

/// The routes of a coordinator, and their OpenAPI document.
pub fn router(handle: Handle, metrics: Arc<prometheus::Registry>) -> (Router, utoipa::openapi::OpenApi) {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(runs::submit, runs::list))
        .routes(routes!(runs::plan))
        .routes(routes!(runs::show, runs::change))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::retry))
        .routes(routes!(runs::attempts))
        .routes(routes!(assets::list))
        .routes(routes!(assets::partitions))
        .routes(routes!(materializations::list))
        .routes(routes!(workers::list))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(health::leader))
        .routes(routes!(health::violations))
        .with_state(Api { handle, metrics })
        .split_for_parts();
    let served = Arc::new(document.clone());
    let router = router
        .route("/api/openapi.json", get(self::document).with_state(served))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(problem::catch_panic));
    (router, document)
}

/// Serves the API on `listener` until `shutdown` fires, and what is under way then for [`LAST_ANSWERS`] at most.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    handle: Handle,
    metrics: Arc<prometheus::Registry>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let (router, _) = router(handle, metrics);
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let too_long = async {
        shutdown.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = serving => served,
        () = too_long => {
            warn!("a client did not finish its request in time, and is left");
            Ok(())
        }
    }
}
