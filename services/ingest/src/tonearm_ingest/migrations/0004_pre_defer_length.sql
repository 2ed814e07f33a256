-- Uploads whose length is told later: until then length_bytes is the most that may come.

ALTER TABLE upload ADD COLUMN is_length_deferred boolean NOT NULL DEFAULT false;
