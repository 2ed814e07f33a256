-- A process that is killed leaves its claim on an Idempotency-Key behind: claims end by themselves.
ALTER TABLE loose_object ADD COLUMN claimed_until timestamptz;
