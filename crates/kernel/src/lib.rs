//! The words every part of Hunch shares: points, dollars, prices, contract counts, ids, time and
//! chance. No I/O, no clock of its own, no randomness of its own, no floating point.

mod clock;
mod entropy;
mod ids;
mod locks;
mod money;
mod points;
mod seeded_bug;
mod shard;
mod wall_time;

pub use clock::{Clock, Clocks, Elapsed, ManualClock, PointInTime, SharedClock, SharedWallClock, WallClock, within};
pub use entropy::{Entropy, SeededEntropy, SharedEntropy, SystemEntropy, derived_uuid, random_token};
pub use ids::{
    DeviceId, EventTicker, HoldId, MarketTicker, MemberId, MerchantId, NoticeId, OperatorId, OrderId, PositionId,
    PurchaseId, QuoteId, SeriesTicker, SubscriptionId, TerminalId,
};
pub use locks::{lock, read_lock, write_lock};
pub use money::{Count, Dollars, MoneyError, Price, Side};
pub use points::{PointRate, Points};
#[cfg(feature = "seeded-bugs")]
pub use seeded_bug::plant_bug;
pub use seeded_bug::{plant_for_ever, seeded_bug};
pub use shard::{SHARDS_MAX, Shard, shard_of};
pub use wall_time::WallTime;
