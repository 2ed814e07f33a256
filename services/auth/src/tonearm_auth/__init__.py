"""Accounts, sessions, signing keys, flags, limits and quota."""
