"""Room: one update of a whole pack of networks."""
