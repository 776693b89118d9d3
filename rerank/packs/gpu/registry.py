"""The registry: load canonical GPUs from YAML, CSV or parquet, reporting every fault at once.

A YAML file names its chip vendor once and lists models by family, one line each::

    vendor: NVIDIA
    families:
      - generation: GeForce 40
        line: GeForce
        models:
          - {name: GeForce RTX 4060 Ti, chip: AD106, year: 2023, variants: [8GB GDDR6, 16GB GDDR6]}

A name may carry what catalogues write into it, "NVIDIA GeForce RTX 3060 12GB" or "A100 PCIe 80GB":
vendor, memory and form are taken off and held against the fields that say them.

A variant reads ``<size>(MB|GB) <memory type> [form factor] [rare]``; without a form it is a PCIe
card. The variant sold most widely stands first. A family with ``sold_apart: false`` holds graphics
that are known but never sold as a card, and have no variants; one with ``held: true`` those that a
person decides on. A table (CSV, parquet) has one variant a row with the columns of `TABLE_COLUMNS`;
others are passed over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from rerank.index.errors import NO_FILE, FaultsError, InputError
from rerank.index.records import (
    DEFAULT_FORM_FACTOR,
    FORM_FACTORS,
    MOST_MEMORY_GB,
    RECORD_FLAGS,
    RECORD_LISTS,
    GpuRecord,
)
from rerank.index.rows import FastSafeLoader, listed, read_csv, read_parquet, read_yaml_text
from rerank.index.text import squash
from rerank.packs.gpu.naming import catalogue_name

_YAML = (".yaml", ".yml")


def load_registry(source: Path) -> list[GpuRecord]:
    """Load a registry from a file or from a folder of YAML files, ordered by ``gpu_id``'s source.

    :param source: a ``.yaml``/``.yml``, ``.csv`` or ``.parquet`` file, or a folder of YAML files.
    :raises InputError: if there is nothing to read at ``source``.
    :raises FaultsError: with every unknown key, missing or wrong field, duplicate id, and name or
        alias of two models.
    """
    reading = RegistryReading()
    for path in _registry_files(source):
        read = read_yaml if path.suffix in _YAML else read_table
        read(path, reading)
    reading.faults += _collisions(reading)
    if reading.faults:
        raise FaultsError(f"registry {source}", reading.faults)
    if not reading.records:
        raise InputError(f"registry {source}: expected at least one GPU, found none")
    return reading.records


def _registry_files(source: Path) -> list[Path]:
    if source.is_dir():
        files = sorted([*source.glob("*.yaml"), *source.glob("*.yml")])
        if not files:
            raise InputError(f"registry {source}: expected .yaml files in this folder, found none")
        return files
    if not source.is_file():
        found = NO_FILE if source.exists() else "no such file or folder"
        raise InputError(f"registry {source}: {found}")
    if source.suffix not in (*_YAML, ".csv", ".parquet"):
        raise InputError(
            f"registry {source}: expected .yaml, .csv or .parquet, got {source.suffix!r}"
        )
    return [source]


def _collisions(reading: RegistryReading) -> list[str]:
    """Find ids that stand twice, and names of two models.

    Models may not differ in spaces, signs or case only (4090D and 4090 D), and an alias or part
    number may not equal another model's name, alias or part number.
    """
    ids: dict[str, str] = {}
    owner: dict[str, tuple[str, str]] = {}
    faults: list[str] = []
    spelled: dict[str, str] = {}  # a fault a model, not a variant
    placed = list(zip(reading.records, reading.places, strict=True))
    for record, place in placed:
        gpu_id, model = record.gpu_id, record.model
        if gpu_id in ids:
            faults.append(f"{place}: gpu_id {gpu_id!r} stands already at {ids[gpu_id]}")
        ids.setdefault(gpu_id, place)
        first, where = owner.setdefault(squash(model), (model, place))
        if first != model:
            spelled.setdefault(model, f"{place}: model {model!r} is spelled as {first!r} ({where})")
    faults += spelled.values()
    for record, place in placed:
        for alias in filter(squash, (*record.aliases, *record.part_numbers)):
            model, where = owner.setdefault(squash(alias), (record.model, place))
            fault = f"{place}: alias {alias!r} of {record.model} belongs to {model} ({where})"
            if model != record.model and fault not in faults:
                faults.append(fault)
    return faults


VENDORS = ("NVIDIA", "AMD", "Intel", "Matrox")
_YEARS = range(1990, 2101)
_LEAST_MEMORY_GB = 0.001
_VENDOR_WORDS = {
    "NVIDIA": {"nvidia"},
    "AMD": {"amd", "ati", "advanced", "micro", "devices"},
    "Intel": {"intel"},
    "Matrox": {"matrox"},
}
_COMPANY_WORDS = set("co corp corporation electronic graphics inc ltd systems technologies".split())
_FORM_NAMES = {
    **{form.lower(): form for form in FORM_FACTORS},
    **dict.fromkeys(("laptop", "notebook"), "mobile"),
    **dict.fromkeys(("pci-e", "pci express"), "PCIe"),
}
_SIZE = re.compile(r"(\d+(?:[.,]\d+)?)\s*([gm])(?:i?b)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"\d{1,3},\d{3}")
_TRUTHS = {
    **dict.fromkeys(("true", "yes", "1", "1.0"), True),
    **dict.fromkeys(("false", "no", "0", "0.0"), False),
}
_MONTHS = (
    "jan|feb|fév|mar|mär|mrz|apr|avr|abr|may|mai|mag|jun|juin|giu|jul|juil|lug|aug|août|ago|sep|set"
    "|oct|okt|ott|nov|dec|dez|déc|dic|ene|gen"
)
# What spreadsheets make of codes (4.71E+12, 10-May, 2026-05-10), and what they say of errors.
_DAMAGED = re.compile(
    r"\d(?:[.,]\d+)?e[-+]\d+"
    rf"|\d{{1,2}}[-. ]{{1,2}}(?:{_MONTHS})[a-z]*\.?|(?:{_MONTHS})[a-z]*\.?[- ]\d{{2,4}}"
    r"|\d{4}-\d\d-\d\d(?:[ t]\d\d:\d\d:\d\d)?|\d{1,2}([./])\d{1,2}\1\d{2,4}"
    r"|#(?:n/a|ref!|name\?|value!|div/0!|num!|null!|#+)",
    re.IGNORECASE,
)
_MISSPELLED = (
    0.8  # "part_number" for "part_numbers" is .96, "alias" .83, "memory" for "memory_gb" .8
)
_EXACT_BELOW = 2**53  # whole numbers beyond it have lost digits as floats


@dataclass(slots=True)
class RegistryReading:
    """Records read so far, where each came from, and what was wrong on the way.

    Records with a fault are kept where they can be made, so that one fault hides no other:
    nobody gets them, for faults end the loading.
    """

    records: list[GpuRecord] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, record: GpuRecord, place: str) -> None:
        """Add a record that was read at a place, such as ``file.yaml:3``."""
        self.records.append(record)
        self.places.append(place)

    def blame(self, place: str, faults: Sequence[str]) -> None:
        """Add faults found at a place."""
        self.faults += [f"{place}: {fault}" for fault in faults]


def gpu_slug(model: str, *, memory_gb: float, memory_type: str, form_factor: str) -> str:
    """Return the stable id of a variant, such as ``geforce-rtx-4060-ti-16gb-gddr6``."""
    size = f"{memory_gb:g}gb" if memory_gb >= 1 else f"{round(memory_gb * 1024)}mb"
    if not memory_gb:
        size = ""
    name = model.replace("+", " plus ")
    text = f"{name} {size} {memory_type}"
    if form_factor != DEFAULT_FORM_FACTOR:
        text += f" {form_factor}"
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def texts(value: Any) -> tuple[str, ...]:
    """Read a list given as one value, a list, or ';'-separated text."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(";") if part.strip())
    if isinstance(value, (list, tuple)):
        return tuple(_text(part) for part in value if part is not None)
    return (_text(value),)


_RULES: dict[str, tuple[Callable[[Any], object], str]] = {
    "memory_gb": (
        lambda gb: _LEAST_MEMORY_GB <= gb <= MOST_MEMORY_GB,
        f"be {_LEAST_MEMORY_GB:g}-{MOST_MEMORY_GB} GB (or with a unit, as '512 MB')",
    ),
    "release_year": (
        lambda year: type(year) is int and year in _YEARS,  # not True
        f"be {_YEARS[0]}-{_YEARS[-1]}",
    ),
    "vendor": (lambda vendor: vendor in VENDORS, f"be one of {', '.join(VENDORS)}"),
    "model": (squash, "hold letters or digits"),
    "form_factor": (lambda form: form in FORM_FACTORS, f"be one of {', '.join(FORM_FACTORS)}"),
    "alias": (squash, "hold letters or digits"),
}


_CODES = ("gpu_id", "model", "aliases", "part_numbers")


def faults_of(fields: Mapping[str, Any], **called: str) -> list[str]:
    """Return what is wrong with fields of a record, those that are there.

    :param called: what the source calls a field, where not by its name.
    """
    aliases = [*fields.get("aliases", ()), *fields.get("part_numbers", ())]
    values = {name: [fields[name]] for name in _RULES if name in fields} | {
        "alias": [alias for alias in aliases if not _DAMAGED.fullmatch(alias.strip())]
    }
    if fields.get("sold_apart") is False:
        values.pop("memory_gb", None)  # it has none of its own
    return _damaged(fields, called) + [
        f"{called.get(name, name)} must {words}, got {value!r}"
        for name, (sound, words) in _RULES.items()
        for value in values.get(name, ())
        if not sound(value)
    ]


def _damaged(fields: Mapping[str, Any], called: Mapping[str, str]) -> list[str]:
    """Name the codes that a spreadsheet has made into numbers, dates or errors."""
    return [
        f"{called.get(name, name)} holds {code!r}, a code that a spreadsheet took for a number or "
        "a date: format the column as text, write the code again and export it"
        for name in _CODES
        for code in (
            [fields[name]] if name in _CODES[:2] and name in fields else fields.get(name, ())
        )
        if _DAMAGED.fullmatch(code.strip())
    ]


def _take_from_name(fields: dict[str, Any]) -> list[str]:
    """Put what a catalogue wrote into a model's name where it belongs; return contradictions.

    :param fields: of a record; those that say nothing are lacking.
    """
    name = fields.get("model", "")
    said = catalogue_name(name)
    if said.model == name:
        return []
    fields["model"] = said.model
    faults = []
    for field_name, own, agrees in (
        ("memory_gb", said.sizes, _same_size),
        ("memory_type", (said.memory_type,), _same_type),
        ("form_factor", (said.form,), _same_form),
    ):
        stated: list[Any] = [value for value in own if value]
        if not stated:
            continue
        given = fields.get(field_name)
        if given in (None, ""):
            fields |= {field_name: stated[0]} if len(stated) == 1 else {}
        elif not any(agrees(given, value) for value in stated):
            told = " and ".join(_text(value) for value in stated)
            faults.append(f"{field_name} {given!r} contradicts model {name!r}, which says {told}")
    return faults


def _same_size(given: float, said: float) -> bool:
    return abs(given - said) <= 0.03 * max(given, said)  # 1.28 GB and 1280 MB are one


def _same_type(given: str, said: str) -> bool:
    """Say whether memory types are one: DDR3 and GDDR3, HBM and HBM2e, GDDR6 and not GDDR6X."""
    pair = [text.lower().split()[0].removeprefix("lp").removeprefix("g") for text in (given, said)]
    return pair[0] == pair[1] or (pair[0].startswith("hbm") and pair[1].startswith("hbm"))


_FORMS_WITHIN = {
    "PCIe": ("server", "workstation", "NVL", "Max-Q"),
    "mobile": ("Max-Q", "MXM"),
    "MXM": ("mobile",),
    "SXM": ("SXM2", "SXM3", "SXM4", "SXM5", "SXM6"),
}


def _same_form(given: str, said: str) -> bool:
    return given == said or given in _FORMS_WITHIN.get(said, ())


def _record(fields: dict[str, Any]) -> GpuRecord:
    """Return the record of fields without faults; gpu_id may be lacking."""
    slug = {name: fields[name] for name in ("memory_gb", "memory_type", "form_factor")}
    return GpuRecord(
        **{**fields, "gpu_id": fields.get("gpu_id") or gpu_slug(fields["model"], **slug)}
    )


REQUIRED_COLUMNS = ("model", "vendor", "memory_gb", "memory_type")
TABLE_COLUMNS = (
    *REQUIRED_COLUMNS,
    "gpu_id",
    "line",
    "generation",
    "form_factor",
    "release_year",
    "codenames",
    "aliases",
    "part_numbers",
    *RECORD_FLAGS,
)


def _size(value: Any) -> float:
    """Return a size in GB: 12, "12", "12GB", "12288 MB"."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        return float(value)
    digits = match[1]
    in_mb = match[2].lower() == "m"
    digits = digits.replace(",", "" if in_mb and _THOUSANDS.fullmatch(digits) else ".")
    return float(digits) / (1024 if in_mb else 1)


def _year(value: Any) -> float | int:
    year = float(value)
    return int(year) if year.is_integer() else year  # pandas makes 2020.0 where one is missing


def _truth(value: Any) -> bool:
    return _TRUTHS[str(value).strip().lower()]


_READERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "memory_gb": (_size, "a number of GB"),
    "release_year": (_year, "a number"),
    **dict.fromkeys(RECORD_FLAGS, (_truth, "true or false")),
}

Row = dict[str, Any]


def read_table(path: Path, reading: RegistryReading) -> None:
    """Add the records of a file, and every fault in it, to a reading.

    :raises InputError: if it is no CSV in UTF-8 and no parquet file.
    """
    placed: Iterable[tuple[str, Sequence[Any]]]
    if path.suffix == ".csv":
        lines = read_csv(path)
        _, columns = next(lines, (0, []))
        placed = ((f"{path}:{line}", cells) for line, cells in lines)
    else:
        columns, table = read_parquet(path)
        rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
        placed = ((f"{path}: row {number}", cells) for number, cells in enumerate(rows, 1))
    columns = [_column(name) for name in columns]
    if not columns or not _check_columns(columns, path, reading):
        return
    for place, cells in placed:
        if len(cells) > len(columns):
            stray = f"{cells[len(columns)]!r:.40} is in no column"
            reading.blame(place, [f"{len(cells)} cells, expected {len(columns)}: {stray}"])
        _read_row(dict(zip(columns, map(_cell, cells), strict=False)), place, reading)


def _column(name: str) -> str:
    """Return the name of a column that a header means, "Memory GB" too, or what it says."""
    meant = name.strip().lower().replace(" ", "_")
    return meant if meant in TABLE_COLUMNS else name


def _check_columns(columns: list[str], path: Path, reading: RegistryReading) -> bool:
    """Report columns that are missing, misspelled or there twice; return whether rows can be read.

    Others pass: catalogues have prices, pictures, stock.
    """
    lacking = [name for name in TABLE_COLUMNS if name not in columns]
    absent = [name for name in REQUIRED_COLUMNS if name in lacking]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    faults = [
        f"column {name!r}: did you mean {close[0]!r}? Call it so, or otherwise"
        for name in columns
        if name not in TABLE_COLUMNS and (close := get_close_matches(name, lacking, 1, _MISSPELLED))
    ]
    if absent:
        how = "" if len(columns) > 1 else "; is the file separated by commas?"
        faults.append(f"columns missing: {', '.join(absent)}; found: {listed(columns)}{how}")
    if twice:
        faults.append(f"columns there twice: {listed(twice)}")
    reading.blame(f"{path}", faults)
    return not absent


def _read_row(row: Row, place: str, reading: RegistryReading) -> None:
    given = {name: value for name, value in row.items() if value is not None}
    fields, faults = _read_cells(given)
    faults += _take_from_name(fields)
    missing = [name for name in REQUIRED_COLUMNS if name not in given and name not in fields]
    if missing:
        faults.insert(0, f"missing {', '.join(missing)}")
    fields.setdefault("form_factor", DEFAULT_FORM_FACTOR)
    if not fields.get("release_year", 1):
        del fields["release_year"]  # 0 says that it is not known
    faults += faults_of(fields)
    reading.blame(place, faults)
    made = {"vendor": "", "line": "", "generation": "", "release_year": 0, **fields}
    needed = [name for name in ("model", "memory_gb", "memory_type") if name in made]
    sound = {name: made[name] for name in (*needed, "sold_apart") if name in made}
    if len(needed) == 3 and not faults_of(sound):
        reading.add(_record(made), place)


def _read_cells(given: Row) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a row's cells, none for a cell that cannot be read, and the faults."""
    fields: dict[str, Any] = {name: texts(given.get(name)) for name in RECORD_LISTS}
    faults = []
    for name in TABLE_COLUMNS:
        if name not in given or name in RECORD_LISTS:
            continue
        read, words = _READERS.get(name, (_text, "text"))
        try:
            fields[name] = read(given[name])
        except (KeyError, TypeError, ValueError, OverflowError):
            faults.append(f"{name} must be {words}, got {given[name]!r:.40}")
    if "vendor" in fields:
        fields["vendor"] = _vendor(fields["vendor"])
    if "form_factor" in fields:
        form = fields["form_factor"]
        fields["form_factor"] = _FORM_NAMES.get(form.strip().lower(), form)
    return fields, faults


def _vendor(name: str) -> str:
    """Return the chip vendor that a name means, ATI and "Nvidia Corporation" too, or the name."""
    words = {*re.findall(r"[a-z]+", name.lower())} - _COMPANY_WORDS
    return next((vendor for vendor, own in _VENDOR_WORDS.items() if words and words <= own), name)


def _cell(value: Any) -> Any:
    """Return None for an empty cell, be it empty text or pandas' NaN."""
    return None if value == "" or (isinstance(value, float) and math.isnan(value)) else value


def _text(value: Any) -> str:
    """Return a cell as text: 17 for 17.0, nothing for an empty one."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_BELOW:
        value = int(value)
    return "" if value is None else str(value)


_VARIANT = re.compile(r"(\d+(?:\.\d+)?)\s?(MB|GB) ([A-Za-z0-9]+)(?: (?!rare$)(\S+))?( rare)?")
_MODEL_KEYS = {"name", "chip", "year", "variants", "aliases", "part_numbers"}
_FAMILY_FLAGS = ("sold_apart", "held")
_FAMILY_KEYS = {"generation", "line", *_FAMILY_FLAGS, "models"}
_INTEGRATED = (0.0, "shared", "integrated", False)  # the one variant of what is not sold apart
_FILE_KEYS = {"vendor", "families"}
_LINE = "__line__"


class _LineLoader(FastSafeLoader):
    """A safe loader whose mappings know the line they start on, and that notes repeated keys."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[tuple[int, str]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            for at, name in enumerate(names):
                if name in names[:at]:
                    self.repeated.append((node.start_mark.line + 1, name))
        mapping = super().construct_mapping(node, deep=deep)
        return {**mapping, _LINE: node.start_mark.line + 1}


def read_yaml(path: Path, reading: RegistryReading) -> None:
    """Add the records of a file, and every fault in it, to a reading."""
    try:
        loader = _LineLoader(read_yaml_text(path))
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as exc:  # a date such as 2020-99-99 too
        line, fault = _fault_of(exc)
        place = f"{path}" if line is None else f"{path}:{line}"
        reading.blame(place, [f"not readable as YAML: {fault}"])
        return
    for line, key in loader.repeated:
        reading.blame(f"{path}:{line}", [f"key {key!r} stands there twice"])
    if not isinstance(content, dict) or not isinstance(content.get("families"), list):
        reading.blame(f"{path}", ["expected the keys 'vendor' and 'families' (a list)"])
        return
    _check_keys(content, _FILE_KEYS, f"{path}", reading)
    vendor = _vendor(str(content.get("vendor")))
    reading.blame(f"{path}", faults_of({"vendor": vendor}))
    for family in content["families"]:
        _read_family(family, vendor, path, reading)


def _fault_of(exc: yaml.YAMLError | ValueError) -> tuple[int | None, str]:
    """Return the line that cannot be read, if it is known, and what is wrong, in one line."""
    if isinstance(exc, yaml.reader.ReaderError):
        return None, f"{exc.reason} (#x{exc.character:04x} at position {exc.position})"
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark is not None:
        said = ", ".join(text for text in (exc.context, exc.problem) if text)
        return exc.problem_mark.line + 1, said
    return None, " ".join(str(exc).split())


def _read_family(family: Any, vendor: str, path: Path, reading: RegistryReading) -> None:
    if not isinstance(family, dict) or not isinstance(family.get("models"), list):
        place = f"{path}:{family[_LINE]}" if isinstance(family, dict) else f"{path}"
        reading.blame(place, [f"each family needs a list 'models', got {_shown(family)}"])
        return
    place = f"{path}:{family[_LINE]}"
    _check_keys(family, _FAMILY_KEYS, place, reading, required=("generation", "line"))
    for flag in _FAMILY_FLAGS:
        if type(family.get(flag, True)) is not bool:
            reading.blame(place, [f"{flag} must be true or false, got {_shown(family[flag])}"])
    for model in family["models"]:
        if isinstance(model, dict):
            _read_model(model, family, vendor, f"{path}:{model[_LINE]}", reading)
        else:
            reading.blame(place, [f"a model must be a mapping, got {model!r}"])


def _read_model(
    model: dict[str, Any], family: dict[str, Any], vendor: str, place: str, reading: RegistryReading
) -> None:
    apart = family.get("sold_apart", True)
    needed = ("name", "year", "variants") if apart else ("name", "year")
    allowed = _MODEL_KEYS if apart else _MODEL_KEYS - {"variants"}
    _check_keys(model, allowed, place, reading, required=needed)
    name, year, variants = model.get("name"), model.get("year"), model.get("variants")
    fields = {
        "aliases": texts(model.get("aliases")),
        "part_numbers": texts(model.get("part_numbers")),
        **({} if year is None else {"release_year": year}),
        **({"model": name} if isinstance(name, str) and name else {}),
    }
    faults = faults_of(fields, release_year="year", model="name")
    if name not in (None, "") and not isinstance(name, str):
        faults.append(f"name must be text, got {_shown(name)}")
    if apart and variants not in (None, "") and not (isinstance(variants, list) and variants):
        faults.append("'variants' must be a list with at least one entry")
    reading.blame(place, faults)
    memories = [_INTEGRATED]
    if apart:
        memories = _read_variants(variants if isinstance(variants, list) else [], place, reading)
    if not squash(str(fields.get("model", ""))):
        return
    for memory_gb, memory_type, form, rare in memories:
        made = {
            "release_year": 0,
            **fields,
            "vendor": vendor,
            "line": str(family.get("line", "")),
            "generation": str(family.get("generation", "")),
            "memory_gb": memory_gb,
            "memory_type": memory_type,
            **({"form_factor": form} if form else {}),
            "codenames": texts(model.get("chip")),
            "rare": rare,
            "sold_apart": apart,
            "held": family.get("held", False),
        }
        reading.blame(place, _take_from_name(made))
        reading.add(_record({"form_factor": DEFAULT_FORM_FACTOR, **made}), place)


def _read_variants(
    variants: Sequence[Any], place: str, reading: RegistryReading
) -> list[tuple[float, str, str, bool]]:
    """Return (memory in GB, memory type, form factor, rare) of each variant that can be read.

    The form factor is empty where the variant says none.
    """
    read = []
    for variant in variants:
        match = _VARIANT.fullmatch(str(variant))
        form = match[4] or "" if match else ""
        if not match or (form and form not in FORM_FACTORS):
            reading.blame(
                place,
                [
                    "variant must read '<size>(MB|GB) <type> [form factor] [rare]' with a form of "
                    f"{', '.join(FORM_FACTORS)}; got {_shown(variant)}"
                ],
            )
            continue
        memory_gb = float(match[1]) / (1024 if match[2] == "MB" else 1)
        faults = faults_of({"memory_gb": memory_gb})
        reading.blame(place, [f"variant {variant!r}: {fault}" for fault in faults])
        if not faults:
            read.append((memory_gb, match[3], form, match[5] is not None))
    return read


def _check_keys(
    mapping: dict[str, Any],
    allowed: set[str],
    place: str,
    reading: RegistryReading,
    *,
    required: Sequence[str] = (),
) -> None:
    unknown = sorted(str(key) for key in mapping if key != _LINE and key not in allowed)
    missing = sorted(key for key in required if mapping.get(key) in (None, ""))
    if unknown:
        names = ", ".join(sorted(allowed))
        reading.blame(place, [f"unknown keys {listed(unknown)}; allowed: {names}"])
    if missing:
        reading.blame(place, [f"missing {', '.join(missing)}"])


def _shown(value: Any) -> str:
    """Return the start of a value as the file's author knows it, without our line numbers."""
    if isinstance(value, dict):
        value = {key: inner for key, inner in value.items() if key != _LINE}
    return f"{value!r:.80}"
