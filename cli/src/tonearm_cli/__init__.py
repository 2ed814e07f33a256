"""The `tonearm` command."""
