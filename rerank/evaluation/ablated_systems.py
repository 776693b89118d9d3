"""The systems an ablation compares: a ladder of ever more evidence, and groups left out of the top.

Every system ranks the same retrieved candidates; nothing but the features read and the model that
puts them together changes from step to step.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rerank.features import CANDIDATE_FEATURES

COSINE, FUZZY = "cosine", "token_set_ratio"
"""Columns besides `CANDIDATE_FEATURES`: the unrounded cosine of listing and GPU embeddings, -1 to
1, and RapidFuzz's token_set_ratio of title and model name, 0 to 100."""
COLUMNS = (*CANDIDATE_FEATURES, COSINE, FUZZY)
FULL = "all_features"


class Learner(Enum):
    """What makes a score of features."""

    ALONE = "the one feature itself"
    LINEAR = "pairwise logistic regression"
    TREES = "LambdaRank"


class Part(Enum):
    """Which part of an ablation a system belongs to."""

    LADDER = "ladder"
    LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """Features that say one kind of thing.

    :param words: what they say, for people.
    """

    name: str
    words: str
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class System:
    """One way to rank candidates.

    :param features: the columns it reads.
    :param shown: the features it is about: those it reads, or those that were left out.
    """

    name: str
    label: str
    part: Part
    learner: Learner
    features: tuple[str, ...]
    shown: tuple[str, ...]


FEATURE_GROUPS = (
    FeatureGroup("similarity", "similarity", ("similarity", "similarity_gap")),
    FeatureGroup(
        "number",
        "number, part number",
        ("named", "prefix_fit", "glued_foreign", "code_length", "code_certain", "code_gap"),
    ),
    FeatureGroup(
        "name_quality",
        "name as a whole",
        ("name_quality", "quality_gap", "exact_rivals", "named_models"),
    ),
    FeatureGroup(
        "suffix", "suffixes", ("suffix_missing", "suffix_absent", "suffix_extra", "suffix_exact")
    ),
    FeatureGroup("line", "line words", ("line_shared", "line_absent", "line_conflict")),
    FeatureGroup(
        "words", "token overlap", ("words_shared", "words_absent", "words_foreign", "rival_words")
    ),
    FeatureGroup(
        "memory",
        "memory",
        ("memory_fit", "model_memory_fit", "memory_type_fit", "memory_rival", "memory_glued"),
    ),
    FeatureGroup("form", "form factor", ("form_fit",)),
    FeatureGroup("vendor", "vendor, partner", ("vendor_fit", "partner_fit")),
    FeatureGroup(
        "context", "place and context", ("mention_at", "mention_order", "compared", "meant_for")
    ),
    FeatureGroup("priors", "variant priors", ("variant_rank", "special_form")),
)
"""Every feature of `CANDIDATE_FEATURES` once. Some sum up others: name_quality holds suffix, line
and prefix evidence, it and similarity_gap the contradiction of memory_rival, and similarity_gap
whether a model is named. So a group left out is not forgotten: its figure is what its columns add
to all the others, a lower bound of what its evidence is worth."""

_OVERLAP = (COSINE, "named", "words_shared", "words_absent", "vendor_fit", "partner_fit")
_CONTRADICTIONS = (
    "suffix_missing",
    "suffix_absent",
    "suffix_extra",
    "line_absent",
    "line_conflict",
    "prefix_fit",
    "glued_foreign",
    "words_foreign",
    "rival_words",
    "memory_fit",
    "model_memory_fit",
    "memory_type_fit",
    "form_fit",
    "memory_rival",
    "compared",
    "meant_for",
)


def _step(name: str, label: str, learner: Learner, features: tuple[str, ...]) -> System:
    return System(name, label, Part.LADDER, learner, features, features)


LADDER = (
    _step("fuzzy", "fuzzy names only", Learner.ALONE, (FUZZY,)),
    _step("cosine", "cosine only", Learner.ALONE, (COSINE,)),
    _step("overlap_and_vendor", "+ token overlap, vendor", Learner.LINEAR, _OVERLAP),
    _step("contradictions", "+ contradictions", Learner.LINEAR, (*_OVERLAP, *_CONTRADICTIONS)),
    _step("lambdarank", "+ LambdaRank", Learner.TREES, (*_OVERLAP, *_CONTRADICTIONS)),
    _step(FULL, "+ all other features", Learner.TREES, CANDIDATE_FEATURES),
)
LEFT_OUT = tuple(
    System(
        f"without_{group.name}",
        f"without {group.words}",
        Part.LEFT_OUT,
        Learner.TREES,
        tuple(name for name in CANDIDATE_FEATURES if name not in group.features),
        group.features,
    )
    for group in FEATURE_GROUPS
)
SYSTEMS = (*LADDER, *LEFT_OUT)
