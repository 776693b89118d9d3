"""A generator of hostile titles, rows, files and bodies: seed and number give the same again."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_MAKERS = "MSI ASUS Gigabyte Palit Zotac Sapphire XFX PowerColor ASRock EVGA Gainward".split()
_CHIPS = "GeForce Radeon RTX GTX RX Quadro Tesla Arc Ti SUPER XT XTX Ada Vega Max-Q OEM SXM".split()
_ASIDE = "box only|laptop with|broken|for parts|2x|lot of|no|like a|backplate|vs|oder".split("|")
_SIGNS = [*"()[]{}<>|/\\+-*=~^%$#@!?;:,.'\"`&_\t\r\n", "''", "--", "\\N", "${x}", "%s", "{0}"]
_LETTERS = (
    "\x00\x1b\x7f\x85\xa0\xad²½µßŸİıſ\u0301\u0308\u0345\u200b\u200d\u200f\u2028\u202e\u2066"
    "\ufe0f\ufeff\uff13\uff10\uff27٣०Ⅷ①㎇㎆ﬁﬀ漢ตั้งक्षि🃏🏳\U000e0041\U0010ffff\ufffe"
)
_UNITS = "gb g gib go гб mb tb gbyte gb/s ghz w bit mm % € kr".split()


class Hostile(random.Random):
    """What sellers, broken programs and mischief write.

    :param seed: with ``number`` it stands for one case.
    """

    def __init__(self, seed: int, number: int) -> None:
        super().__init__(f"{seed} {number}")

    def _number(self) -> str:
        return self.choice(
            [
                str(self.choice([3, 4, 6, 8, 10, 12, 16, 24, 32, 80])),
                str(self.randrange(200, 10_000)),
                str(self.choice([0, -1, 2**31, 2**63, 10**40])),
                f"{self.random() * 100:.{self.randrange(9)}f}",
                f"1e{self.randrange(400)}",
                "0" * self.randrange(1, 30) + str(self.randrange(99)),
            ]
        )

    def _piece(self) -> str:
        kind = self.randrange(9)
        if kind < 3:
            return self.choice([self.choice(_CHIPS), self.choice(_MAKERS), self.choice(_ASIDE)])
        if kind < 5:
            return self._number() + self.choice(["", " ", "-"]) + self.choice([*_UNITS, *_CHIPS])
        if kind == 5:
            return self._number()
        if kind == 6:
            return self.choice(_SIGNS) * self.choice([1, 1, 2, 50])
        if kind == 7:
            return "".join(self.choices(_LETTERS, k=self.randrange(1, 5)))
        return "".join(map(chr, self.choices(range(0xD7FF), k=self.randrange(1, 12))))

    def title(self) -> str:
        """Return a title: pieces in a row, some many times over; UTF-8 can say it."""
        glue = self.choice([" ", " ", " ", "", "/", "-", "+", ",", "\u00a0", "\u0301"])
        pieces = [self._piece() for _ in range(self.choice([0, 1, 3, 6, 12, 40]))]
        if pieces and self.random() < 0.2:  # what a rule that goes back and forth runs long on
            pieces.insert(0, self.choice(pieces) * self.choice([2, 30, 150, 3000]))
        text = glue.join(pieces)
        return self.choice([text, text, text.upper(), text.lower(), text[::-1], text.swapcase()])

    def value(self) -> Any:
        """Return what a row may hold where text is expected."""
        return self.choice(
            [
                self.title(),
                self.title()[:60],
                None,
                "",
                " ",
                self._number(),
                self.randrange(-9, 10 ** self.randrange(1, 25)),
                self.choice([1e308, -0.0, 0.1, True, False]),
                self.choice([[], {}, [[1]], {"a": {"b": None}}]),
            ]
        )

    def row(self) -> dict[str, Any]:
        """Return a row as JSON can say it; now and then a column is missing, or one too many."""
        names = ["listing_id", "title", "vendor", "description", "price", "model", "decision"]
        row = {name: self.value() for name in names if self.random() < 0.8}
        row.setdefault("title", self.title())
        row.setdefault("listing_id", self.randrange(50))
        if self.random() < 0.1:
            row[self.title()[:20]] = self.value()
        return row

    def whole_file(self) -> tuple[str, bytes, int]:
        """Return a file that breaks no rule: its ending, its bytes and how many rows it has."""
        n = self.randrange(1, 12)
        rows = [{"listing_id": at, "title": self.title() or "-"} for at in range(n)]
        for row in rows:
            row["note"] = self.title()
        if self.random() < 0.4:
            return "jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode(), n
        if self.random() < 0.5:
            sink = io.BytesIO()
            groups = {"row_group_size": self.randrange(1, 5)}
            pq.write_table(pa.Table.from_pylist(rows), sink, **groups)
            return "parquet", sink.getvalue(), n
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["listing_id", "title", "note"], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
        return "csv", text.getvalue().encode(), n

    def file(self, suffix: str = "") -> tuple[str, bytes]:
        """Return a file that something has happened to: its ending and its bytes.

        :param suffix: what its name ends in, mostly rightly.
        """
        ending, content, _ = self.whole_file()
        while self.random() < 0.8 and suffix and ending != suffix[1:]:
            ending, content, _ = self.whole_file()
        kind = self.randrange(8)
        if kind == 0:
            lines = [json.dumps(self.row()) for _ in range(self.randrange(1, 8))]
            return self.choice(["jsonl", "json"]), "\n".join(lines).encode()
        if kind == 1:
            lines = [",".join(map(str, self.row().values())) for _ in range(self.randrange(1, 8))]
            return self.choice(["csv", "tsv"]), "\n".join(["listing_id,title", *lines]).encode()
        if kind == 2:
            return self.choice(["csv", "jsonl", "parquet", "json", "xlsx", "csv.gz"]), content
        if kind == 3 and ending != "parquet":
            code = self.choice(["utf-16", "utf-8-sig", "utf-32", "utf-16-le"])
            content = content.decode().encode(code)
        if kind == 4 and ending != "parquet":
            ending, content = f"{ending}.gz", gzip.compress(content, mtime=0)
        return ending, self.damaged(content)

    def damaged(self, content: bytes) -> bytes:
        """Return bytes with some turned, cut out, doubled or put in."""
        found = bytearray(content)
        for _ in range(self.randrange(1, 4)):
            at = self.randrange(len(found) + 1)
            kind = self.randrange(5)
            if kind == 0 and at < len(found):
                found[at] ^= 1 << self.randrange(8)
            elif kind == 1:
                del found[at : at + self.randrange(1, 40)]
            elif kind == 2:
                found[at:at] = found[: self.randrange(200)]
            elif kind == 3:
                found[at:at] = self.choice([b'"', b"\n", b"\r", b"\x00", b"\xff", b",", b"{", b"["])
            else:
                del found[at:]
        return bytes(found)

    def yaml(self) -> bytes:
        """Return a file of settings."""
        value = self.choice(
            [
                *("2026-13-45", "9" * 5000, ".nan", "-.inf", "!!python/none x", "*a", "&a [*a]"),
                *("0x" + "f" * 300, "1:99:99", "'", "|", "? ", "<<: 3", "{a: {b: [}}", "\x00"),
                *("[" * 3000, "- " * 500, "{" * 900, "&a [1, &b [*a, *a]]", "!!binary x"),
                *(json.dumps(self.title()), str(self.value()), "title", "listing_id"),
            ]
        )
        key = self.choice(["title", "listing_id", "steps", "alpha", "price", "gpus", "model", ""])
        text = f"{key}: {value}\n" * self.choice([1, 1, 2])
        found = text.encode("utf-8", "surrogatepass")
        return self.damaged(found) if self.random() < 0.3 else found

    def body(self) -> bytes:
        """Return the body of a request."""
        rows = [self.row() for _ in range(self.choice([0, 1, 1, 2, 5]))]
        kind = self.randrange(6)
        content: Any = rows if kind < 3 else rows[0] if kind == 3 and rows else self.value()
        text = json.dumps(content, ensure_ascii=self.random() < 0.5).encode()
        return self.damaged(text) if self.random() < 0.3 else text
