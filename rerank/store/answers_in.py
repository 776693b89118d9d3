"""Read and check a file's answers: names become GPUs, a gold file's kinds become verdicts."""

from __future__ import annotations

import pyarrow as pa

from index.errors import InputError
from rerank.evaluation.gold import GoldKind
from rerank.store.annotations import Verdict
from rerank.store.database import Session
from rerank.store.incoming import (
    ANNOTATION_COLUMNS,
    GOLD_COLUMNS,
    LIST,
    NUMBER,
    TIME,
    Incoming,
    as_text,
)
from rerank.store.names import GpuNames, NamedGpu
from rerank.store.row_faults import RowFaults, key_checks

CONTENT = ("verdict", "gpu_id", "model", "shown", "model_version", "note")
"""What makes up an answer besides its key and its time."""

_VERDICTS = ", ".join(verdict.value for verdict in Verdict)
_NIL_NOTE = GoldKind.NIL.value
_TIMES = "TIMESTAMP '1970-01-01' AND TIMESTAMP '9999-12-31 23:59:59'"
_NAMED = pa.schema(
    [
        ("gpu_name", pa.string()),
        ("model_name", pa.string()),
        ("memory", pa.string()),
        ("form", pa.string()),
        ("gpu_id", pa.string()),
        ("model", pa.string()),
        ("fault", pa.string()),
    ]
)
_NAME_KEY = ", ".join(_NAMED.names[:4])


def checked_answers(
    session: Session,
    incoming: Incoming,
    names: GpuNames,
    annotator: str,
    *,
    is_gold: bool,
    faults: RowFaults,
) -> pa.Table:
    """Return the file's answers, each once, with `PLACE` and the GPUs their names stand for.

    :param annotator: who answered where the row does not say; empty if each row must.
    :param is_gold: read ``kind`` and the ``gold_`` columns instead of ``verdict`` and ``gpu_id``.
    :param faults: notes values that are wrong, names that are unknown, and answers that stand there
        twice with different content.
    """
    handed, wrong = as_text(incoming, ANNOTATION_COLUMNS | GOLD_COLUMNS)
    faults.add_columns(wrong)
    with session.visible("handed", handed):
        as_list = pa.types.is_list(handed.column("shown").type)
        session.execute(
            "read answers", _answers_sql(is_gold=is_gold, as_list=as_list), {"annotator": annotator}
        )
    with session.visible("named", _named_gpus(session, names, is_gold=is_gold)):
        session.execute(
            "name GPUs",
            f"CREATE TABLE answers AS SELECT * FROM answered LEFT JOIN named USING ({_NAME_KEY})",
        )
    faults.check(session, _checks_sql(is_gold=is_gold))
    keys = ("listing_id", "annotator")
    faults.check_repeated(session, "answers", keys, (*CONTENT, "annotated_at"))
    content = ", ".join(CONTENT)
    return session.table(
        "collect answers",
        f"SELECT DISTINCT ON (listing_id, annotator) place, listing_id, annotator, {content}, "
        "annotated_at FROM answers",
    )


def _answers_sql(*, is_gold: bool, as_list: bool) -> str:
    """Return the statement that reads ``handed``; a gold file's answers look like any other's."""
    verdict, name, note = "coalesce(verdict, '')", "gpu_id", "coalesce(note, '')"
    if is_gold:
        verdict = (
            "CASE kind WHEN 'nil' THEN 'not_gpu' WHEN 'ambiguous' THEN 'unsure' "
            "ELSE coalesce(kind, '') END"
        )
        name = "CASE WHEN kind <> 'ambiguous' THEN gold_models END"
        note = (
            f"CASE WHEN coalesce(note, '') = '' AND kind = 'nil' THEN '{_NIL_NOTE}' ELSE {note} END"
        )
    shown = (
        "shown" if as_list else ("TRY_CAST(TRY_CAST(NULLIF(trim(shown), '') AS JSON) AS VARCHAR[])")
    )
    return f"""
        CREATE TABLE answered AS SELECT
            place, coalesce(listing_id, '') AS listing_id,
            coalesce(NULLIF(annotator, ''), $annotator) AS annotator, {verdict} AS verdict,
            trim(coalesce({name}, '')) AS gpu_name, trim(coalesce(model, '')) AS model_name,
            trim(coalesce(gold_memory_gb, '')) AS memory, trim(coalesce(gold_form, '')) AS form,
            coalesce({shown}, []) AS shown,
            {"false" if as_list else "trim(shown) <> '' AND " + shown + " IS NULL"} AS no_list,
            coalesce(model_version, '') AS model_version, {note} AS note,
            TRY_CAST(NULLIF(trim(annotated_at), '') AS TIMESTAMPTZ)
                AT TIME ZONE 'UTC' AS annotated_at,
            annotated_at AS time_text
        FROM handed"""


def _checks_sql(*, is_gold: bool) -> str:
    named = "(gpu_name <> '' OR model_name <> '')"
    verdict, words, column, told = "verdict", _VERDICTS, "gpu_id or model", "verdict"
    if is_gold:
        verdict, column, told = "kind", "gold_models", "NULL"  # its kinds are verdicts by now
        words = ", ".join(kind.value for kind in GoldKind)
    allowed = ", ".join(f"'{member.value}'" for member in Verdict)
    return f"""{key_checks("answers", "listing_id")}
        UNION ALL {key_checks("answers", "annotator")}
        UNION ALL SELECT place, '{verdict} must be one of {words}', verdict FROM answers
            WHERE verdict NOT IN ({allowed})
        UNION ALL SELECT place, 'a match names no GPU in {column}', NULL FROM answers
            WHERE verdict = 'match' AND NOT {named}
        UNION ALL SELECT place, 'names a GPU in {column} but {verdict} is no match', {told}
            FROM answers WHERE verdict <> 'match' AND verdict IN ({allowed}) AND {named}
        UNION ALL SELECT place, fault, NULL FROM answers WHERE fault IS NOT NULL
        UNION ALL SELECT place, 'shown must be {LIST}', NULL FROM answers
            WHERE no_list OR list_count(shown) <> len(shown)
        UNION ALL SELECT place, 'annotated_at must be {TIME}',
            time_text FROM answers WHERE trim(time_text) <> ''
            AND NOT coalesce(annotated_at BETWEEN {_TIMES}, false)"""


def _named_gpus(session: Session, names: GpuNames, *, is_gold: bool) -> pa.Table:
    """Resolve each different name once: a million answers name some thousand GPUs."""
    keys = session.rows(
        "collect names",
        f"SELECT DISTINCT {_NAME_KEY} FROM answered WHERE verdict = 'match' "
        "AND (gpu_name <> '' OR model_name <> '')",
    )
    rows = []
    for key in keys:
        try:
            found = _gold_gpu(names, *key) if is_gold else _gpu(names, *key[:2])
            rows.append((*key, found.gpu_id, found.model, None))
        except InputError as exc:
            rows.append((*key, None, None, str(exc)))
    columns = list(zip(*rows, strict=True)) or [()] * len(_NAMED)
    return pa.Table.from_arrays(
        [pa.array(column, pa.string()) for column in columns], schema=_NAMED
    )


def _gpu(names: GpuNames, gpu_name: str, model_name: str) -> NamedGpu:
    """Return the GPU of an answer.

    :raises InputError: if a name is unknown or the two name different models.
    """
    found = names.find(gpu_name or model_name)
    if gpu_name and model_name:
        model = names.find(model_name).model
        if model != found.model:
            raise InputError(f"gpu_id is a {found.model}, model says {model}")
    return found


def _gold_gpu(names: GpuNames, accepted: str, model_name: str, memory: str, form: str) -> NamedGpu:
    """Return the GPU of a gold row: the first accepted name that the registry knows.

    :raises InputError: if none is known or the memory is no number.
    """
    try:
        memory_gb = float(memory) if memory else None
    except ValueError:
        raise InputError(f"gold_memory_gb must be {NUMBER}, got {memory!r:.80}") from None
    listed = [name.strip() for name in accepted.split(";") if name.strip()]
    return names.find_first(listed or [model_name], memory_gb=memory_gb, form_factor=form)
