"""Back doors: how we reach the world."""
