//! The simulator by itself, for judges that start it as a program. `hunch exchange-sim` is the same.

use clap::Parser;
use hunch_exchange_sim::cli;
use hunch_kernel::{Clock, Clocks, WallClock, WallTime};
use jiff::Timestamp;
use std::sync::Arc;

#[derive(Parser)]
#[command(about = "A simulator of Kalshi's published REST and WebSocket interface")]
struct Program {
    #[command(flatten)]
    args: cli::Args,
}

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this program is one of the few that have a real clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl WallClock for SystemClock {
    fn now(&self) -> WallTime {
        WallTime::from_timestamp(Clock::now(self))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let program = Program::parse();
    let clock = Arc::new(SystemClock);
    let clocks = Clocks { business: clock.clone(), wall: clock };
    cli::run(program.args, clocks, async {
        let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(signal) => signal,
            Err(_) => return std::future::pending().await,
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    })
    .await
}
