"""Files and tables of the dual-objective ranker."""
