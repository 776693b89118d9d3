"""How good is it? Gold, outcomes, metrics with intervals, comparisons and what they add up to."""
