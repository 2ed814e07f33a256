"""The schema of ingest, forward only: `NNNN_pre_…` before new code runs, `NNNN_post_…` after."""
