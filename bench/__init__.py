"""Measurements of Tonearm: `make bench`."""
