//! Whole files in, whole messages out.

mod any_text;
mod broken;
mod calendars;
mod whole;

use super::Definitions;

/// What a person sees for `text`.
fn said(text: &str) -> Vec<String> {
    match Definitions::from_yaml("backstitch.yaml", text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.to_string().lines().map(ToOwned::to_owned).collect(),
    }
}
