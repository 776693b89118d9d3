"""Files broken in ways a reader may swallow: one clear error each, nothing is written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from rerank.evaluation.gold import read_gold
from rerank.index.errors import FaultsError, InputError
from rerank.index.rows import read_csv
from rerank.jobs.cli import main
from rerank.jobs.files.listings import open_listings
from rerank.packs.gpu.registry import load_registry


def _bad_utf8(path: Path, column: str) -> Path:
    raw = pa.array([b"RTX 3080", b"\xff\xfe"], pa.binary())
    text = pa.StringArray.from_buffers(2, raw.buffers()[1], raw.buffers()[2])
    columns = {"listing_id": pa.array(["1", "2"]), "title": pa.array(["a", "b"]), column: text}
    pq.write_table(pa.table(columns), path)
    return path


STRAY = "a quote that opens a cell swallows the lines after it"


@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        (['A1,"RTX 3080,9', "A2,x,9", "A3,y,9"], [0]),  # never closed
        (['A1,"RTX 3080,9', 'A2,"x",9', "A3,y,9"], [0]),  # closed by the next quote
        (['A1,"RTX 3080,9', 'A2,24 inch",9', "A3,y,9"], [0]),  # closed as if it belonged
        (['A1,"a,9', 'A2,"b,9', 'A3,"c,9', "A4,d,9"], [0, 1, 2]),
    ],
)
def test_a_stray_quote_swallows_no_rows(tmp_path: Path, rows: list[str], bad: list[int]) -> None:
    path = tmp_path / "listings.csv"
    path.write_text("\n".join(["listing_id,title,price", *rows]))
    (batch,) = open_listings(path).batches()
    assert batch.ids() == [f"A{n}" for n in range(1, len(rows) + 1)]
    assert batch.faults[0] == f"bad row: line 2: {STRAY}"
    assert sorted(batch.faults) == bad


def test_cells_of_several_lines_are_no_stray_quotes(tmp_path: Path) -> None:
    path = tmp_path / "listings.csv"
    text = 'listing_id,title,price\nA1,"two, or\nthree, lines, of text",9\nA2,"a ""b""\n\nc",9\n'
    path.write_text(text)
    (batch,) = open_listings(path).batches()
    assert batch.ids() == ["A1", "A2"]
    assert batch.faults == {}


def test_an_unclosed_quote_before_what_is_no_row_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "listings.csv"
    path.write_text('listing_id,title\n1,"RTX 3080\nand more\n')
    with pytest.raises(InputError, match="quote opened on line 2 is never closed"):
        open_listings(path)


def test_a_stray_quote_in_gold_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "gold.csv"
    path.write_text('listing_id,title,model\n1,a,RTX 3080\n2,"b,RTX 3070\n3,c,RTX 3060\n')
    with pytest.raises(InputError, match=f"line 3: {STRAY}; double the quote"):
        list(read_csv(path))


def test_stray_quotes_and_quoted_line_breaks_are_text(tmp_path: Path) -> None:
    path = tmp_path / "listings.csv"
    path.write_text('listing_id,title\n1,monitor 24" new\n2,"two\nlines"\n')
    (batch,) = open_listings(path).batches()
    assert [listing.title for listing in batch.listings()] == ['monitor 24" new', "two\nlines"]


def test_an_unclosed_quote_in_a_registry_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "gpus.csv"
    path.write_text('model,vendor,memory_gb,memory_type\n"GeForce A1,NVIDIA,4,GDDR5\nB,AMD,4,DDR\n')
    with pytest.raises(InputError, match="never closed"):
        load_registry(path)


@pytest.mark.parametrize("column", ["title", "note"])
def test_parquet_text_that_is_no_utf8_is_an_error(tmp_path: Path, column: str) -> None:
    path = _bad_utf8(tmp_path / "listings.parquet", column)
    with pytest.raises(InputError, match="parquet"):
        list(open_listings(path).batches())


def test_a_yaml_value_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "gpus.yaml"
    path.write_text("vendor: 2020-99-99\nfamilies: []\n")
    with pytest.raises(FaultsError, match="not readable as YAML"):
        load_registry(path)


def test_bootstrap_never_overwrites_its_registry(tmp_path: Path) -> None:
    path = tmp_path / "gpus.csv"
    content = "model,vendor,memory_gb,memory_type\nGeForce A100,NVIDIA,4,GDDR5\n"
    path.write_text(content)
    result = CliRunner().invoke(
        main, ["bootstrap", str(path), "--registry", str(path), "--overwrite"]
    )
    assert result.exit_code == 1
    assert "is the registry itself" in result.output
    assert path.read_text() == content


def test_a_negative_seed_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["bootstrap", str(tmp_path / "b.csv"), "--seed", "-5"])
    assert result.exit_code == 2


def test_a_share_that_is_no_number_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["bootstrap", str(tmp_path / "b.csv"), "--nil-share", "nan"])
    assert result.exit_code == 2


def test_half_a_surrogate_pair_in_a_key_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "listings.jsonl"
    path.write_text('{"listing_id": "1", "title": "RTX 3080", "a\\ud800": "x"}\n')
    assert open_listings(path).schema.names == ["listing_id", "title", "a?"]


def test_timestamps_are_no_listing_ids(tmp_path: Path) -> None:
    path = tmp_path / "listings.parquet"
    ids = pa.array([2**55], pa.timestamp("us"))
    pq.write_table(pa.table({"listing_id": ids, "title": ["RTX 3080"]}), path)
    with pytest.raises(InputError, match="listing_id"):
        open_listings(path)


def test_a_gold_column_that_stands_there_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "gold.csv"
    path.write_text(
        "listing_id,title,title,vendor,kind,gold_models,gold_memory_gb,gold_form\n"
        "1,RTX 3080,x,,match,GeForce RTX 3080,,\n"
    )
    with pytest.raises(InputError, match="columns there twice: title"):
        read_gold(path)
