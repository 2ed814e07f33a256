"""The head: rules without I/O, clock or randomness."""
