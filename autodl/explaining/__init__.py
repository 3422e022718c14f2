"""Explanations: what is asked of a predictor or a module, by which method, and how good the answer is."""
