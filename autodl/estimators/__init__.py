"""Room: scikit-learn learners that race beside the networks."""
