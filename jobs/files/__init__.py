"""Listings, tables of the store and places, as files hold them."""
