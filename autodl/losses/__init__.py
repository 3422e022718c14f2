"""Room: outputs, targets → one value a row."""
