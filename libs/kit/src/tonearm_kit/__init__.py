"""How every Tonearm service runs. Knows no business word."""
