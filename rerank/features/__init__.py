"""Features: the evidence for and against each candidate, and about what a listing offers."""
