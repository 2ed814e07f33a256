"""Front doors: how the world reaches us."""
