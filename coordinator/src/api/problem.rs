//! Errors as RFC 9457 problem documents: a title that is always the same for a kind of problem, a detail that names
//! the thing and the mend.
//!
//! Whatever goes wrong ends here, also what axum would answer by itself: a path, a query or a body that cannot be
//! read, a page or a method that does not exist, a handler that panics.

use std::panic::AssertUnwindSafe;

use axum::Json;
use axum::extract::Request;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use backstitch_proto::definition::Definitions;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tracing::error;
use utoipa::ToSchema;

use super::BODY_BYTES_MAX;
use crate::ledger::LedgerError;
use crate::service::HandleError;

/// Where it stands what a request may say.
const DOCUMENT: &str = "/api/openapi.json";

/// What the kind of every problem begins with.
const KIND: &str = "urn:backstitch:problem:";

/// The kind of what a standby says that only the leader can answer. Clients ask on by it.
const NOT_LEADING: &str = "not-leading";

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
            kind: format!("{KIND}{kind}"),
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

    /// The coordinator that was asked is a standby, and only the leader can answer.
    pub fn is_not_leading(&self) -> bool {
        self.kind.strip_prefix(KIND) == Some(NOT_LEADING)
    }

    /// `detail` says what there is not, and the mend.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found").detail(detail)
    }

    /// `mend` says where the existing ones are listed.
    pub(super) fn no_such(thing: &str, name: &str, mend: &str) -> Self {
        Self::not_found(format!("there is no {thing} \"{name}\": {mend}"))
    }

    pub(super) fn unknown_run(id: &str) -> Self {
        Self::no_such("run", id, "/api/runs lists them")
    }

    pub(super) fn unknown_asset(definitions: &Definitions, asset: &str) -> Self {
        let problem = definitions.not_defined(asset);
        Self::not_found(format!("{problem}: /api/assets lists those that are defined"))
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
                Self::new(StatusCode::SERVICE_UNAVAILABLE, NOT_LEADING, "This coordinator does not lead")
                    .detail("ask the leader, or try again: a standby takes over within seconds")
            }
            HandleError::Unanswered => {
                let title = "The coordinator lost leadership before it could answer";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unanswered", title).detail(
                    "look at /api/runs before you repeat the request: it may have been carried out. A submission with a \
                     client_key can be repeated as it is",
                )
            }
            HandleError::Submission(submission) => {
                let mut problem = Self::invalid(submission.to_string());
                problem.errors = submission.problems;
                problem
            }
            HandleError::Request(request) => {
                Self::new(StatusCode::CONFLICT, "not-live", "The run is not live")
                    .detail(format!("{request}; one that has ended can be retried"))
            }
            live @ HandleError::NotEnded(_) => {
                Self::new(StatusCode::CONFLICT, "not-ended", "The run has not ended").detail(live.to_string())
            }
            HandleError::UnknownRun(run) => Self::unknown_run(&run.to_string()),
            unreadable @ HandleError::Unreadable { .. } => {
                Self::new(StatusCode::CONFLICT, "unreadable", "The run cannot be read")
                    .detail(format!("{unreadable}; submit what is missing as a new run"))
            }
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
        let status = rejection.status();
        let detail = match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                format!(
                    "the body is longer than {BODY_BYTES_MAX} bytes, the most that is read: say less at once"
                )
            }
            _ => format!("{}: {DOCUMENT} describes what is accepted", rejection.body_text()),
        };
        Self::new(status, "body", "The body cannot be read").detail(detail)
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "query", "The query cannot be read")
            .detail(format!("{}: {DOCUMENT} describes what is accepted", rejection.body_text()))
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), "path", "The path cannot be read")
            .detail(format!("{}: what a path names is percent-encoded UTF-8", rejection.body_text()))
    }
}

pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::no_such("page", uri.path(), &format!("{DOCUMENT} lists them"))
}

pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "Method not allowed")
        .detail(format!("{} does not take {method}: the header \"allow\" says what it takes", uri.path()))
}

/// A handler that panics answers like any other that fails: a client that waits for an answer gets one.
pub(super) async fn catch_panic(request: Request, next: Next) -> Response {
    let place = format!("{} {}", request.method(), request.uri().path());
    // Handlers share nothing that a panic could leave half done: the engine runs in a task of its own.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            error!(place, "a handler panicked");
            let detail =
                format!("{place} panicked: the log of this coordinator says where; please report it");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "This is a fault of Backstitch")
                .detail(detail)
                .into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use axum::{Router, middleware};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_handler_that_panics_answers_with_a_problem() {
        let broken = get(|| async { panic!("nobody thought of this") as () });
        let router = Router::new().route("/broken", broken).layer(middleware::from_fn(catch_panic));
        let request = Request::builder().uri("/broken").body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = to_bytes(response.into_body(), BODY_BYTES_MAX).await.expect("a body");
        let problem: Problem = serde_json::from_slice(&body).expect("a problem");
        assert!(problem.detail.is_some_and(|detail| detail.starts_with("GET /broken panicked: ")));
    }
}
