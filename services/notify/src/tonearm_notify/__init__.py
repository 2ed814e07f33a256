"""Subscriptions, publication history and push to people."""
