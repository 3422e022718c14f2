"""Room: network + inputs → attribution."""
