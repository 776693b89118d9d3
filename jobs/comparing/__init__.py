"""All rankers of a workspace, measured together: `rerank compare-rankers`."""
