"""The store's tables: the named steps that make them, and what each column means.

Steps lead from an empty file to today's schema; one that was released never changes. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Migration:
    """One step; names sort in the order of the steps."""

    name: str
    statements: tuple[str, ...]


_REGISTRY = Migration(
    "0001_registry",
    (
        """CREATE TABLE registry_snapshots (
        registry_version VARCHAR PRIMARY KEY, taken_at TIMESTAMP NOT NULL,
        gpus INTEGER NOT NULL)""",
        """CREATE TABLE registry_gpus (
        registry_version VARCHAR NOT NULL, gpu_id VARCHAR NOT NULL, model VARCHAR NOT NULL,
        vendor VARCHAR NOT NULL, line VARCHAR NOT NULL, generation VARCHAR NOT NULL,
        memory_gb DOUBLE NOT NULL, memory_type VARCHAR NOT NULL, form_factor VARCHAR NOT NULL,
        release_year INTEGER NOT NULL, codenames VARCHAR[] NOT NULL, aliases VARCHAR[] NOT NULL,
        part_numbers VARCHAR[] NOT NULL, PRIMARY KEY (registry_version, gpu_id))""",
    ),
)

_ANNOTATIONS = Migration(
    "0002_annotations",
    (
        """CREATE TABLE listings (
        listing_id VARCHAR PRIMARY KEY, title VARCHAR NOT NULL, vendor VARCHAR NOT NULL,
        description VARCHAR NOT NULL, price DOUBLE, shop VARCHAR NOT NULL,
        language VARCHAR NOT NULL, added_at TIMESTAMP NOT NULL)""",
        """CREATE TABLE annotations (
        listing_id VARCHAR NOT NULL, annotator VARCHAR NOT NULL,
        verdict VARCHAR NOT NULL
            CHECK (verdict IN ('match', 'none_of_these', 'not_gpu', 'unsure')),
        gpu_id VARCHAR, model VARCHAR, shown VARCHAR[] NOT NULL, model_version VARCHAR NOT NULL,
        note VARCHAR NOT NULL, annotated_at TIMESTAMP NOT NULL,
        PRIMARY KEY (listing_id, annotator), CHECK ((verdict = 'match') = (model IS NOT NULL)),
        CHECK (gpu_id IS NULL OR model IS NOT NULL))""",
    ),
)

_PREFERENCES = Migration(
    "0003_preferences",
    (
        """CREATE TABLE preference_items (
        item_id VARCHAR PRIMARY KEY, item_type VARCHAR NOT NULL, item_reference_id VARCHAR NOT NULL,
        embedding FLOAT[], embedding_id VARCHAR, metrics MAP(VARCHAR, DOUBLE) NOT NULL,
        created_at TIMESTAMP NOT NULL)""",
        """CREATE TABLE preference_pairs (
        pair_id VARCHAR PRIMARY KEY, item_a VARCHAR NOT NULL, item_b VARCHAR NOT NULL,
        label TINYINT NOT NULL CHECK (label IN (-1, 0, 1)), reason_tags VARCHAR[] NOT NULL,
        similarity DOUBLE,
        source VARCHAR NOT NULL
            CHECK (source IN ('manual', 'user_choice', 'before_after', 'bootstrap', 'annotation')),
        annotator VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, CHECK (item_a <> item_b))""",
    ),
)

_EVALUATION = Migration(
    "0004_evaluation",
    (
        """CREATE TABLE evaluation_runs (
        run_id VARCHAR PRIMARY KEY,
        command VARCHAR NOT NULL CHECK (command IN ('evaluate', 'ablate')),
        started_at TIMESTAMP NOT NULL, model_version VARCHAR NOT NULL,
        index_version VARCHAR NOT NULL, registry_version VARCHAR NOT NULL, seed INTEGER NOT NULL,
        samples INTEGER NOT NULL, machine VARCHAR NOT NULL, latency_p50_ms DOUBLE,
        latency_p99_ms DOUBLE, latency_listings INTEGER NOT NULL)""",
        """CREATE TABLE evaluation_listings (
        run_id VARCHAR NOT NULL, set_name VARCHAR NOT NULL, listing_id VARCHAR NOT NULL,
        title VARCHAR NOT NULL, vendor VARCHAR NOT NULL, kind VARCHAR NOT NULL,
        gold_models VARCHAR[] NOT NULL, gold_model VARCHAR, gold_memory_gb DOUBLE,
        gold_form VARCHAR NOT NULL, listing_group VARCHAR NOT NULL, shop VARCHAR NOT NULL,
        language VARCHAR NOT NULL, unseen BOOLEAN NOT NULL,
        PRIMARY KEY (run_id, set_name, listing_id))""",
        """CREATE TABLE predictions (
        run_id VARCHAR NOT NULL, set_name VARCHAR NOT NULL, listing_id VARCHAR NOT NULL,
        gpu_id VARCHAR, model VARCHAR, memory_gb DOUBLE, form_factor VARCHAR,
        match_probability DOUBLE NOT NULL, margin DOUBLE NOT NULL, decision VARCHAR NOT NULL,
        reason VARCHAR NOT NULL,
        candidates STRUCT(gpu_id VARCHAR, model VARCHAR, memory_gb DOUBLE, form_factor VARCHAR,
            similarity DOUBLE, score DOUBLE, probability DOUBLE)[] NOT NULL,
        candidate_set VARCHAR[] NOT NULL, model_version VARCHAR NOT NULL,
        index_version VARCHAR NOT NULL, PRIMARY KEY (run_id, set_name, listing_id))""",
        """CREATE TABLE evaluation_outcomes (
        run_id VARCHAR NOT NULL, set_name VARCHAR NOT NULL, system VARCHAR NOT NULL,
        listing_id VARCHAR NOT NULL, rank INTEGER, grades TINYINT[] NOT NULL,
        probability DOUBLE, accepted BOOLEAN, memory_agrees BOOLEAN, lost_to VARCHAR,
        cause VARCHAR, set_covers BOOLEAN, set_size INTEGER,
        PRIMARY KEY (run_id, set_name, system, listing_id))""",
        """CREATE TABLE evaluation_figures (
        run_id VARCHAR NOT NULL, set_name VARCHAR NOT NULL, system VARCHAR NOT NULL,
        slice VARCHAR NOT NULL, slice_value VARCHAR NOT NULL, metric VARCHAR NOT NULL,
        value DOUBLE, low DOUBLE, high DOUBLE, n INTEGER NOT NULL,
        PRIMARY KEY (run_id, set_name, system, slice, slice_value, metric))""",
        """CREATE TABLE evaluation_comparisons (
        run_id VARCHAR NOT NULL, set_name VARCHAR NOT NULL, metric VARCHAR NOT NULL,
        system VARCHAR NOT NULL, baseline VARCHAR NOT NULL, difference DOUBLE, low DOUBLE,
        high DOUBLE, p_value DOUBLE, p_adjusted DOUBLE, n INTEGER NOT NULL,
        PRIMARY KEY (run_id, set_name, metric, system, baseline))""",
    ),
)

_LIFECYCLE = Migration(
    "0005_lifecycle",
    (
        """CREATE TABLE model_versions (
        kind VARCHAR NOT NULL, version VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL,
        created_by VARCHAR NOT NULL, code_version VARCHAR, parent VARCHAR,
        parameters VARCHAR NOT NULL, data VARCHAR NOT NULL, feature_schema VARCHAR NOT NULL,
        metrics VARCHAR NOT NULL, files VARCHAR NOT NULL, PRIMARY KEY (kind, version))""",
        """CREATE TABLE model_transitions (
        transition_id VARCHAR PRIMARY KEY, generation BIGINT NOT NULL, action VARCHAR NOT NULL,
        alias VARCHAR NOT NULL, from_kind VARCHAR, from_version VARCHAR, to_kind VARCHAR,
        to_version VARCHAR, who VARCHAR NOT NULL, changed_at TIMESTAMP NOT NULL,
        why VARCHAR NOT NULL, forced BOOLEAN NOT NULL, gates VARCHAR NOT NULL,
        metrics VARCHAR NOT NULL)""",
        """CREATE TABLE traffic_decisions (
        experiment VARCHAR NOT NULL, window_number INTEGER NOT NULL, listing_id VARCHAR NOT NULL,
        arm VARCHAR NOT NULL CHECK (arm IN ('champion', 'challenger')),
        served_version VARCHAR NOT NULL, model_version VARCHAR NOT NULL, gpu_id VARCHAR,
        model VARCHAR, match_probability DOUBLE, decision VARCHAR, latency_ms DOUBLE,
        logged_at TIMESTAMP NOT NULL)""",
        """CREATE TABLE canary_windows (
        experiment VARCHAR NOT NULL, window_number INTEGER NOT NULL, step INTEGER NOT NULL,
        share DOUBLE NOT NULL, listings INTEGER NOT NULL, guardrails VARCHAR NOT NULL,
        breached BOOLEAN NOT NULL, outcome VARCHAR NOT NULL, closed_at TIMESTAMP NOT NULL,
        PRIMARY KEY (experiment, window_number))""",
    ),
)

# Until then no match had the model of its best guess.
_OPEN_VARIANTS = Migration(
    "0006_open_variants",
    (
        """CREATE TABLE answers (
        run_id VARCHAR NOT NULL, set_name VARCHAR NOT NULL, listing_id VARCHAR NOT NULL,
        gpu_id VARCHAR, model VARCHAR, memory_gb DOUBLE, form_factor VARCHAR, best_guess VARCHAR,
        match_probability DOUBLE NOT NULL, memory_stated BOOLEAN, variant_probability DOUBLE,
        margin DOUBLE NOT NULL, decision VARCHAR NOT NULL, reason VARCHAR NOT NULL,
        candidates STRUCT(gpu_id VARCHAR, model VARCHAR, memory_gb DOUBLE, form_factor VARCHAR,
            similarity DOUBLE, score DOUBLE, probability DOUBLE,
            variant_probability DOUBLE)[] NOT NULL,
        candidate_set VARCHAR[] NOT NULL, model_version VARCHAR NOT NULL,
        index_version VARCHAR NOT NULL, PRIMARY KEY (run_id, set_name, listing_id))""",
        """INSERT INTO answers BY NAME SELECT * REPLACE (
            CASE WHEN decision <> 'no_match' THEN model END AS model,
            CASE WHEN decision <> 'no_match' THEN memory_gb END AS memory_gb,
            CASE WHEN decision <> 'no_match' THEN form_factor END AS form_factor,
            [struct_insert(each, variant_probability := NULL::DOUBLE)
                for each in candidates] AS candidates),
        model AS best_guess FROM predictions""",
        "DROP TABLE predictions",
        "ALTER TABLE answers RENAME TO predictions",
        "ALTER TABLE traffic_decisions ADD COLUMN IF NOT EXISTS best_guess VARCHAR",
        """UPDATE traffic_decisions SET best_guess = model,
        model = CASE WHEN decision <> 'no_match' THEN model END""",
    ),
)

_REGISTRY_FLAGS = Migration(
    "0007_registry_flags",
    (
        "ALTER TABLE registry_gpus ADD COLUMN IF NOT EXISTS rare BOOLEAN DEFAULT false",
        "ALTER TABLE registry_gpus ADD COLUMN IF NOT EXISTS sold_apart BOOLEAN DEFAULT true",
    ),
)

_HELD = Migration(
    "0008_registry_held",
    ("ALTER TABLE registry_gpus ADD COLUMN IF NOT EXISTS held BOOLEAN DEFAULT false",),
)

_VERDICTS = Migration(
    "0009_verdicts",
    (
        """CREATE TABLE verdicts (
        verdict_id VARCHAR PRIMARY KEY, title VARCHAR NOT NULL, vendor VARCHAR NOT NULL,
        description VARCHAR,
        verdict VARCHAR NOT NULL CHECK (verdict IN
            ('match', 'none_of_these', 'not_gpu', 'not_this', 'withdrawn')),
        gpu_id VARCHAR, model VARCHAR, said_by VARCHAR NOT NULL, said_at TIMESTAMP NOT NULL,
        note VARCHAR NOT NULL, undone_by VARCHAR, undone_at TIMESTAMP,
        CHECK ((verdict IN ('match', 'not_this')) = (model IS NOT NULL)))""",
    ),
)

_LISTING_LINKS = Migration(
    "0010_listing_links",
    (
        """CREATE TABLE listing_links (
        listing_id VARCHAR PRIMARY KEY, link VARCHAR NOT NULL, photo VARCHAR NOT NULL)""",
    ),
)

_SEVERAL = Migration(
    "0011_several",
    (
        """CREATE TABLE answered (
        listing_id VARCHAR NOT NULL, annotator VARCHAR NOT NULL,
        verdict VARCHAR NOT NULL
            CHECK (verdict IN ('match', 'none_of_these', 'not_gpu', 'several', 'unsure')),
        gpu_id VARCHAR, model VARCHAR, shown VARCHAR[] NOT NULL, model_version VARCHAR NOT NULL,
        note VARCHAR NOT NULL, annotated_at TIMESTAMP NOT NULL,
        PRIMARY KEY (listing_id, annotator), CHECK ((verdict = 'match') = (model IS NOT NULL)),
        CHECK (gpu_id IS NULL OR model IS NOT NULL))""",
        # what pages and terminal kept as a note until then
        r"""INSERT INTO answered BY NAME SELECT * EXCLUDE (lot) REPLACE (
            CASE WHEN lot THEN 'several' ELSE verdict END AS verdict,
            CASE WHEN lot THEN rtrim(regexp_replace(note, 'several (cards|products)(; )?', ''),
                ': ') ELSE note END AS note)
        FROM (SELECT *, verdict = 'not_gpu' AND regexp_full_match(note,
            '([^:;]+: )?several (cards|products)(; .*)?', 's') AS lot FROM annotations)""",
        "DROP TABLE annotations",
        "ALTER TABLE answered RENAME TO annotations",
        """CREATE TABLE said (
        verdict_id VARCHAR PRIMARY KEY, title VARCHAR NOT NULL, vendor VARCHAR NOT NULL,
        description VARCHAR,
        verdict VARCHAR NOT NULL CHECK (verdict IN
            ('match', 'none_of_these', 'not_gpu', 'several', 'not_this', 'withdrawn')),
        gpu_id VARCHAR, model VARCHAR, said_by VARCHAR NOT NULL, said_at TIMESTAMP NOT NULL,
        note VARCHAR NOT NULL, undone_by VARCHAR, undone_at TIMESTAMP,
        CHECK ((verdict IN ('match', 'not_this')) = (model IS NOT NULL)))""",
        "INSERT INTO said BY NAME SELECT * FROM verdicts",
        "DROP TABLE verdicts",
        "ALTER TABLE said RENAME TO verdicts",
    ),
)

_ANSWER_CHANGES = Migration(
    "0012_answer_changes",
    (
        """CREATE TABLE answer_changes (
        act_id VARCHAR NOT NULL, place INTEGER NOT NULL, person VARCHAR NOT NULL,
        queue VARCHAR NOT NULL, listing_id VARCHAR NOT NULL, annotator VARCHAR NOT NULL,
        changed_at TIMESTAMP NOT NULL, undone_at TIMESTAMP, verdict VARCHAR, gpu_id VARCHAR,
        model VARCHAR, shown VARCHAR[], model_version VARCHAR, note VARCHAR,
        annotated_at TIMESTAMP, PRIMARY KEY (act_id, place))""",
    ),
)

MIGRATIONS = (
    _REGISTRY,
    _ANNOTATIONS,
    _PREFERENCES,
    _EVALUATION,
    _LIFECYCLE,
    _OPEN_VARIANTS,
    _REGISTRY_FLAGS,
    _HELD,
    _VERDICTS,
    _LISTING_LINKS,
    _SEVERAL,
    _ANSWER_CHANGES,
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what one row is, and its columns' meanings in the order of the schema."""

    name: str
    row: str
    columns: dict[str, str]


_RUN = {"run_id": "the evaluation run", "set_name": "the set of listings measured on"}
_KEYS = _RUN | {"listing_id": "the listing"}
_SYSTEM = "`rerank`, or the baseline beside it"
_INTERVAL = {
    "low": "lower end of the 95 % interval; null if there is none",
    "high": "upper end of the 95 % interval; null if there is none",
}
_GPU = {
    "gpu_id": "stable id of the variant",
    "model": "canonical name of the model",
    "vendor": "chip vendor: NVIDIA, AMD, Intel or Matrox",
    "line": "product line, such as GeForce",
    "generation": "product generation",
    "memory_gb": "memory in GB",
    "memory_type": "such as GDDR6",
    "form_factor": "such as PCIe, mobile, SXM4",
    "release_year": "year of release",
    "codenames": "chips",
    "aliases": "other names",
    "part_numbers": "makers' part numbers",
    "rare": "whether nobody means the variant who does not say so",
    "sold_apart": "false for graphics of a CPU, which are never matched",
    "held": "true for what is accepted by a person only",
}

TABLES = (
    Table(
        "migrations",
        "a step of the schema that this store has had",
        {
            "name": "the step; names sort in their order",
            "applied_at": "when, UTC",
        },
    ),
    Table(
        "registry_snapshots",
        "a registry as it was when answers or figures referred to it",
        {
            "registry_version": "fingerprint of its content",
            "taken_at": "when it was stored, UTC",
            "gpus": "variants in it",
        },
    ),
    Table(
        "registry_gpus",
        "a GPU variant of a snapshot",
        {
            "registry_version": "the snapshot",
            **_GPU,
        },
    ),
    Table(
        "listings",
        "what a seller wrote",
        {
            "listing_id": "key, as the shop or file gave it",
            "title": "the title",
            "vendor": "the seller's brand field; empty if unknown",
            "description": "longer text; empty if there is none",
            "price": "in the shop's currency; null if unknown",
            "shop": "feed or site it was found on; empty if unknown",
            "language": "ISO 639-1 code; empty if unknown",
            "added_at": "when it was stored, UTC",
        },
    ),
    Table(
        "listing_links",
        "where a listing is seen; nothing is fetched from there unasked",
        {
            "listing_id": "the listing",
            "link": "address of its page; empty if unknown",
            "photo": "address of its picture; empty if unknown",
        },
    ),
    Table(
        "annotations",
        "one person's answer for one listing; a later one replaces it",
        {
            "listing_id": "the listing",
            "annotator": "who answered",
            "verdict": "`match`; `none_of_these`: a GPU that the registry lacks; `not_gpu`: no "
            "GPU at all; `several`: different ones at once; `unsure`: the text does not tell",
            "gpu_id": "the variant, if it is known; only for a match",
            "model": "canonical name; set exactly for a match",
            "shown": "gpu_ids that were offered, in their order; empty for imported answers",
            "model_version": "what had ranked them; empty for imported answers",
            "note": "free text",
            "annotated_at": "when, UTC",
        },
    ),
    Table(
        "answer_changes",
        "a listing that one act of a person answered, with what had stood; undo reads it",
        {
            "act_id": "the act: one key or button, for one listing or several that look the same",
            "place": "in the act, from 0: the listing that was asked about",
            "person": "who answered; of an adjudicator's answer, who gave it",
            "queue": "what was asked, such as `uncertain` or `disputes`",
            "listing_id": "the listing",
            "annotator": "whose answer it became",
            "changed_at": "when, UTC; the answer's `annotated_at`",
            "undone_at": "when it was taken back, UTC; null if it was not",
            **{
                name: f"`{name}` of the answer that it replaced; null if there was none"
                for name in (
                    *("verdict", "gpu_id", "model", "shown", "model_version", "note"),
                    "annotated_at",
                )
            },
        },
    ),
    Table(
        "verdicts",
        "what somebody said of a text directly; it overrides the model",
        {
            "verdict_id": "key",
            "title": "the title, as it was given; texts are compared normalised",
            "vendor": "the seller's brand field; empty if unknown",
            "description": "of a listing; null if it holds whatever the description is",
            "verdict": "as of an annotation, or `not_this`: it does not sell this product; or "
            "`withdrawn`: the model decides, whatever was said before",
            "gpu_id": "the variant or product; null if only its model is named, or nothing is",
            "model": "its model; set exactly for `match` and `not_this`",
            "said_by": "who said it",
            "said_at": "when, UTC",
            "note": "free text",
            "undone_by": "who took it back; null if nobody did",
            "undone_at": "when, UTC",
        },
    ),
    Table(
        "preference_items",
        "one thing that is compared with another",
        {
            "item_id": "key: fingerprint of type and reference",
            "item_type": "such as gpu_candidate",
            "item_reference_id": "what the item is outside of the store",
            "embedding": "vector; null if there is none",
            "embedding_id": "where an embedding is to be had; null if nowhere",
            "metrics": "numbers a ranker may read, by name",
            "created_at": "when first stored, UTC",
        },
    ),
    Table(
        "preference_pairs",
        "a statement which of two items is better",
        {
            "pair_id": "key",
            "item_a": "an item_id",
            "item_b": "an item_id",
            "label": "1 if a is better, -1 if b is, 0 if neither",
            "reason_tags": "why, in words",
            "similarity": "cosine of the two, -1 to 1; null if unknown",
            "source": "`manual`, `user_choice`, `before_after`, `bootstrap` or `annotation`",
            "annotator": "who said so; empty if a program did",
            "created_at": "when, UTC",
        },
    ),
    Table(
        "evaluation_runs",
        "one run of `rerank evaluate` or `rerank ablate`",
        {
            "run_id": "key; sorts by time",
            "command": "`evaluate`, or `ablate`, which keeps figures and comparisons only",
            "started_at": "when, UTC",
            "model_version": "the model that was measured",
            "index_version": "the index under it",
            "registry_version": "the registry snapshot",
            "seed": "of the resampling",
            "samples": "resamples behind each interval",
            "machine": "what it ran on, as JSON",
            "latency_p50_ms": "median time to answer one listing, ms; null if not measured",
            "latency_p99_ms": "99th percentile, ms; null if not measured",
            "latency_listings": "listings that were timed",
        },
    ),
    Table(
        "evaluation_listings",
        "a gold listing as a run saw it",
        {
            **_KEYS,
            "title": "the title",
            "vendor": "the seller's brand field",
            "kind": "`match`, `nil` (no GPU of the registry) or `ambiguous` (not judged)",
            "gold_models": "model names that are accepted, as the gold file spells them",
            "gold_model": "the first of them that the registry knows, canonical; null if none",
            "gold_memory_gb": "memory the listing states, in GB; null if it states none",
            "gold_form": "form factor the listing states; empty if none",
            "listing_group": "listings resampled together",
            "shop": "empty if unknown",
            "language": "empty if unknown",
            "unseen": "whether no tree was trained on its model",
        },
    ),
    Table(
        "predictions",
        "our answer for a listing in a run, as `rerank score` gives it",
        {
            **_KEYS,
            "gpu_id": "chosen variant; null for no match",
            "model": "its model; null for no match",
            "memory_gb": "its memory; null for no match",
            "form_factor": "its form factor; null for no match",
            "best_guess": "the first candidate's model, whatever is decided",
            "match_probability": "that this model is sold, calibrated, 0 to 1",
            "memory_stated": "whether the listing states the first candidate's memory; null in "
            "runs of earlier releases",
            "variant_probability": "that the first candidate is the variant sold, if its model is; "
            "null in runs of earlier releases",
            "margin": "less that of the best other model",
            "decision": "`match`, `review` or `no_match`",
            "reason": "why, in a few words",
            "candidates": "best first; similarity is a cosine, score counts within a listing only",
            "candidate_set": "conformal set of models at the run's coverage; empty if there is "
            "none",
            "model_version": "what answered",
            "index_version": "what retrieved",
        },
    ),
    Table(
        "evaluation_outcomes",
        "an answer held against gold, for each system; ambiguous listings are left out",
        {
            **_RUN,
            "system": _SYSTEM,
            "listing_id": "the listing",
            "rank": "place of the first right model from 1; null if none is right, or for nil",
            "grades": "graded relevance of the first ten models; empty for baselines",
            "probability": "match_probability; null for baselines",
            "accepted": "whether the decision is match; null for baselines",
            "memory_agrees": "whether the first candidate has the stated memory; null if not "
            "judged",
            "lost_to": "`retrieval`, `ranking`, `decision` or `label`; null if right or a baseline",
            "cause": "why it went wrong, of the failure analysis; null if right",
            "set_covers": "whether the candidate set holds the truth; null without sets",
            "set_size": "outcomes in the candidate set; null without sets",
        },
    ),
    Table(
        "evaluation_figures",
        "a metric of a system on a slice of a set",
        {
            **_RUN,
            "system": _SYSTEM,
            "slice": "what the set is cut by; `all` for the whole set",
            "slice_value": "which part; `all` for the whole set",
            "metric": "name of the metric",
            "value": "the figure; null if it has none",
            **_INTERVAL,
            "n": "listings it is taken over",
        },
    ),
    Table(
        "evaluation_comparisons",
        "a paired comparison of two systems on one set",
        {
            **_RUN,
            "metric": "name of the metric",
            "system": _SYSTEM,
            "baseline": "what it is compared with",
            "difference": "system less baseline",
            **_INTERVAL,
            "p_value": "of the paired randomisation test",
            "p_adjusted": "the same, corrected for several comparisons",
            "n": "listings that both were measured on",
        },
    ),
    Table(
        "model_versions",
        "a version of a model, an index or an embedder, as its card says",
        {
            "kind": "`ltr`, `pairwise`, `dual`, `cross-encoder`, `index` or `embedder`",
            "version": "fingerprint of its manifest",
            "created_at": "when it was made, UTC",
            "created_by": "the user who made it",
            "code_version": "release of rerank, with the commit if run from a checkout; null if "
            "unknown",
            "parent": "what served when it was made: a version or `shipped`; null if nothing did",
            "parameters": "all it was made with, as JSON",
            "data": "what it was trained on, as JSON: fingerprints, seeds, numbers",
            "feature_schema": "its features, their fingerprint and the missing-value rule, as JSON",
            "metrics": "figures on validation listings with 95 % intervals, as JSON",
            "files": "sha256 of each file, as JSON",
        },
    ),
    Table(
        "model_transitions",
        "a change of what an alias names; `champion` is what serves",
        {
            "transition_id": "key",
            "generation": "number of the change; counts up, whatever the clock",
            "action": "`first`, `train`, `serve`, `promote`, `rollback`, `alias`, `unalias`, or "
            "one of "
            "a canary",
            "alias": "what was changed: `champion`, `challenger`, `index`, `embedder` or another "
            "name",
            "from_kind": "what it named before; null if nothing",
            "from_version": "the version of that",
            "to_kind": "what it names since; null if nothing",
            "to_version": "the version of that",
            "who": "the user who changed it",
            "changed_at": "when, UTC, by that machine's clock",
            "why": "the reason given; empty if none",
            "forced": "whether failing gates were overruled",
            "gates": "each gate with its figure and bound, as JSON; empty list if none was judged",
            "metrics": "figures of both, as JSON",
        },
    ),
    Table(
        "traffic_decisions",
        "a model's decision on a listing of an A/B test or a canary",
        {
            "experiment": "the A/B test or canary",
            "window_number": "window of a canary; 0 of an A/B test",
            "listing_id": "the listing",
            "arm": "`champion` or `challenger`: whose share it fell in",
            "served_version": "the model whose answer was given out",
            "model_version": "the model that decided so",
            "gpu_id": "chosen variant; null for no match",
            "model": "its model; null for no match",
            "match_probability": "calibrated, 0 to 1; null if the model failed",
            "decision": "`match`, `review` or `no_match`; null if the model failed",
            "latency_ms": "time its batch took, for each listing of it; null if not measured",
            "logged_at": "when, UTC",
            "best_guess": "the first candidate's model, whatever is decided",
        },
    ),
    Table(
        "canary_windows",
        "a window of a canary with its guardrails",
        {
            "experiment": "the canary",
            "window_number": "counts up from 1",
            "step": "counts up from 1",
            "share": "of the listings that the challenger answers, 0 to 1",
            "listings": "that both models answered",
            "guardrails": "each with figure and limit, as JSON",
            "breached": "whether a guardrail was",
            "outcome": "what the canary did then",
            "closed_at": "when, UTC",
        },
    ),
)
"""All tables; a test holds them against the schema, both ways."""


def described_tables(session: Any) -> list[dict[str, Any]]:
    """Return all tables with their columns, types and meanings, as JSON values.

    :param session: over any store that is up to date (`rerank.store.database`); the types are read
        from it.
    """
    types = {
        (table, column): kind
        for table, column, kind in session.rows(
            "read schema",
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal",
        )
    }
    return [
        {
            "table": table.name,
            "row": table.row,
            "columns": [
                {"column": name, "type": types[table.name, name], "meaning": meaning}
                for name, meaning in table.columns.items()
            ],
        }
        for table in TABLES
    ]


def tables_markdown(tables: Iterable[dict[str, Any]]) -> str:
    """Return what `described_tables` gave as sections of a Markdown document."""
    lines: list[str] = []
    for table in tables:
        lines += [f"### `{table['table']}`", "", f"One row: {table['row']}.", ""]
        lines += ["| column | type | meaning |", "| --- | --- | --- |"]
        lines += [
            f"| `{column['column']}` | {column['type'].replace('|', '')} | {column['meaning']} |"
            for column in table["columns"]
        ]
        lines.append("")
    return "\n".join(lines)
