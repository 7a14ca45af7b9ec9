-- Which receipt numbers are the same one. A purchase's id is derived from its till and the key of its receipt number (see
-- crates/loyalty/src/receipt.rs), so that the primary key holds equal receipts to one effect.

ALTER TABLE loyalty.purchase
    ADD COLUMN receipt_key text,                -- what equal numbers have in common; null where it is the receipt as sent
    -- As far as it can be said here; rows of before are not read. The audit derives each id again.
    ADD CONSTRAINT purchase_receipt_key CHECK (coalesce(receipt_key, receipt) !~ '[A-Z[:space:]]') NOT VALID;

-- Receipts that were recorded while each spelling had an id of its own. Written here only.
CREATE TABLE loyalty.receipt_spelling (
    purchase uuid NOT NULL,                     -- the id under which it was recorded
    named    uuid,                              -- the id that its number has now; null where another receipt has it already
    CONSTRAINT receipt_spelling_once PRIMARY KEY (purchase),
    CONSTRAINT receipt_spelling_named UNIQUE (named)
);

WITH spelled AS (
    SELECT purchase, terminal, recorded_at, lower(normalize(regexp_replace(normalize(receipt, NFKC), '[\s\u00a0\u00ad\u200b-\u200f\u2060\ufeff]', '', 'g'), NFKC)) AS key
    FROM loyalty.purchase
), hashed AS (
    SELECT purchase, recorded_at,
           substring(sha256(int8send(8) || 'purchase'::bytea || int8send(16) || uuid_send(terminal) || int8send(octet_length(key)) || convert_to(key, 'UTF8')) FOR 16) AS h
    FROM spelled
), named AS (
    SELECT purchase, recorded_at,
           encode(set_byte(set_byte(h, 6, (get_byte(h, 6) & 15) | 128), 8, (get_byte(h, 8) & 63) | 128), 'hex')::uuid AS named
    FROM hashed
)
INSERT INTO loyalty.receipt_spelling (purchase, named)
SELECT n.purchase,
       CASE WHEN row_number() OVER (PARTITION BY n.named ORDER BY n.recorded_at, n.purchase) = 1
                 AND NOT EXISTS (SELECT 1 FROM loyalty.purchase p WHERE p.purchase = n.named) THEN n.named END
FROM named n WHERE n.purchase <> n.named;
GRANT SELECT ON loyalty.receipt_spelling TO hunch_app;
