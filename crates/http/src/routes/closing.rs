//! The operator: closing a till or a merchant, and opening it again.

use axum::extract::State;
use axum::http::StatusCode;
use hunch_kernel::{MerchantId, TerminalId};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::bounds::Line;
use crate::credentials::Operator;
use crate::extract::Path;
use crate::json::Json;
use crate::problem::{Problem, ProblemBody, ProblemKind};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetOpen {
    /// False closes it.
    pub open: bool,
    /// For the programme's own records.
    #[schema(inline)]
    pub why: Line<1, 200>,
}

/// Closes a till, such as one that was stolen, or opens it again. Closed, it neither sells nor takes returns, and its sessions end
/// at once; opened, it opens a new session with the secret it had. Safe to repeat.
#[utoipa::path(put, path = "/v1/ops/terminals/{terminal}/open", operation_id = "set_terminal_open", tag = "ops", params(("terminal" = Uuid, Path)),
    request_body = SetOpen, security(("operator" = [])), responses(
    (status = 204),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn terminal(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(terminal): Path<Uuid>,
    Json(body): Json<SetOpen>,
) -> Result<StatusCode, Problem> {
    let terminal = TerminalId(terminal);
    let found = app.terminal_sessions.set_terminal(terminal, body.open, &body.why.0, operator.name).await?;
    told(&app, found, "there is no such till")
}

/// Closes a merchant with all its tills, or opens it again. A till that was closed by itself stays closed. Safe to repeat.
#[utoipa::path(put, path = "/v1/ops/merchants/{merchant}/open", operation_id = "set_merchant_open", tag = "ops", params(("merchant" = Uuid, Path)),
    request_body = SetOpen, security(("operator" = [])), responses(
    (status = 204),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn merchant(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(merchant): Path<Uuid>,
    Json(body): Json<SetOpen>,
) -> Result<StatusCode, Problem> {
    let merchant = MerchantId(merchant);
    let found = app.terminal_sessions.set_merchant(merchant, body.open, &body.why.0, operator.name).await?;
    told(&app, found, "there is no such merchant")
}

fn told(app: &App, found: bool, none: &str) -> Result<StatusCode, Problem> {
    app.directory.forget();
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::new(ProblemKind::NotFound, none)) }
}
