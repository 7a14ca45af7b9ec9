-- A payout that was taken back, and from where. A payout is reversed once. Append-only.
CREATE TABLE ledger.reversal (
    hold     uuid   NOT NULL,
    lot_lo   bigint NOT NULL,                   -- the lot that the payout had made
    lot_hi   bigint NOT NULL,
    key      uuid   NOT NULL,                   -- command key
    member   uuid   NOT NULL,
    voided   bigint NOT NULL,                   -- unused points of the payout, or of what its points brought (lot_void)
    used     bigint NOT NULL,                   -- other points of the member (an entry with a lot range)
    refunded bigint NOT NULL,                   -- winnings that a return had taken, from the community pot
    owed     bigint NOT NULL,                   -- what a return had charged with these points: debt again
    lost     bigint NOT NULL,                   -- nobody has them any more: the house's loss
    CONSTRAINT reversal_once PRIMARY KEY (hold, lot_lo),
    CONSTRAINT reversal_adds_up CHECK (voided >= 0 AND used >= 0 AND refunded >= 0 AND owed >= 0 AND lost >= 0
                                       AND voided + used + refunded + owed + lost = lot_hi - lot_lo AND lot_lo < lot_hi)
);

-- Points of a reversed payout that had been used when it was reversed, and what paid for them. Append-only.
CREATE TABLE ledger.payback (
    member uuid   NOT NULL,
    lot_lo bigint NOT NULL,
    lot_hi bigint NOT NULL,
    by_lo  bigint,                              -- as many points from here on stand in for them; null: what they brought paid
    key    uuid   NOT NULL,                     -- command key of the reversal
    CONSTRAINT payback_once PRIMARY KEY (member, lot_lo),
    CONSTRAINT payback_not_empty CHECK (lot_lo < lot_hi)
);

-- Null in rows of earlier programmes, where it is hi - lo.
ALTER TABLE ledger.claim ADD COLUMN charged bigint,
    ADD CONSTRAINT claim_charged CHECK (charged >= 0 AND charged <= hi - lo);

-- Points that a return charged and left usable can be taken back by a reversal.
ALTER TABLE ledger.lot_void DROP CONSTRAINT lot_void_once, ADD CONSTRAINT lot_void_once PRIMARY KEY (member, lot_lo, owed);

GRANT SELECT, INSERT ON ledger.reversal, ledger.payback TO hunch_app;
