//! That a member looked at what a notice leads to: noted once, in the member's shard, and announced.

use async_trait::async_trait;
use hunch_kernel::{MemberId, NoticeId};
use hunch_ledger::{BatchError, ShardHandler};
use hunch_log::ShardTx;
use hunch_messages::{Message, NoticeOpened};

use crate::store;

/// A person opened this notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedRequest {
    pub member: MemberId,
    pub notice: NoticeId,
}

/// First looks, in the members' shard.
pub struct OpenedHandler;

#[async_trait]
impl ShardHandler for OpenedHandler {
    type Request = OpenedRequest;
    /// True for the first look at something that leads further than its receipt.
    type Answer = bool;
    const NAME: &'static str = "opened notices";

    async fn handle(&self, tx: &mut ShardTx, requests: &[OpenedRequest]) -> Result<Vec<bool>, BatchError> {
        let now = tx.now();
        let mut first = store::mark_opened(tx.conn(), requests, now).await?;
        for (request, cause) in &first {
            tx.announce(Message::NoticeOpened(NoticeOpened {
                v: 1,
                member: request.member.0,
                notice: request.notice.0,
                cause: *cause,
                at: now,
            }));
        }
        let mut was_first = |request: &OpenedRequest| {
            let place = first.iter().position(|(known, _)| known == request);
            place.map(|place| first.swap_remove(place)).is_some()
        };
        Ok(requests.iter().map(&mut was_first).collect())
    }
}
