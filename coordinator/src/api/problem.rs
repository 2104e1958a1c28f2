//! Errors as RFC 9457 problem documents: a title that is always the same for a kind of problem, a detail that names
//! the thing and the mend.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tracing::error;
use utoipa::ToSchema;

use crate::ledger::LedgerError;
use crate::service::HandleError;

/// What went wrong with a request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What exactly is wrong, and the mend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Everything that is wrong, where it is more than one thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &str, title: &str) -> Self {
        Self {
            kind: format!("urn:backstitch:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: None,
            errors: Vec::new(),
        }
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(super) fn not_found(thing: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found")
            .detail(format!("there is no {thing} \"{name}\""))
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The request makes no sense").detail(detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = HeaderValue::from_static("application/problem+json");
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

impl From<HandleError> for Problem {
    fn from(error: HandleError) -> Self {
        match error {
            HandleError::NotLeading => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-leading", "This coordinator does not lead")
                    .detail("ask the leader, or try again: a standby takes over within seconds")
            }
            HandleError::Submission(submission) => {
                let mut problem = Self::invalid(submission.to_string());
                problem.errors = submission.problems;
                problem
            }
            HandleError::Request(request) => {
                Self::new(StatusCode::CONFLICT, "not-live", "The run is not live").detail(request.to_string())
            }
            HandleError::NotEnded(run) => {
                Self::new(StatusCode::CONFLICT, "not-ended", "The run has not ended")
                    .detail(format!("run {run} is live; cancel it, or wait until it has ended"))
            }
            HandleError::UnknownRun(run) => Self::not_found("run", &run.to_string()),
            HandleError::Ledger(ledger) => ledger.into(),
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(ledger: LedgerError) -> Self {
        error!(error = &ledger as &dyn std::error::Error, "a request failed");
        let status = if ledger.is_transient() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Self::new(status, "ledger", "The ledger cannot be read").detail(ledger.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "body", "The body cannot be read").detail(rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "query", "The query cannot be read").detail(rejection.body_text())
    }
}

pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::not_found("page", uri.path())
}

pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "Method not allowed")
        .detail(format!("{} does not take {method}", uri.path()))
}
