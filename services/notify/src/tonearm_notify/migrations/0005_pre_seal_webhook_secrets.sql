-- Secrets are sealed before they are written. NULL: still open, or written by a process of the
-- release before; a sweep seals it.
ALTER TABLE webhooks ADD COLUMN sealed_with text;
