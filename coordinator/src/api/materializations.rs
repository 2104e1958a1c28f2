//! What was materialized last.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::view::{Listing, MaterializationView};
use super::{Api, Problem};
use crate::ledger::{MaterializationQuery, PAGE_ROWS_DEFAULT};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// The asset.
    asset: String,
    /// Only this partition.
    partition: Option<String>,
    /// Rows of a page, up to 1,000.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The latest materialization of each partition of an asset, by key.
#[utoipa::path(
    get, path = "/api/materializations", params(ListQuery),
    responses((status = 200, body = Listing<MaterializationView>), (status = 404, body = Problem))
)]
pub(super) async fn list(
    State(api): State<Api>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Listing<MaterializationView>>, Problem> {
    let Query(query) = query?;
    if api.handle.definitions().asset(&query.asset).is_none() {
        return Err(Problem::unknown_asset(api.handle.definitions(), &query.asset));
    }
    let query = MaterializationQuery {
        asset: query.asset,
        partition_keys: query.partition.map(|key| vec![key]),
        limit: query.limit.unwrap_or(PAGE_ROWS_DEFAULT),
        cursor: query.cursor,
    };
    let page = api.handle.ledger().materializations(&query).await?;
    let items = page.items.into_iter().map(MaterializationView::from).collect();
    Ok(Json(Listing { items, next: page.next }))
}
