"""Audio with exact truth, scores, and the accuracy card."""
