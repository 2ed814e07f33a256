"""Numbered forward-only SQL: `pre` before the new code runs, `post` after it."""
