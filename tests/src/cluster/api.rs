//! What a coordinator says over HTTP.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A coordinator that does not answer for longer is frozen, or behind a broken line.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks `url`, with a JSON `body` or without one. No content is null.
///
/// # Errors
/// When there is no answer, or it is a refusal.
pub async fn ask(method: &str, url: &str, body: Option<&Value>) -> Result<Value> {
    let text = ask_text(method, url, body).await?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("{url} gave no JSON: {text}"))
}

/// As [`ask`], for an answer that is text.
///
/// # Errors
/// As for [`ask`].
pub async fn ask_text(method: &str, url: &str, body: Option<&Value>) -> Result<String> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let mut request = client.request(method.parse()?, url);
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.with_context(|| format!("asking {url}"))?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{method} {url}: {status}: {text}");
    Ok(text)
}

/// The sum of a metric over its labels, in Prometheus' text form; absent if no line has it. Whoever leads exports a
/// counter of which nothing was counted as 0, so one that is absent has another name, or nobody has led here.
pub(super) fn metric(text: &str, name: &str) -> Option<f64> {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' ']).then(|| line.rsplit(' ').next()?.parse::<f64>().ok())?
    };
    text.lines().filter_map(value).reduce(|sum, value| sum + value)
}
