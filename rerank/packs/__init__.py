"""Domain packs: what a kind of goods is told apart by, read from data and from the catalogue."""
