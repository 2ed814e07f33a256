"""The local stack, from pip alone."""
