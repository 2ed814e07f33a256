"""The engine that listens to music, and the worker around it."""
