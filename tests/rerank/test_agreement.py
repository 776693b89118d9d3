"""Several annotators: consensus, agreement, disputes, and labels that a model contradicts."""

from __future__ import annotations

import numpy as np
import pytest

from rerank.annotation.agreement import (
    ADJUDICATOR,
    Consensus,
    agreements,
    cohen_kappa,
    consensus,
    disputes,
    standing_labels,
    suspects,
)
from rerank.index.errors import InputError
from rerank.resolution import Resolution, ScoredCandidate
from rerank.store.rows import Annotation, Verdict

SAID = {
    "-": Verdict.UNSURE,
    "none": Verdict.NONE_OF_THESE,
    "not": Verdict.NOT_GPU,
}


def said(listing_id, annotator, what, gpu_id=None):
    """Return an annotation: a model's name, or none, not or - for the other verdicts."""
    verdict = SAID.get(what, Verdict.MATCH)
    model = what if verdict is Verdict.MATCH else None
    return Annotation(listing_id, annotator, verdict, gpu_id, model)


def settled(*answers):
    """Return the consensus over answers (annotator, what[, gpu_id]) for one listing."""
    [found] = consensus([said("L1", *answer) for answer in answers])
    return found


def test_one_opinion_is_the_consensus():
    assert settled(("ann", "A100", "a100-40gb")) == Consensus(
        "L1", Verdict.MATCH, "A100", "a100-40gb", 1, disputed=False
    )


def test_unsure_is_no_opinion_unless_everybody_is():
    assert settled(("ann", "-"), ("bob", "not")) == Consensus(
        "L1", Verdict.NOT_GPU, None, None, 2, disputed=False
    )
    assert settled(("ann", "-"), ("bob", "-")).verdict is Verdict.UNSURE


def test_two_opinions_that_differ_are_disputed_and_settle_nothing():
    assert settled(("ann", "A100"), ("bob", "H100")) == Consensus(
        "L1", Verdict.UNSURE, None, None, 2, disputed=True
    )


def test_a_strict_majority_of_two_is_the_answer_but_disputed():
    found = settled(("ann", "A100", "x"), ("bob", "H100"), ("cid", "A100"), ("dee", "-"))
    assert found == Consensus("L1", Verdict.MATCH, "A100", "x", 4, disputed=True)
    tie = settled(("ann", "A100"), ("bob", "A100"), ("cid", "H100"), ("dee", "H100"))
    assert (tie.verdict, tie.disputed) == (Verdict.UNSURE, True)


def test_two_of_five_are_no_majority():
    found = settled(("a", "A100"), ("b", "A100"), ("c", "H100"), ("d", "none"), ("e", "not"))
    assert (found.verdict, found.model, found.disputed) == (Verdict.UNSURE, None, True)


def test_none_of_these_and_not_a_gpu_are_different_opinions():
    assert settled(("ann", "none"), ("bob", "not")).disputed


def test_variants_that_differ_leave_the_model_and_are_no_dispute():
    found = settled(("ann", "A100", "a100-40gb"), ("bob", "A100", "a100-80gb"))
    assert found == Consensus("L1", Verdict.MATCH, "A100", None, 2, disputed=False)


def test_a_variant_only_one_names_stands():
    assert settled(("ann", "A100", "a100-40gb"), ("bob", "A100")).gpu_id == "a100-40gb"


def test_the_adjudicator_wins_against_all():
    found = settled(("ann", "A100"), ("bob", "A100"), (ADJUDICATOR, "H100", "h"))
    assert found == Consensus("L1", Verdict.MATCH, "H100", "h", 3, disputed=False)
    assert settled(("ann", "A100"), ("bob", "H100"), (ADJUDICATOR, "-")) == Consensus(
        "L1", Verdict.UNSURE, None, None, 3, disputed=False
    )


def test_consensus_is_ordered_by_listing_whatever_the_order_of_answers():
    answers = [said("L2", "ann", "A100"), said("L1", "ann", "not"), said("L2", "bob", "A100")]
    assert [c.listing_id for c in consensus(answers)] == ["L1", "L2"]
    assert consensus(answers) == consensus(answers[::-1])
    assert consensus([]) == []


LABELS = [("L1", "A100"), ("L2", "H100")]


def test_kappa_by_hand():
    # agreed (20 + 15) of 50; by chance (25 * 30 + 25 * 20) of 2500
    first = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    second = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert cohen_kappa(first, second) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        ([0, 1, 2], [0, 1, 2], 1.0),
        ([0, 1], [1, 0], -1.0),
        ([0, 0, 1, 1], [0, 1, 0, 1], 0.0),
        ([3, 3, 3], [3, 3, 3], None),  # one label throughout tells nothing
        ([0, 0], [1, 1], 0.0),
        ([], [], None),
    ],
)
def test_kappa_at_the_edges(first, second, kappa):
    assert cohen_kappa(np.array(first, np.int64), np.array(second, np.int64)) == kappa


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed):
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(seed)
    first = rng.integers(0, 6, 200)
    second = np.where(rng.random(200) < 0.7, first, rng.integers(0, 6, 200))
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_labels_of_different_numbers_of_listings_are_refused():
    with pytest.raises(InputError, match="the same listings, got 1 and 2"):
        cohen_kappa(np.zeros(1, np.int64), np.zeros(2, np.int64))


def test_two_listings_agreed_on_do_not_show_that_two_always_agree():
    answers = [said(key, who, model) for who in ("ann", "bob") for key, model in LABELS]
    (found,) = agreements(answers, seed=0)
    assert (found.agreed.value, found.kappa.value) == (1.0, 1.0)
    low = 2 / (2 + 1.959964**2)  # Wilson's lower end of 2 of 2
    assert found.agreed.ci95 == pytest.approx((low, 1.0))
    assert found.kappa.ci95 == pytest.approx(((low - 0.5) / 0.5, 1.0))  # half by chance


def test_agreement_is_measured_for_each_two_who_share_listings():
    answers = [
        said("L1", "ann", "A100", "a100-40gb"),
        said("L1", "bob", "A100", "a100-80gb"),
        said("L2", "ann", "not"),
        said("L2", "bob", "none"),
        said("L3", "ann", "H100"),
        said("L3", "bob", "H100"),
        said("L3", ADJUDICATOR, "not"),
        said("L4", "ann", "-"),
        said("L4", "bob", "-"),
        said("L5", "cid", "A100"),
    ]
    [found] = agreements(answers, seed=1)
    assert (found.first, found.second, found.n) == ("ann", "bob", 4)
    assert found.agreed.value == 0.75
    # by chance: A100, H100 and unsure 1/16 each
    assert found.kappa.value == pytest.approx((0.75 - 3 / 16) / (13 / 16))
    assert found.agreed.ci95[0] <= 0.75 <= found.agreed.ci95[1]
    assert found.as_dict()["agreed"]["n"] == 4
    assert agreements(answers, seed=1) == [found]


def test_disputes_are_the_listings_whose_opinions_differ_and_that_nobody_settled():
    answers = [
        said("L1", "bob", "H100"),
        said("L1", "ann", "A100"),
        said("L2", "ann", "A100"),
        said("L2", "bob", "-"),
        said("L3", "ann", "A100"),
        said("L3", "bob", "not"),
        said("L3", ADJUDICATOR, "not"),
        said("L4", "ann", "A100", "a100-40gb"),
        said("L4", "bob", "A100", "a100-80gb"),
        said("L5", "ann", "-"),
        said("L5", "bob", "-"),
        said("L6", "ann", "none"),
        said("L6", "bob", "not"),
        said("L6", "cid", "-"),
    ]
    found = disputes(answers)
    assert [dispute.listing_id for dispute in found] == ["L1", "L6"]
    assert [answer.annotator for answer in found[0].answers] == ["ann", "bob"]
    assert [answer.annotator for answer in found[1].answers] == ["ann", "bob", "cid"]


def resolution(**shares):
    """Return a resolution whose models have these probabilities."""
    candidates = tuple(
        ScoredCandidate(model.lower(), model, 8.0, "PCIe", 0.5, 1.0, probability, 1.0)
        for model, probability in shares.items()
    )
    top = candidates[0] if candidates else None
    return Resolution(
        top and top.gpu_id,
        top and top.model,
        8.0,
        "PCIe",
        top and top.model,
        top.probability if top else 0.0,
        False,
        1.0,
        0.0,
        "review",
        "",
        candidates,
        "m",
        "i",
    )


def judged(*rows):
    """Return labels with resolutions from (listing_id, what, shares)."""
    labels = standing_labels([said(listing_id, "ann", what) for listing_id, what, _ in rows])
    return list(zip(labels, [resolution(**shares) for _, _, shares in rows], strict=True))


def test_a_label_that_a_confident_model_contradicts_is_a_suspect():
    rows = judged(
        ("L1", "A100", {"A100": 0.9}),
        ("L2", "A100", {"A100": 0.1, "H100": 0.8}),  # mean of the models' labels: .5
        ("L3", "not", {"A100": 0.2}),
        ("L4", "not", {"H100": 0.97}),  # .5 is the bar for models
        ("L5", "A100", {}),  # no match: its bar is the mean of .8 and .03
    )
    found = suspects(rows)
    assert [(s.label.listing_id, s.suggestion) for s in found] == [
        ("L5", "no match"),
        ("L4", "H100"),
        ("L2", "H100"),
    ]
    assert found[1].probability == 0.97
    assert found[1].self_confidence == pytest.approx(0.03)
    assert found[2].label.label == "A100"


def test_a_stated_threshold_replaces_the_means():
    rows = judged(("L1", "A100", {"A100": 0.2, "H100": 0.7}))
    assert [s.suggestion for s in suspects(rows, threshold=0.7)] == ["H100"]
    assert suspects(rows, threshold=0.71) == []


def test_a_class_without_labels_has_the_threshold_of_a_half():
    assert suspects(judged(("L1", "A100", {"A100": 0.55}))) == []
    [found] = suspects(judged(("L1", "A100", {"A100": 0.4})))
    assert (found.suggestion, found.probability) == ("no match", 0.6)
    assert suspects(judged(("L1", "A100", {"A100": 0.3, "B": 0.25}))) == []  # .45 is the most


def test_labels_that_stand_are_the_adjudicators_else_each_opinion():
    answers = [
        said("L1", "bob", "A100"),
        said("L1", "ann", "A100"),
        said("L1", "cid", "not"),
        said("L2", "ann", "A100"),
        said("L2", ADJUDICATOR, "none"),
        said("L3", "ann", "-"),
        said("L4", "ann", "A100"),
        said("L4", ADJUDICATOR, "-"),
    ]
    found = standing_labels(answers)
    assert [(x.listing_id, x.label, x.outcome, x.annotators) for x in found] == [
        ("L1", "A100", "A100", ("ann", "bob")),
        ("L1", "not_gpu", "no match", ("cid",)),
        ("L2", "none_of_these", "no match", (ADJUDICATOR,)),
    ]
