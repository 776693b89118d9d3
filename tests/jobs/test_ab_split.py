"""`rerank models ab`: listings split by their ids, both decisions logged."""

from __future__ import annotations

import pyarrow.parquet as pq
from second_model import add_version, sql, write

from rerank.lifecycle.canary import arm_of


def test_an_ab_test_splits_by_id_and_logs_both(run, home, tmp_path):
    challenger = add_version(home, tmp_path / "draft", match=1.01)
    source, out = write(tmp_path / "a.parquet", 200), tmp_path / "out.parquet"
    done = run(
        "models",
        "ab",
        source,
        out,
        "--challenger",
        challenger.version[:6],
        "--share",
        "0.3",
        "--salt",
        "x",
    )
    assert done.exit_code == 0, done.output
    rows = pq.read_table(out).to_pylist()
    inside = arm_of([row["listing_id"] for row in rows], "x", 0.3)
    by_arm = [row["model_version"] == challenger.version for row in rows]
    assert by_arm == inside.tolist()
    assert not any(row["decision"] == "match" for row, own in zip(rows, by_arm, strict=True) if own)
    n = int(inside.sum())
    logged = sql(home, "SELECT arm, count(*) FROM traffic_decisions GROUP BY arm ORDER BY arm")
    assert logged == [("challenger", 2 * n), ("champion", 200 - n)]
    again = run(
        "models",
        "ab",
        source,
        out,
        "--overwrite",
        "--challenger",
        challenger.version,
        "--share",
        "0.3",
        "--salt",
        "x",
        "--log-both",
    )
    assert again.exit_code == 0, again.output
    assert f"both models answered 200 listings, {sum_of_changes(home)} of them" in again.output
    assert sql(home, "SELECT count(*) FROM traffic_decisions") == [(400,)]


def sum_of_changes(home):
    ((changed,),) = sql(
        home,
        """SELECT count(*) FROM (SELECT listing_id FROM traffic_decisions
        GROUP BY listing_id HAVING count(DISTINCT decision) = 2)""",
    )
    return changed


def test_an_ab_test_needs_another_version(run, tmp_path):
    source = write(tmp_path / "a.parquet", 5)
    done = run("models", "ab", source, tmp_path / "o.parquet", "--challenger", "champion")
    assert done.exit_code == 1
    assert "ltr shipped: expected a version of" in done.output
