"""One conformance suite a contract, for the rooms here and for plugin authors: ``autodl.testing.encoder.EncoderSuite`` …"""
