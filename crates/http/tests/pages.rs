//! The plain pages: served whole, and nothing in them that the strict policy would have to allow.

mod support;

use axum::body::Body;
use axum::http::Request;
use support::Service;

/// A link must not be able to say where somebody is, nor anything else that the page then believes.
#[tokio::test]
async fn the_members_page_takes_nothing_from_its_link_but_a_notice() {
    let service = Service::start().await;
    let page = service.ask(Request::get("/app").body(Body::empty()).unwrap()).await;
    assert!(page.body.as_str().unwrap().contains("/assets/app.js"));
    let mut scripts = 0;
    for script in ["app.js", "api.js", "inbox.js", "markets.js", "me.js"] {
        let found = service.ask(Request::get(format!("/assets/{script}")).body(Body::empty()).unwrap()).await;
        assert_eq!(found.status, 200, "{script}");
        let text = found.body.as_str().unwrap();
        assert!(!text.contains("location.hash"), "{script} reads what stands behind # in its link");
        for read in text.split("URLSearchParams(location.").skip(1) {
            assert!(read.starts_with("search).get(\"notice\")"), "{script}: {}", &read[..40]);
        }
        scripts += 1;
    }
    assert_eq!(scripts, 5);
}

#[tokio::test]
async fn each_page_comes_with_its_files_and_a_strict_policy() {
    let service = Service::start().await;
    for path in ["/", "/app", "/till", "/live"] {
        let page = service.ask(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((page.status, page.headers["content-type"].to_str().unwrap()), (200, "text/html; charset=utf-8"));
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let html = page.body.as_str().unwrap();
        for inline in ["<script>", "<style", "style=", "onclick=", "javascript:", "//cdn", "https://"] {
            assert!(!html.contains(inline), "{path} has {inline}");
        }
        let named = html.split('"').filter(|part| part.starts_with("/assets/"));
        for file in named {
            let found = service.ask(Request::get(file).body(Body::empty()).unwrap()).await;
            assert_eq!(found.status, 200, "{path} names {file}");
            assert_eq!(found.headers["x-content-type-options"], "nosniff");
        }
    }
    for outside in ["/assets/nothing.js", "/assets/..%2FCargo.toml", "/assets/%2e%2e%2fsrc%2flib.rs"] {
        let answer = service.ask(Request::get(outside).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status, answer.body["type"].as_str()), (404, Some("/problems/not-found")), "{outside}");
    }
}
