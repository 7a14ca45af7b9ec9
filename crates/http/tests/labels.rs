//! What is measured has bounded names: nobody outside can make figures without end.

mod support;

use axum::body::Body;
use axum::http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::collections::BTreeSet;
use support::Service;

/// The words under `label` in Prometheus' text.
fn words(text: &str, label: &str) -> BTreeSet<String> {
    let named = format!("{label}=\"");
    let values = text.lines().filter_map(|line| line.split_once(&named)?.1.split('"').next());
    values.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_made_up_method_is_counted_as_other_and_a_made_up_address_as_none() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let figures = recorder.handle();
    // This thread's alone: the runtime of this test has no other.
    let _measured = metrics::set_default_local_recorder(&recorder);
    let service = Service::start().await;
    for n in 0..300 {
        for path in ["/v1/me", "/readyz", "/v1/orders/x", &format!("/nowhere/{n}")] {
            let request = Request::builder().method(format!("MADE-UP-{n}").as_str()).uri(path);
            assert!(service.ask(request.body(Body::empty()).unwrap()).await.status >= 400, "{path}");
        }
        service.ask(Request::get(format!("/v1/orders/{n}")).body(Body::empty()).unwrap()).await;
    }
    let text = figures.render();
    assert_eq!(words(&text, "method"), BTreeSet::from(["GET".to_owned(), "other".to_owned()]));
    let routes = BTreeSet::from(["/v1/me", "/readyz", "/v1/orders/{id}", "none"].map(str::to_owned));
    assert!(words(&text, "route").is_subset(&routes), "{:?}", words(&text, "route"));
    assert!(words(&text, "route").contains("none"));
}
