"""A stand-in for the resolver that answers at once."""

from __future__ import annotations

import time

import pyarrow as pa

from rerank.answer_columns import OUTPUT_SCHEMA
from rerank.jobs.files.places import place_of
from rerank.jobs.files.selection import select_files
from rerank.jobs.scoring.answering import Answerer, ScoreOptions, answer_schema
from rerank.jobs.scoring.plan import Existing, plan_score
from rerank.jobs.scoring.run import run_plan


class EchoAnswerer(Answerer):
    """Answers every listing with its own title, as a match; without a title as no match."""

    def __init__(self, options=None, *, model_version="m1", index_version="i1", pause_s=0.0):
        self.options = options or ScoreOptions()
        self.schema = answer_schema(OUTPUT_SCHEMA, only_decisions=self.options.only_decisions)
        self.model_version, self.index_version = model_version, index_version
        self.pause_s = pause_s

    def answer(self, batch):
        time.sleep(self.pause_s)
        rows = []
        for at, listing in enumerate(batch.listings()):
            fault = batch.faults.get(at) or (None if listing.title else "no title")
            rows.append(
                {
                    "model": None if fault else listing.title,
                    "margin": 0.0,
                    "match_probability": 0.0 if fault else 1.0,
                    "decision": "no_match" if fault else "match",
                    "reason": fault or "echo",
                    "candidates": [],
                    "model_version": self.model_version,
                    "index_version": self.index_version,
                }
            )
        return pa.Table.from_pylist(rows, schema=self.schema)


def score_all(source, target, existing=Existing.REFUSE, answerer=None, **callbacks):
    plan = plan_score(select_files(source), target, existing=existing)
    return run_plan(plan, answerer or EchoAnswerer(), **callbacks)


def resume_slowly(source, out, told):
    """Score a folder in so small steps that a run can be broken off within each of its files.

    :param told: told before the first file: from then on there is work to break off.
    """
    told.send("ready")
    score_all(source, place_of(out), Existing.RESUME, EchoAnswerer(pause_s=0.001))
