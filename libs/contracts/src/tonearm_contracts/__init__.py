"""What crosses a process boundary: events, topics, protocols. Pure data."""
