"""The generic pack: any catalogue, told apart by its own words, numbers and identifiers."""
