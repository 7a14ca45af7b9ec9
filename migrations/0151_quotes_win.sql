-- No quote is made that cannot win. Quotes of before are left as they are; they lapse within seconds.
ALTER TABLE trading.quote ADD CONSTRAINT quote_wins CHECK (pays_points > hold_points) NOT VALID;
