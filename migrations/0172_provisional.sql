-- Points that wait for a person's decision: earned, but beside the member's stream of lots until they mature.

-- What became of an earning's provisional points; while there is no row they are provisional. Append-only.
CREATE TABLE ledger.provisional_end (
    earned  uuid   NOT NULL,                    -- command key of the earning
    key     uuid   NOT NULL,                    -- command key of what ended it
    member  uuid   NOT NULL,
    points  bigint NOT NULL,                    -- all that the earning gave
    outcome text   NOT NULL,
    lot_lo  bigint,                             -- matured: the lot that they are now
    lot_hi  bigint,
    CONSTRAINT provisional_end_once PRIMARY KEY (earned),
    CONSTRAINT provisional_end_outcome CHECK (outcome IN ('matured', 'taken_back', 'returned')),
    CONSTRAINT provisional_end_lot CHECK (points > 0 AND (outcome = 'matured') = (lot_lo IS NOT NULL)
                                          AND (lot_lo IS NULL) = (lot_hi IS NULL) AND (lot_lo IS NULL OR lot_hi - lot_lo = points))
);
GRANT SELECT, INSERT ON ledger.provisional_end TO hunch_app;
