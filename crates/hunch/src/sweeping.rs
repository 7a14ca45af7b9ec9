//! What nobody asks for any more is deleted: codes, sessions, answers. A little at a time, so that nobody waits for it.

use hunch_http::App;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::trading_loops::repeat;

const EVERY: Duration = Duration::from_secs(60);
const AT_ONCE: i64 = 5_000;
const BREATH: Duration = Duration::from_millis(100);

/// Sweeps until told to stop.
pub fn sweep(app: Arc<App>, stop: CancellationToken) -> impl Future<Output = ()> + Send {
    repeat("what is old is not swept", stop, async move || {
        let swept = [
            app.people.sweep(AT_ONCE).await?,
            app.terminal_sessions.sweep(AT_ONCE).await?,
            hunch_loyalty::sweep_codes(&app.pool, app.clocks.wall.now(), AT_ONCE).await?,
            hunch_http::sweep_first_answers(&app.pool, app.clocks.business.now(), AT_ONCE).await?,
            app.purchases.velocity.sweep(app.clocks.business.now(), AT_ONCE).await?,
            app.proposals.lapse().await?,
        ];
        let more = swept.iter().any(|rows| *rows >= AT_ONCE as u64);
        tokio::time::sleep(if more { BREATH } else { EVERY }).await;
        Ok(())
    })
}
