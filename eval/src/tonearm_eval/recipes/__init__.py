"""How every shipped model file was made, as programs that anyone can run again."""
