-- A statement tells a stake as one line with all its parts, however long after the hold they came. Only postings of stakes
-- are listed here, so a purchase writes nothing to it.
CREATE INDEX entry_of_stake ON ledger.entry (source) WHERE reason BETWEEN 10 AND 19;
