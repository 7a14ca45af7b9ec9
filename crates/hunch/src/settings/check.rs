//! What `hunch serve` would refuse to start with. `hunch config check` refuses the same, before anything is started.

use anyhow::{Context, ensure};
use hunch_http::OperatorKey;
use std::fs;
use url::Url;

use super::{Settings, Source};

/// # Errors
/// The first setting that cannot be used, with what it should look like.
pub fn check(settings: &Settings) -> anyhow::Result<()> {
    addresses(settings)?;
    key_files(settings)?;
    contact(settings)?;
    tracing_subscriber::EnvFilter::try_new(settings.text("log.filter")).with_context(|| {
        format!("log.filter = {:?} is no filter, such as info,sqlx=warn", settings.text("log.filter"))
    })?;
    Ok(())
}

fn addresses(settings: &Settings) -> anyhow::Result<()> {
    let simulator = match settings.text("exchange.kind") {
        "simulator" => settings.parsed("exchange.simulator_port")?,
        _ => 0,
    };
    let ports = [
        ("server.listen", settings.listen()?.port()),
        ("server.operators_listen", settings.operators_listen()?.port()),
        ("exchange.simulator_port", simulator),
    ];
    for (at, (key, port)) in ports.iter().enumerate() {
        let same = ports[..at].iter().find(|(_, other)| other == port && *port != 0);
        ensure!(same.is_none(), "{} and {key} both name port {port}", same.map_or("", |(other, _)| other));
    }
    address(settings, "database.url", &["postgres", "postgresql"], "postgres://db.example.org/hunch")?;
    address(settings, "server.public_url", &["https", "http"], "https://hunch.example.org")?;
    address(settings, "exchange.rest_url", &["https", "http"], "https://exchange.example.org/trade-api/v2")?;
    address(settings, "exchange.ws_url", &["wss", "ws"], "wss://exchange.example.org/trade-api/ws/v2")
}

/// Nothing of the value is shown where it may hold a password.
fn address(settings: &Settings, key: &str, schemes: &[&str], example: &str) -> anyhow::Result<()> {
    let value = settings.text(key);
    // The path of a socket has no host: postgres:///hunch?host=/run/postgresql.
    let fits =
        Url::parse(value).is_ok_and(|url| schemes.contains(&url.scheme()) && (url.has_host() || key == "database.url"));
    let shown = settings.shown(key);
    ensure!(
        value.is_empty() || fits,
        "{key} = {shown:?} (from the {}) is no address that begins with {}, such as {example}",
        settings.source(key),
        schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ")
    );
    Ok(())
}

/// Files that somebody else keeps must be there; those that the programme makes are made when they are missing.
fn key_files(settings: &Settings) -> anyhow::Result<()> {
    let own = ["webhook.secret_file", "operator.token_file"];
    let exchange = (settings.text("exchange.kind") == "kalshi").then_some("exchange.private_key_file");
    for key in own.into_iter().chain(exchange) {
        if let Some(file) = settings.path(key) {
            let text = fs::read_to_string(&file).with_context(|| {
                format!("{key} = {} (from the {}) cannot be read", file.display(), settings.source(key))
            })?;
            ensure!(!text.trim().is_empty(), "{key} = {} is empty", file.display());
        }
    }
    let operator = settings.path("operator.token_file").and_then(|file| fs::read_to_string(file).ok());
    let operator = operator.map(|token| OperatorKey::of_token("operator", token.trim()));
    let written = settings.text("operator.approver_sha256");
    if written.is_empty() {
        return Ok(());
    }
    let approver = OperatorKey::of_sha256("approver", written).with_context(|| {
        format!("operator.approver_sha256 = {written:?} is no SHA-256 in hexadecimal; `hunch approver` prints one")
    })?;
    ensure!(
        operator.is_none_or(|operator| !operator.is_same(&approver)),
        "operator.token_file holds the token of operator.approver_sha256: what moves money or lets somebody in needs two people"
    );
    Ok(())
}

/// A push service that is troubled writes to this address, and some take no push whose address nobody can have. On
/// the simulator the default will do, for trying.
fn contact(settings: &Settings) -> anyhow::Result<()> {
    let contact = settings.text("push.subject");
    let for_trying =
        settings.source("push.subject") == Source::Default && settings.text("exchange.kind") == "simulator";
    ensure!(
        for_trying || is_contact(contact),
        "push.subject = {contact:?} (from the {}) is no address at which a push service can reach you, such as \
         mailto:operator@example.org or https://example.org/contact",
        settings.source("push.subject")
    );
    Ok(())
}

fn is_contact(contact: &str) -> bool {
    let public = |host: &str| {
        let (name, domain) = host.rsplit_once('.').unwrap_or_default();
        !name.is_empty()
            && domain.len() > 1
            && domain.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !["localhost", "local", "internal", "invalid", "test"].contains(&domain)
    };
    match contact.strip_prefix("mailto:") {
        Some(mail) => mail.rsplit_once('@').is_some_and(|(who, host)| !who.is_empty() && public(host)),
        None => Url::parse(contact).is_ok_and(|url| url.scheme() == "https" && url.host_str().is_some_and(public)),
    }
}
