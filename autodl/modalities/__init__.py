"""Room: columns → tensor."""
