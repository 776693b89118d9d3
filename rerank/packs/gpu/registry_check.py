"""Compare a registry with a table of public facts: what it lacks, what the facts contradict.

The facts are a CSV with the columns of `FACT_COLUMNS`, one row for each variant, with names as
databases write them (`GeForce GTX 1060 6 GB Rev. 2`, `Quadro RTX 6000 Mobile`), or a table of PCI
devices in the form of pci.ids, which knows names and chips and no sizes or years. Names are folded
to models before they are compared, so the answer is a list to read, not a verdict.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rerank.index.artifacts import open_regular, read_regular
from rerank.index.errors import InputError, not_utf8_text
from rerank.index.records import GpuRecord
from rerank.index.rows import read_csv
from rerank.index.text import squash

FACT_COLUMNS = ("name", "vendor", "release_date", "bus_interface", "memory_gb", "memory_type")

FIRST_YEAR = 2004
_VENDORS = {"nvidia": "NVIDIA", "amd": "AMD", "ati": "AMD", "intel": "Intel", "matrox": "Matrox"}
# Chips in consoles, boards and CPUs, and names of virtual machines: nobody lists them as a card.
_NOT_SOLD_ALONE = re.compile(
    r"\bigp\b|playstation|xbox|nintendo|wii|switch|steam deck|gpu$|tegra|jetson|nforce|embedded"
    r"|\bxgpu|grid m|drive px|custom|shield|prototype|xeon phi|arctic sound|graphics media"
    r"|rage\b|mach|imageon|\briva\b|vanta|\baladdin|grid .*\d+q\b|grid rtx|-\d+q\b|x2 mobile"
    r"|^drive|dgxs|quadro plex|quadro k\d00m|k5000 sync|pg50[036]-|grid [ak][125]\d\d[ab]?$"
)
# What a variant adds to its model's name, taken off one after the other.
_VARIANT_WORDS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b\d+(\.\d+)?\s?(mb|gb)\b",
        r"\bddr\d?\b|\bgddr\d\w?\b|\bhbm\d?\w?\b",
        r"\bpcie?( ?x\d+| 3\.0)?\b|\bpci\b|\bagp( ?\dx)?\b|\bsxm\d?\b|\bmxm\b|\boam\b",
        r"\b\d+-bit\b",
        r"\blite hash rate\b|\bopencl\b",
        r"\b(oem|lhr|mobile|laptop|max-q|refresh|low profile|mac edition|for mac|limited edition"
        r"|founders edition|engineering sample|passive|watercooled|liquid cooling|multi-view|dvi"
        r"|cfx|gddr5x)\b",
        r"\brev\.? ?[a\d](\.\d)?\b",
        r"\b(v2|v3)$",
        r"\([^)]*\)",
    )
)
_CHIP_AT_END = re.compile(r"(?<=\w) (?:gk|gm|gp|ga|ad|tu|gf)\d{3}\w?$")
_LINE_PREFIXES = ("quadro ", "geforce ", "tesla ", "nvidia ", "radeon ", "instinct ")
_SIZE_TOLERANCE = 0.13  # 1 GB against 1000 MB, 896 MB against 0.9 GB
_YEAR_TOLERANCE = 1
# Cards of two GPUs: databases give the memory of one, sellers that of the card.
_DUAL = re.compile(r"[xX]2$|HD (?:5970|6990|7990)|GX2|GTX (?:295|590|690)|TITAN Z|K10$|K80$|M60$")


_PCI_VENDORS = {"10de": "NVIDIA", "1002": "AMD", "8086": "Intel"}
_PCI_LINE = re.compile(
    r"(\t{0,2})([0-9a-f]{4}|C [0-9a-f]{2}|[0-9a-f]{2})(?: [0-9a-f]{4})?  (\S.*)", re.IGNORECASE
)
_PCI_NAMES = re.compile(r"(.*?)\[([^\[\]]*)\]")
_SEPARATOR = re.compile(r"\s+/\s+|(?<=\w)/(?=\w)")
_BRANDS = re.compile(
    r"geforce|quadro|tesla|titan (?!ridge)|nvs|grid|rtx|gtx|cmp|p10\d-|all-in-wonder|instinct"
    r"|(?:mobility )?(?:radeon|fire(?:gl|pro|mv|stream))|arc|data center gpu|iris xe max"
)
_BARE = re.compile(r"[abhltv]\d{1,4}\w?\b|g[bh]\d{3}\b")
# Names without a card's own number, graphics of chipsets and CPUs, and cards from before 2002.
_OF_NO_CARD = re.compile(
    r"graphics$|series$|xpress|engineering sample|\bfake\b|\busm\b|hd \d{4}[dg]\b|\d igp"
    r"|geforce ?(?:2|3|256)\b|geforce4 ti|geforce (?:6100|6150|7025|7050|8100|8200|9100|9400)\b"
)


class FindingKind(Enum):
    """What is wrong."""

    MISSING = "missing"
    MEMORY = "memory size"
    MEMORY_TYPE = "memory type"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference; ``registry`` is empty for a model that is missing."""

    kind: FindingKind
    vendor: str
    model: str
    registry: str
    facts: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of a facts table that is in scope.

    :param year: 0 where the table knows none.
    :param memory_gb: 0 where the table knows none.
    :param device: of a table of PCI devices: ids and chip.
    """

    name: str
    vendor: str
    year: int
    memory_gb: float
    memory_type: str
    device: str = ""

    @property
    def told(self) -> str:
        """What the table says of the card, in words."""
        return self.device or f"{self.year}, {self.memory_gb:g} GB {self.memory_type}"


def read_facts(path: Path) -> list[Fact]:
    """Read the rows that are graphics cards or modules people sell, from 2004 on.

    :raises InputError: if it is neither CSV nor pci.ids in UTF-8, a column is missing, or a year
        or size is no number.
    """
    if _is_pci_ids(path):
        return _pci_facts(path)
    facts = []
    rows = read_csv(path)
    columns = next(rows, (0, list[str]()))[1]
    missing = [name for name in FACT_COLUMNS if name not in columns]
    if missing:
        raise InputError(
            f"{path}: expected columns {', '.join(FACT_COLUMNS)}, missing {', '.join(missing)}"
        )
    for line, cells in rows:
        try:
            row = dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False))
            facts.append(_fact(row))
        except ValueError as exc:
            raise InputError(f"{path}:{line}: {exc}") from exc
    return [fact for fact in facts if fact is not None]


def check_registry(records: Sequence[GpuRecord], facts: Sequence[Fact]) -> list[Finding]:
    """Return what the facts have and the registry lacks or says otherwise, by vendor and model."""
    by_key = _by_key(records)
    missing: dict[tuple[str, str], Finding] = {}
    findings: list[Finding] = []
    for fact in facts:
        model = folded(fact.name)
        if not model:
            continue
        variants = next((by_key[key] for key in _spellings(model) if key in by_key), None)
        if variants is None:
            finding = Finding(FindingKind.MISSING, fact.vendor, fact.name, "", fact.told)
            missing.setdefault((fact.vendor, model), finding)
        else:
            findings += _contradictions(variants, fact)
    return sorted(
        [*missing.values(), *findings], key=lambda f: (f.kind.value, f.vendor, f.model, f.facts)
    )


def folded(name: str) -> str:
    """Return a variant's name in lower case without what makes it a variant."""
    name = re.sub(r"^(firegl .*)-\d+\w?$", r"\1", name.lower())
    for old, new in (
        ("radeon pro duo polaris", "radeon pro duo"),
        ("titan x pascal", "titan x"),
        (" single pcb", ""),
        (" 9gbps", ""),
        (" 11gbps", ""),
    ):
        name = name.replace(old, new)
    if name.startswith("geforce"):
        name = _CHIP_AT_END.sub("", name)
    for pattern in _VARIANT_WORDS:
        name = pattern.sub(" ", name)
    return " ".join(name.split())


def _is_pci_ids(path: Path) -> bool:
    """Say whether the first line that is no comment names a vendor by four digits."""
    try:
        with open_regular(path) as lines:
            texts = (line.decode("utf-8-sig", "replace") for line in lines)
            first = next((line for line in texts if line.strip() and line[0] != "#"), "")
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror}") from exc
    return re.match(r"[0-9a-fA-F]{4}  \S", first) is not None


def _pci_facts(path: Path) -> list[Fact]:
    """Return the cards that a table of PCI devices names; lines of subsystems name boards.

    :raises InputError: if it is no UTF-8, or a line is neither vendor, device, subsystem nor
        comment.
    """
    try:
        lines = read_regular(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        raise InputError(not_utf8_text(path)) from exc
    facts: list[Fact] = []
    vendor_id = ""
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _PCI_LINE.fullmatch(line.rstrip())
        if match is None:
            raise InputError(
                f"{path}:{number}: expected '10de  vendor', a tab and '2684  device', or two tabs "
                f"and a subsystem, got {line.strip()!r:.60}"
            )
        if not match[1]:
            vendor_id = match[2].lower()
        elif len(match[1]) == 1 and vendor_id in _PCI_VENDORS:
            facts += _pci_device(vendor_id, match[2], match[3])
    return facts


def _pci_device(vendor_id: str, device_id: str, text: str) -> Iterator[Fact]:
    """Yield a fact for each name in brackets that a card may have: ``AD102 [GeForce RTX 4090]``."""
    if re.search(r"audio|bridge", text.lower()):  # of a card, with the card's name
        return
    for match in _PCI_NAMES.finditer(text):
        device = f"{vendor_id}:{device_id} {match[1].strip()}".strip()
        for name in _pci_names(match[2]):
            low = name.lower()
            if _NOT_SOLD_ALONE.search(low) or _OF_NO_CARD.search(low):
                continue
            yield Fact(name, _PCI_VENDORS[vendor_id], 0, 0.0, "", device)


def _pci_names(text: str) -> Iterator[str]:
    """Yield the names of ``Radeon RX 6700/6700 XT / 6800M``, each with its line."""
    line = ""
    for part in filter(None, map(str.strip, _SEPARATOR.split(text))):
        if _BRANDS.match(part.lower()) or (not line and _BARE.match(part.lower())):
            line = re.split(r"(?<!\w)(?=\w*\d)", part, maxsplit=1)[0]
            yield part
        elif not re.search(r"\d", folded(part)):  # "Max-Q 8GB": a variant of the name before it
            continue
        elif line and (part[0].isdigit() or re.fullmatch(r"[A-Z]+\d+\w*", part)):
            yield line + part
        elif line:  # "HD 7850 / R7 265": another line of the brand
            yield f"{line.split()[0]} {part}"


def _fact(row: dict[str, str]) -> Fact | None:
    name, bus = row["name"], row["bus_interface"].lower()
    vendor = _VENDORS.get(row["vendor"].lower())
    year = int(row["release_date"][:4] or 0)
    memory_type = row["memory_type"]
    integrated = "shared" in memory_type.lower() or bus in ("igp", "ring bus")
    if vendor is None or year < FIRST_YEAR or integrated or _NOT_SOLD_ALONE.search(name.lower()):
        return None
    return Fact(name, vendor, year, float(row["memory_gb"] or 0), memory_type)


def _by_key(records: Sequence[GpuRecord]) -> dict[str, list[GpuRecord]]:
    """Return the variants of each model by its squashed name and aliases."""
    by_model: dict[str, list[GpuRecord]] = defaultdict(list)
    for record in records:
        by_model[record.model].append(record)
    keys: dict[str, list[GpuRecord]] = {squash(m): variants for m, variants in by_model.items()}
    for variants in by_model.values():
        for record in variants:
            for alias in record.aliases:
                keys.setdefault(squash(alias), variants)
    return keys


def _spellings(model: str) -> Iterator[str]:
    """Yield keys under which the registry may carry a name."""
    changes = (
        ("geforce gtx titan", "gtx titan"),
        ("geforce titan", "titan"),
        (" graphics", ""),
        ("titan x pascal", "titan x"),
        ("radeon instinct", "instinct"),
        ("tesla ", ""),
        ("ada generation", "ada"),
        ("quadro ", ""),
        ("quadro nvs", "nvs"),
        ("nvs", "quadro nvs"),
    )
    yield squash(model)
    for old, new in changes:
        if old in model:
            yield squash(model.replace(old, new))
    for prefix in _LINE_PREFIXES:
        yield squash(prefix + model)
    yield squash(f"{model} blackwell")
    yield squash(f"{model} multi-view")


def _contradictions(variants: Sequence[GpuRecord], fact: Fact) -> Iterator[Finding]:
    model, vendor = variants[0].model, fact.vendor
    told = ", ".join(dict.fromkeys(f"{v.memory_gb:g} GB {v.memory_type}" for v in variants))
    said = f"{fact.name}: {fact.memory_gb:g} GB {fact.memory_type}"
    if fact.memory_gb > 0:
        sizes = [v.memory_gb for v in variants]
        claims = [fact.memory_gb, 2 * fact.memory_gb] if _DUAL.search(model) else [fact.memory_gb]
        if not any(abs(s - c) < _SIZE_TOLERANCE * max(s, c) for s in sizes for c in claims):
            yield Finding(FindingKind.MEMORY, vendor, model, told, said)
        elif _kind_of(fact.memory_type) not in {_kind_of(v.memory_type) for v in variants}:
            yield Finding(FindingKind.MEMORY_TYPE, vendor, model, told, said)
    years = sorted({v.release_year for v in variants})
    if fact.year and all(abs(year - fact.year) > _YEAR_TOLERANCE for year in years):
        told = ", ".join(map(str, years))
        yield Finding(FindingKind.YEAR, vendor, model, told, f"{fact.name}: {fact.year}")


def _kind_of(memory_type: str) -> str:
    """Return a memory type without the G of GDDR and the X of LPDDR4X, which sources mix up."""
    return memory_type.lower().replace("lpddr4x", "lpddr4").replace("g", "")
