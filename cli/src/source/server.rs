//! A coordinator over HTTP. A standby that is asked for what only the leader knows names the leader, who is then
//! asked.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use backstitch_coordinator::api::{
    AssetView, AttemptView, LeaderView, Listing, MaterializationView, Problem, RunView, WorkerView,
};
use backstitch_coordinator::ledger::{Ledger, PAGE_ROWS_MAX};
use backstitch_coordinator::service::{AssetStatusView, PlanPreview, Submission, Submitted};
use backstitch_proto::id::RunId;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;

use super::{Ask, AttemptsQuery, Look, RunsQuery};
use crate::exit::Invalid;
use crate::settings::without_userinfo;
use crate::submit::trace_headers;

/// Longest wait for one answer. A submission is durable in a tenth of a second; a standby that takes over
/// needs five seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for a leader that a ledger names, which may be long dead.
const LEADER_PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A coordinator at a URL. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server {
    url: String,
    http: reqwest::Client,
}

/// There was no answer, or one that says to ask again later.
#[derive(Debug, Error)]
#[error("the coordinator at {url} {}", why.text())]
pub(crate) struct Unanswered {
    url: String,
    why: Why,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why there is no answer of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Nothing was heard.
    Silent,
    /// It said that it cannot do this now.
    Unable,
    /// So did a standby.
    Standby,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Self::Silent => "does not answer",
            Self::Unable | Self::Standby => "cannot do this now",
        }
    }
}

impl Server {
    /// The coordinator at `url`.
    pub(crate) fn new(url: &str) -> Result<Self> {
        Self::with_timeout(url, ANSWER_TIMEOUT)
    }

    fn with_timeout(url: &str, timeout: Duration) -> Result<Self> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let problem = "a coordinator is named by a URL, such as http://localhost:3070";
            return Err(Invalid::one(format!("\"{}\": {problem}", without_userinfo(url))).into());
        }
        let http = reqwest::Client::builder().timeout(timeout).build().context("setting up HTTP")?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), http })
    }

    /// Where it is, to be asked there; it may hold a password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.url.clone();
        for part in path {
            url.push('/');
            url.push_str(&escaped(part));
        }
        self.http.request(method, url)
    }

    /// Sends a request to the coordinator, or to the leader that it names.
    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response> {
        let request = request.build().map_err(reqwest::Error::without_url).context("making a request")?;
        let again = request.try_clone();
        let refused = match self.send_once(request).await {
            Err(refused)
                if refused
                    .downcast_ref::<Unanswered>()
                    .is_some_and(|refused| refused.why == Why::Standby) =>
            {
                refused
            }
            answer => return answer,
        };
        let (Some(mut again), Some(leader)) = (again, self.leader().await) else { return Err(refused) };
        if !redirect(again.url_mut(), &leader) {
            return Err(refused);
        }
        self.send_once(again).await
    }

    async fn send_once(&self, request: reqwest::Request) -> Result<reqwest::Response> {
        let url = request.url().origin().ascii_serialization();
        let unanswered = |why, source| Unanswered { url, why, source };
        // The client repeats the URL, which is already in our sentence.
        let response = match self.http.execute(request).await {
            Ok(response) => response,
            Err(error) => return Err(unanswered(Why::Silent, error.without_url().into()).into()),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let Some(problem) = response.json::<Problem>().await.ok() else {
            let said = format!("it answers {status}");
            return match status {
                StatusCode::SERVICE_UNAVAILABLE => Err(unanswered(Why::Unable, said.into()).into()),
                _ => Err(anyhow!("the coordinator at {}: {said}", without_userinfo(&self.url))),
            };
        };
        let said = match &problem.detail {
            Some(detail) => format!("{}: {detail}", problem.title),
            None => problem.title.clone(),
        };
        Err(match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                let why = if problem.is_not_leading() { Why::Standby } else { Why::Unable };
                unanswered(why, said.into()).into()
            }
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
                let one = || vec![problem.detail.clone().unwrap_or(problem.title.clone())];
                let all = if problem.errors.is_empty() { one() } else { problem.errors.clone() };
                Invalid::Request(all).into()
            }
            _ => anyhow!("{said}"),
        })
    }

    /// The leader, as a standby knows it.
    async fn leader(&self) -> Option<String> {
        let request = self.request(Method::GET, &["api", "leader"]).build().ok()?;
        let leader: LeaderView = self.send_once(request).await.ok()?.json().await.ok()?;
        (!leader.here && leader.url != self.url).then_some(leader.url)
    }

    async fn fetch<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let response = self.send(request).await?;
        let unreadable = || {
            let url = without_userinfo(&self.url);
            format!("reading the answer of the coordinator at {url}; is it of another version?")
        };
        response.json().await.map_err(reqwest::Error::without_url).with_context(unreadable)
    }

    async fn change(&self, run: RunId, change: serde_json::Value) -> Result<()> {
        let request = self.request(Method::PATCH, &["api", "runs", &run.to_string()]);
        self.send(request.json(&change)).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<T> {
        self.fetch(self.request(Method::GET, path).query(query)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T> {
        self.fetch(self.request(Method::POST, path).json(body)).await
    }

    /// Follows pages until there are `limit` rows.
    async fn pages<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        limit: usize,
    ) -> Result<Vec<T>> {
        let mut rows: Vec<T> = Vec::new();
        let mut cursor = None;
        while rows.len() < limit {
            let mut query = query.to_vec();
            query.push(("limit", (PAGE_ROWS_MAX as usize).min(limit - rows.len()).to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page: Listing<T> = self.get(path, &query).await?;
            rows.extend(page.items);
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        Ok(rows)
    }
}

/// The leader that a ledger names, if it is alive and reached from here.
///
/// A dead leader's row stays, and its port may be somebody else's by now: the epoch tells.
pub(crate) async fn leader_of(ledger: &dyn Ledger) -> Result<Option<Server>> {
    let Some(leader) = ledger.leader().await? else { return Ok(None) };
    let Ok(server) = Server::with_timeout(&leader.api_address, LEADER_PROBE_TIMEOUT) else { return Ok(None) };
    let there: Result<LeaderView> = server.get(&["api", "leader"], &[]).await;
    match there {
        Ok(there) if there.here && there.epoch == leader.epoch.0 => {
            Ok(Some(Server::new(&leader.api_address)?))
        }
        _ => Ok(None),
    }
}

#[async_trait]
impl Look for Server {
    async fn runs(&self, query: &RunsQuery) -> Result<Vec<RunView>> {
        let mut filter = Vec::new();
        filter.extend(query.status.map(|status| ("status", status.to_string())));
        filter.extend(query.asset.clone().map(|asset| ("asset", asset)));
        self.pages(&["api", "runs"], &filter, query.limit).await
    }

    async fn run(&self, id: RunId) -> Result<RunView> {
        let path = ["api", "runs", &id.to_string()];
        let view: RunView = self.get(&path, &[]).await?;
        if view.counts.is_some() {
            return Ok(view);
        }
        // A standby has the run from the ledger, and only the leader can count.
        match self.leader().await.map(|leader| Self::new(&leader)) {
            Some(Ok(leader)) => Ok(leader.get(&path, &[]).await.unwrap_or(view)),
            _ => Ok(view),
        }
    }

    async fn attempts(&self, query: AttemptsQuery) -> Result<Vec<AttemptView>> {
        let filter = [("failed", query.failed.to_string()), ("output", query.output.to_string())];
        self.pages(&["api", "runs", &query.run.to_string(), "attempts"], &filter, query.limit).await
    }

    async fn assets(&self) -> Result<Vec<AssetView>> {
        self.get(&["api", "assets"], &[]).await
    }

    async fn partitions(&self, asset: &str) -> Result<AssetStatusView> {
        let path = ["api", "assets", asset, "partitions"];
        let mut whole: AssetStatusView = self.get(&path, &[]).await?;
        while let Some(next) = whole.next.take() {
            let page: AssetStatusView = self.get(&path, &[("cursor", next.to_string())]).await?;
            whole.ranges.extend(page.ranges);
            whole.next = page.next;
        }
        Ok(whole)
    }

    async fn materializations(
        &self,
        asset: &str,
        partition: Option<&str>,
        cursor: Option<String>,
    ) -> Result<Listing<MaterializationView>> {
        let mut query = vec![("asset", asset.to_owned()), ("limit", PAGE_ROWS_MAX.to_string())];
        query.extend(partition.map(|key| ("partition", key.to_owned())));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.get(&["api", "materializations"], &query).await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.get(&["api", "workers"], &[]).await
    }
}

#[async_trait]
impl Ask for Server {
    async fn plan(&self, submission: &Submission) -> Result<PlanPreview> {
        self.post(&["api", "runs", "plan"], submission).await
    }

    async fn submit(&self, submission: &Submission) -> Result<Submitted> {
        let mut request = self.request(Method::POST, &["api", "runs"]).json(submission);
        for (name, value) in trace_headers() {
            request = request.header(name, value);
        }
        self.fetch(request).await
    }

    async fn retry(&self, run: RunId) -> Result<Submitted> {
        self.post(&["api", "runs", &run.to_string(), "retry"], &json!({})).await
    }

    async fn cancel(&self, run: RunId) -> Result<()> {
        let request = self.request(Method::POST, &["api", "runs", &run.to_string(), "cancel"]);
        self.send(request).await.map(drop)
    }

    async fn pause(&self, run: RunId, paused: bool) -> Result<()> {
        self.change(run, json!({ "paused": paused })).await
    }

    async fn reprioritise(&self, run: RunId, priority: i32) -> Result<()> {
        self.change(run, json!({ "priority": priority })).await
    }

    async fn throttle(&self, run: RunId, max_parallel: u32) -> Result<()> {
        self.change(run, json!({ "max_parallel": max_parallel })).await
    }

    async fn violations(&self) -> Result<Vec<String>> {
        self.get(&["api", "violations"], &[]).await
    }
}

/// Sends a request elsewhere. `false`: that is no place.
fn redirect(url: &mut reqwest::Url, to: &str) -> bool {
    let Ok(to) = reqwest::Url::parse(to) else { return false };
    url.set_scheme(to.scheme()).is_ok()
        && url.set_host(to.host_str()).is_ok()
        && url.set_port(to.port()).is_ok()
}

/// One segment of a path. Names of assets and ids are plain; what a user mistyped may be anything.
fn escaped(segment: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    segment.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_of_a_path_cannot_become_two() {
        assert_eq!(escaped("daily_temp-1.x"), "daily_temp-1.x");
        assert_eq!(escaped("a/b?c d"), "a%2Fb%3Fc%20d");
    }

    #[test]
    fn a_request_to_a_standby_goes_on_to_the_leader() {
        let mut url = reqwest::Url::parse("http://standby:3070/api/runs?limit=2").unwrap();
        assert!(redirect(&mut url, "http://10.0.0.7:3071"));
        assert_eq!(url.as_str(), "http://10.0.0.7:3071/api/runs?limit=2");
        assert!(!redirect(&mut url, "nowhere"));
    }

    #[test]
    fn a_server_without_scheme_is_refused_with_an_example() {
        let error = Server::new("localhost:3070").err().unwrap().to_string();
        assert_eq!(
            error,
            "\"localhost:3070\": a coordinator is named by a URL, such as http://localhost:3070"
        );
    }
}
