"""What learns on cards: its listings, its evidence, and what decides on trees' scores."""
