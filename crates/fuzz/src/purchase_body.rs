//! What a till sends. The first byte chooses between one purchase and a batch.

use hunch_http::Problem;
use hunch_http::fuzzing::{batch, purchase};
use hunch_loyalty::{MemberRef, PurchaseRequest, purchase_id};

pub fn run(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'[', body)) => match batch(body) {
            Ok(items) => items.into_iter().for_each(judge),
            Err(problem) => refused(&problem),
        },
        _ => judge(purchase(bytes)),
    }
}

fn judge(read: Result<PurchaseRequest, Problem>) {
    match read {
        Ok(request) => {
            // PostgreSQL keeps no U+0000 in text.
            assert!(!request.receipt.contains('\0') && !request.currency.contains('\0'));
            if let MemberRef::Code(code) = &request.member {
                assert!(!code.contains('\0'));
            }
            assert_eq!(
                purchase_id(request.terminal, &request.receipt),
                purchase_id(request.terminal, &request.receipt)
            );
        }
        Err(problem) => refused(&problem),
    }
}

fn refused(problem: &Problem) {
    assert!(problem.detail.is_some(), "a refusal says why");
    assert!((400..500).contains(&problem.body().status), "bad bytes are never our failure");
}
