"""One conformance suite a contract, for us and for plugin authors: ``autodl.testing.encoder.EncoderSuite`` …"""
