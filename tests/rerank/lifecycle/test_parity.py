"""Reference answers: what a changed model, another index and other features look like."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rerank.calibration import Calibrator
from rerank.index.errors import ArtifactError, MismatchError
from rerank.lifecycle.opening import ReferenceAnswers, check_reference, make_reference
from rerank.model import FeatureRanker, OnnxTrees
from rerank.packs.gpu.candidates import CANDIDATE_FEATURES
from rerank.packs.gpu.cues import CueReader
from rerank.packs.gpu.offers import OFFER_FEATURES
from rerank.packs.gpu.pack import GpuResolver
from rerank.resolution import Thresholds

CUES = CueReader({"box": ["box"], "with": ["with"]})
RANKER = {"name_quality": 1.0, "memory_fit": 0.5, "form_fit": 0.5, "variant_rank": -0.05}
OFFER = {"named": 6.0, "exact_rivals": -1.5, "box_before": -6.0}


@pytest.fixture(scope="module")
def model(linear_model):
    return linear_model(RANKER, OFFER, -3.0)


@pytest.fixture(scope="module")
def resolver_of(tiny_retriever):
    return lambda model, index="i": GpuResolver(tiny_retriever, model, CUES, index_version=index)


@pytest.fixture(scope="module")
def reference(resolver_of, model, tiny_registry):
    return make_reference(resolver_of(model), seed=5)


def test_a_reference_is_a_hundred_listings_with_their_answers(reference, resolver_of, model):
    assert (len(reference.answers), reference.seed, reference.index_version) == (100, 5, "i")
    assert {each.decision for each in reference.answers} >= {"match", "no_match"}
    first = reference.answers[0]
    answer = resolver_of(model).resolve(first.listing)
    assert (first.gpu_id, first.score) == (answer.candidates[0].gpu_id, answer.candidates[0].score)
    assert first.match_probability == answer.match_probability


def test_the_same_seed_makes_the_same_reference(reference, resolver_of, model, tiny_registry):
    assert make_reference(resolver_of(model), seed=5) == reference
    assert make_reference(resolver_of(model), seed=6) != reference


def test_the_model_it_was_made_with_passes_and_so_does_its_json(reference, resolver_of, model):
    read = ReferenceAnswers.from_dict(json.loads(json.dumps(reference.as_dict())))
    assert read == reference
    words = check_reference(resolver_of(model), read)
    assert words == "100 reference listings are answered as when the model was made"
    assert check_reference(resolver_of(model), read, limit=2).startswith("2 reference listings")


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("calibrator", Calibrator((-4.0, 4.0), (0.0, 0.99)), "probability was"),
        ("thresholds", Thresholds(0.9, 0.3, 0.99), "was match, is review"),
        ("thresholds", Thresholds(0.8, 0.1, 0.99), "was no_match, is review"),
    ],
)
def test_a_model_that_was_changed_is_caught(part, value, said, reference, resolver_of, model):
    changed = replace(model, **{part: value})
    with pytest.raises(MismatchError, match=rf"of 100 reference listings are .*{said}"):
        check_reference(resolver_of(changed), reference)


@pytest.mark.parametrize(
    ("weights", "said"),
    [({**RANKER, "name_quality": 1.002}, "score was"), ({"variant_rank": 1.0}, r"was \S+, is ")],
)
def test_a_ranker_that_was_changed_is_caught(
    weights, said, reference, resolver_of, model, linear_scorer
):
    ranker = FeatureRanker(OnnxTrees(linear_scorer(CANDIDATE_FEATURES, weights)))
    with pytest.raises(MismatchError, match=said):
        check_reference(resolver_of(replace(model, ranker=ranker)), reference)


def test_differences_of_rounding_pass(reference, resolver_of, model, linear_scorer):
    weights = {**RANKER, "name_quality": 1.00002}
    close = replace(
        model,
        calibrator=Calibrator((-4.0, 4.0), (0.0, 1.00005)),
        ranker=FeatureRanker(OnnxTrees(linear_scorer(CANDIDATE_FEATURES, weights))),
    )
    assert check_reference(resolver_of(close), reference).startswith("100 reference listings")


def test_over_another_index_only_features_are_compared(reference, resolver_of, model):
    changed = replace(model, calibrator=Calibrator((-4.0, 4.0), (0.0, 0.5)))
    words = check_reference(resolver_of(changed, "other"), reference)
    assert words == ("made over index i, this is other: only the features' names were compared")


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (("first", *CANDIDATE_FEATURES[1:], *OFFER_FEATURES), "feature 0 was 'first'"),
        ((*CANDIDATE_FEATURES, *OFFER_FEATURES[:-1]), "was 'nothing'"),
        ((*CANDIDATE_FEATURES, *OFFER_FEATURES, "more"), "'more' .* computes 'nothing'"),
    ],
)
def test_other_features_are_caught_over_any_index(features, said, reference, resolver_of, model):
    with pytest.raises(MismatchError, match=said):
        check_reference(resolver_of(model, "other"), replace(reference, features=features))


@pytest.mark.parametrize("content", [{}, {"answers": [{"title": "x"}]}, {"answers": 3}])
def test_what_is_no_reference_is_refused(content):
    with pytest.raises(ArtifactError, match="reference answers: expected seed, index_version"):
        ReferenceAnswers.from_dict(content)
