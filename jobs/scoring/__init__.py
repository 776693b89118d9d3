"""Score files of listings: read, resolve and write parquet batch by batch, file by file."""

from jobs.scoring.answering import Answerer, InTurn, ResolverAnswerer, ScoreOptions, answering
from jobs.scoring.earlier_answers import RememberingAnswerer
from jobs.scoring.engines import Engine, EngineKind, run_scoring
from jobs.scoring.output_columns import answer_schema, output_schema, renamed_columns
from jobs.scoring.plan import Existing, ScorePlan, plan_score
from jobs.scoring.running import run_plan, score_file
from jobs.scoring.summary import ScoreSummary

__all__ = [
    "Answerer",
    "Engine",
    "EngineKind",
    "Existing",
    "InTurn",
    "RememberingAnswerer",
    "ResolverAnswerer",
    "ScoreOptions",
    "ScorePlan",
    "ScoreSummary",
    "answer_schema",
    "answering",
    "output_schema",
    "plan_score",
    "renamed_columns",
    "run_plan",
    "run_scoring",
    "score_file",
]
