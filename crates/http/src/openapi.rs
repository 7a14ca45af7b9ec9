//! The OpenAPI document, made from the routes.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::credentials::{MEMBER, OPERATOR, TERMINAL, TICKET, WEBHOOK};

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
        components.add_security_scheme(TICKET, bearer());
        let webhook = ApiKeyValue::with_description(
            "Hunch-Webhook-Signature",
            "t=<unix seconds>,v1=<hexadecimal HMAC-SHA256 of \"<t>.<body>\"> with the shared secret.",
        );
        components.add_security_scheme(WEBHOOK, SecurityScheme::ApiKey(ApiKey::Header(webhook)));
        components.add_security_scheme(TERMINAL, SecurityScheme::ApiKey(ApiKey::Header(signature)));
    }
}

/// Every response says what it is. Those of problems say the same everywhere; one of success that says nothing itself says
/// what its operation did.
pub(crate) fn describe_responses(document: &mut utoipa::openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            let done = operation.summary.clone().unwrap_or_default();
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = described(status, &done);
                }
            }
        }
    }
}

/// A field whose type says its own bounds, and that has a description besides, comes as "all of" the type and an object with
/// the description, which no number and no text is. They become one.
pub(crate) fn join_descriptions(document: &mut utoipa::openapi::OpenApi) {
    for schema in document.components.iter_mut().flat_map(|c| c.schemas.values_mut()) {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        for field in object.properties.values_mut() {
            if let RefOr::T(Schema::AllOf(all)) = field
                && let [RefOr::T(Schema::Object(bounded)), RefOr::T(Schema::Object(told))] = all.items.as_mut_slice()
                && told.properties.is_empty()
            {
                bounded.description = told.description.take();
                *field = RefOr::T(Schema::Object(bounded.clone()));
            }
        }
    }
}

/// A text that may be null and has a format comes as one schema of two types. Some readers, the tester of this very document among
/// them, heed the format only where there is one type, so each of the two gets a schema of its own.
pub(crate) fn part_formats(document: &mut utoipa::openapi::OpenApi) {
    for schema in document.components.iter_mut().flat_map(|c| c.schemas.values_mut()) {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        for field in object.properties.values_mut() {
            if let RefOr::T(Schema::Object(text)) = field
                && text.format.is_some()
                && text.schema_type == SchemaType::from_iter([Type::String, Type::Null])
            {
                let description = text.description.take();
                text.schema_type = SchemaType::new(Type::String);
                let parts = OneOfBuilder::new().item(text.clone()).item(ObjectBuilder::new().schema_type(Type::Null));
                *field = parts.description(description).into();
            }
        }
    }
}

fn described(status: &str, done: &str) -> String {
    match status.as_bytes().first() {
        Some(b'4') => "Refused: the problem says why, and what can be done.".to_owned(),
        Some(b'5') => "Not possible now: the problem says whether to send the same again.".to_owned(),
        _ => format!("Done. {done}").trim_end().to_owned(),
    }
}

/// The whole document as pretty JSON, with a final newline.
pub fn openapi_json() -> String {
    let (_, document) = crate::router::parts();
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
