"""Room: tokens of several inputs → one vector."""
