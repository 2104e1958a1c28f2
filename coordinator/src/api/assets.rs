//! Assets and the state of their partitions.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use backstitch_proto::definition::{AssetName, Definitions};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, InPath, Problem};
use crate::service::{AssetStatusView, PartitionCounts, RANGES_MAX};

/// An asset.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AssetView {
    /// Name.
    pub asset: String,
    /// For people.
    pub description: Option<String>,
    /// Group.
    pub group: Option<String>,
    /// Kind of its partitions (static, daily, ..., multi, dynamic); `unpartitioned` if it has none.
    pub partitions: Option<String>,
    /// Assets that it depends on.
    pub deps: Vec<String>,
    /// How many partitions are in which state.
    pub counts: PartitionCounts,
}

impl AssetView {
    /// An asset as it is defined, and what is known of its partitions. `None` if it is not defined.
    pub fn new(definitions: &Definitions, name: &AssetName, counts: PartitionCounts) -> Option<Self> {
        let asset = definitions.asset(name.as_str())?;
        Some(Self {
            asset: name.to_string(),
            description: asset.description.clone(),
            group: asset.group.as_ref().map(ToString::to_string),
            partitions: definitions.partitions_of(name.as_str()).map(|of| of.kind().to_owned()),
            deps: asset.deps.iter().map(|dep| dep.asset.to_string()).collect(),
            counts,
        })
    }
}

/// All assets, every upstream before its downstreams.
#[utoipa::path(get, path = "/api/assets", responses((status = 200, body = Vec<AssetView>), (status = 503, body = Problem)))]
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<AssetView>>, Problem> {
    let definitions = api.handle.definitions();
    let mut views = Vec::new();
    for name in definitions.topological() {
        let status = api.handle.asset_status(name.as_str(), 0, 0).await?;
        let counts = status.map(|status| status.counts).unwrap_or_default();
        views.extend(AssetView::new(definitions, name, counts));
    }
    Ok(Json(views))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RangesQuery {
    /// Ranges of a page, up to 1,000.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<u32>,
}

/// The partitions of an asset as ranges of the same state.
#[utoipa::path(
    get, path = "/api/assets/{asset}/partitions",
    params(("asset" = String, Path, description = "Name of the asset"), RangesQuery),
    responses((status = 200, body = AssetStatusView), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn partitions(
    State(api): State<Api>,
    InPath(asset): InPath,
    query: Result<Query<RangesQuery>, QueryRejection>,
) -> Result<Json<AssetStatusView>, Problem> {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(RANGES_MAX).min(RANGES_MAX);
    let status = api.handle.asset_status(&asset, query.cursor.unwrap_or(0), limit).await?;
    status.map(Json).ok_or_else(|| Problem::unknown_asset(api.handle.definitions(), &asset))
}
