"""A Dagster asset: the asset `listings`, a Polars DataFrame, resolved."""

import polars as pl
from dagster import asset

import rerank


@asset
def resolved_listings(listings: pl.DataFrame) -> pl.DataFrame:
    """The listings with what each sells, how sure that is, and why."""
    return rerank.resolve_table(listings, title="title", only_decisions=True)


@asset
def unsure_listings(resolved_listings: pl.DataFrame) -> pl.DataFrame:
    """Those that a person decides."""
    return resolved_listings.filter(pl.col("decision") == "review")
