"""A dbt-duckdb model, `models/resolved.py`: the rows of the model `listings`, resolved.

The relation stays in DuckDB; dbt makes a table of it. In SQL models a plugin of the profile may
call `rerank.register(connection)`, which gives them `resolve_gpu(title)`.
"""

from typing import Any

import rerank


def model(dbt: Any, session: Any) -> Any:
    """Return the listings with what each sells."""
    dbt.config(materialized="table")
    listings = dbt.ref("listings")
    return rerank.resolve_table(listings, title="title", only_decisions=True)
