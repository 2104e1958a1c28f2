//! The OpenAPI document against the router.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::header;

use crate::world::World;

/// Every path, and the methods that it takes. A new route belongs here, so that it is described, too.
const ROUTES: &[(&str, &[&str])] = &[
    ("/api/assets", &["GET"]),
    ("/api/assets/{asset}/partitions", &["GET"]),
    ("/api/leader", &["GET"]),
    ("/api/materializations", &["GET"]),
    ("/api/openapi.json", &["GET"]),
    ("/api/runs", &["GET", "POST"]),
    ("/api/runs/plan", &["POST"]),
    ("/api/runs/{id}", &["GET", "PATCH"]),
    ("/api/runs/{id}/attempts", &["GET"]),
    ("/api/runs/{id}/cancel", &["POST"]),
    ("/api/runs/{id}/retry", &["POST"]),
    ("/api/violations", &["GET"]),
    ("/api/workers", &["GET"]),
    ("/healthz", &["GET"]),
    ("/metrics", &["GET"]),
    ("/readyz", &["GET"]),
];

#[test]
fn the_page_about_the_api_names_every_route_and_every_metric() {
    let page = include_str!("../../../docs/api.md");
    for (path, methods) in ROUTES {
        for method in *methods {
            assert!(page.contains(&format!("`{method} {path}`")), "{method} {path}");
        }
    }
    let instruments = include_str!("../../src/service/metrics.rs");
    let names: Vec<&str> = instruments.split('"').filter(|text| text.starts_with("backstitch.")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{}", name.replace('.', "_"))), "{name}");
    }
}

#[tokio::test]
async fn the_openapi_document_lists_exactly_the_routes_that_exist() {
    let world = World::start().await;
    let document = world.get("/api/openapi.json").await;
    let mut described = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let methods: BTreeSet<String> =
            item.as_object().expect("methods").keys().map(|method| method.to_uppercase()).collect();
        described.insert(path.as_str(), methods);
    }
    let expected = ROUTES
        .iter()
        .map(|(path, methods)| (*path, methods.iter().map(|method| (*method).to_owned()).collect()))
        .collect();
    assert_eq!(described, expected);

    for (path, methods) in described {
        let path = path.replace("{asset}", "raw").replace("{id}", "01a1f99e-fc87-7477-8a75-50de0d96f84e");
        // Nobody takes this one: the answer says what the router itself takes here.
        let refused = world.ask("BREW", &path).await.expect(405);
        let taken = refused.header(header::ALLOW).split(',').filter(|method| *method != "HEAD");
        assert_eq!(taken.map(str::to_owned).collect::<BTreeSet<_>>(), methods, "{path}");
    }
    world.end().await;
}
