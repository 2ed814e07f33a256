-- A result in which a stage failed is shown, but never taken for the answer to the next upload.
ALTER TABLE results ADD COLUMN complete boolean NOT NULL DEFAULT true;
