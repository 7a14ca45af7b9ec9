//! The OpenAPI document, made from the routes.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::credentials::{MEMBER, OPERATOR, TERMINAL, WEBHOOK};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hunch",
        description = "A loyalty programme for a town. Points are whole numbers; times are RFC 3339; errors are problem documents (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Schemes)
)]
pub(crate) struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = || SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        let signature = ApiKeyValue::with_description(
            "Hunch-Signature",
            "Hexadecimal HMAC-SHA256 with the session's key over \"<unix seconds>\\n<METHOD>\\n<path>\\n<hex sha256 of the body>\"; \
             sent with Hunch-Session and Hunch-Timestamp.",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(MEMBER, bearer());
        components.add_security_scheme(OPERATOR, bearer());
        let webhook = ApiKeyValue::with_description(
            "Hunch-Webhook-Signature",
            "t=<unix seconds>,v1=<hexadecimal HMAC-SHA256 of \"<t>.<body>\"> with the shared secret.",
        );
        components.add_security_scheme(WEBHOOK, SecurityScheme::ApiKey(ApiKey::Header(webhook)));
        components.add_security_scheme(TERMINAL, SecurityScheme::ApiKey(ApiKey::Header(signature)));
    }
}

/// The whole document as pretty JSON, with a final newline.
pub fn openapi_json() -> String {
    let (_, document) = crate::router::parts();
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
