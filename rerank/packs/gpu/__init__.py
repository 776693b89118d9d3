"""Graphics cards: the domain that ships."""
