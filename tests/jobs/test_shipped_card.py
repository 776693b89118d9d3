"""The card of the model that ships: there, of this model, and what would be written now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rerank.index.records import shipped
from rerank.lifecycle.changing import shipped_card
from rerank.lifecycle.opening import ReferenceAnswers, check_reference
from rerank.lifecycle.versions import VersionCard

REMEDY = "write it with `python -m rerank.lifecycle.changing`"


@pytest.fixture(scope="module")
def card():
    return VersionCard.read(shipped("model"))


def test_the_shipped_model_is_sound_and_answers_as_its_card_says(run):
    done = run("models", "verify", "shipped")
    assert done.exit_code == 0, done.output
    assert " ".join(done.stdout.split()) == (
        "ltr shipped sound 6 files, card, answers as on the machine that trained it"
    )
    shown = run("models", "show", "shipped").stdout
    assert "made            20" in shown
    assert "by rerank, code 0." in shown
    assert "reference       100 answers that it must give wherever it serves" in shown


def test_the_shipped_card_holds_what_the_shipped_model_answers(card, shipped_resolver):
    reference = ReferenceAnswers.from_dict(card.reference)
    assert reference.index_version == shipped_resolver.index_version
    assert check_reference(shipped_resolver, reference).startswith("100 reference listings")


def test_the_shipped_card_is_current(card):
    now = shipped_card()
    moving = {
        "created_at": "",
        "code_version": "",
        "metrics": {},
        "reference": {},
        "distribution": {},
    }
    assert replace(card, **moving) == replace(now, **moving), REMEDY
    assert card.metrics["measured_on"] == now.metrics["measured_on"]
    for name, figure in now.metrics["figures"].items():
        kept = card.metrics["figures"][name]
        assert kept["value"] == pytest.approx(figure["value"], abs=0.002), REMEDY
        assert kept["n"] == figure["n"]
    assert card.distribution["listings"] == now.distribution["listings"]
    assert card.distribution["model_version"] == now.distribution["model_version"]
    kept, asked = (ReferenceAnswers.from_dict(each.reference).answers for each in (card, now))
    assert [each.title for each in kept] == [each.title for each in asked], REMEDY
