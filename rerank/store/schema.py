"""The store's schema, as named steps from an empty file; a step that was released never changes.

Times are UTC. What the tables and columns mean stands in `rerank.store.tables`.
"""

from __future__ import annotations

from dataclasses import dataclass


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
