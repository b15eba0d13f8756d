"""The run folder: results.json, cells.parquet and users.parquet."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robust.errors import InputError
from robust.runner.judging import Assessment
from robust.runner.outcomes import values
from robust.runner.results import Results
from robust.runner.store import write_atomically

SCHEMA = 1


def results_json(results: Results) -> str:
    """`results.json`, with a checksum over everything else in it."""
    body = results.model_dump(mode="json", by_alias=True)
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=False)
    body["environment"]["checksum"] = hashlib.sha256(canonical.encode()).hexdigest()
    return json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_results(run: Path) -> Results:
    """The results of a run folder (or of a results.json).

    Raises:
        InputError: it is no run folder, or was damaged or changed since it was written.
    """
    path = run / "results.json" if run.is_dir() else run
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"There is no run in '{run}': no results.json. Expected a folder written by --out.") from error
    except RecursionError as error:
        raise InputError(f"'{path}' cannot be read as results: too many brackets within each other.") from error
    except (OSError, ValueError) as error:  # JSON that is cut short, bytes that are no text, a number without end
        raise InputError(f"'{path}' cannot be read as results: {error}.") from error
    if isinstance(body, dict) and body.get("schema", SCHEMA) != SCHEMA:
        raise InputError(
            f"'{path}' holds results of schema {body['schema']!r}; this version reads schema {SCHEMA}. Read it with "
            "the version of seqrobust that wrote it, or review again."
        )
    try:
        checksum = body["environment"].pop("checksum")
        results = Results.model_validate(body)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"'{path}' does not hold results of this version: {str(error).splitlines()[0]}.") from error
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=False)
    if hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest() != checksum:
        raise InputError(f"'{path}' was damaged or changed since it was written: its checksum does not match.")
    return results


def checksum_of(run: Path) -> str:
    """The checksum that a run's results were written with; read them first, which verifies it."""
    path = run / "results.json" if run.is_dir() else run
    return str(json.loads(path.read_text(encoding="utf-8"))["environment"]["checksum"])


def write_run(out: Path, results: Results, assessments: Sequence[Assessment], ids: Sequence[str] | None = None) -> None:
    """Write everything; results.json last, so that its presence means that the rest is there.

    It states the digests of the tables, so that its checksum vouches for them. Users have pseudonyms, unless `ids`
    holds what to call them.
    """
    users = _user_columns(assessments, ids)
    tables = {"cells.parquet": _parquet(_cell_rows(results)), "users.parquet": _parquet(users)}
    for name, content in tables.items():
        write_atomically(out / name, content)
    results.environment["tables"] = {name: hashlib.sha256(content).hexdigest() for name, content in tables.items()}
    write_atomically(out / "results.json", results_json(results))


def _parquet(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def _cell_rows(results: Results) -> dict[str, list[Any]]:
    """A row per cell, seed and metric; seed −1 holds the mean over seeds with its interval."""
    names = ("cell", "verdict", "seed", "metric", "clean", "attacked", "change", "low", "high")
    rows: list[tuple[Any, ...]] = []
    for cell in results.cells:
        for metric, value in cell.metrics.items():
            rows.append(
                (cell.id, cell.verdict, -1, metric, value.clean, value.attacked, value.change, value.low, value.high)
            )
        for point in cell.points:
            rows.append(
                (
                    cell.id,
                    cell.verdict,
                    point.seed,
                    cell.bound.metric,
                    point.clean,
                    point.attacked,
                    point.change,
                    None,
                    None,
                )
            )
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _user_columns(assessments: Sequence[Assessment], ids: Sequence[str] | None = None) -> dict[str, Any]:
    """Clean and attacked value of the bounded metric per cell, seed and user, under a pseudonym or the user's id."""
    import numpy as np
    import pyarrow as pa

    judged = [assessment for assessment in assessments if assessment.judgement is not None]
    before, after = [], []
    for assessment in judged:
        measured, metric = assessment.measured, assessment.cell.threat.bound.metric
        before.append(values(metric, measured.clean, measured.held))
        after.append(values(metric, measured.attacked, measured.held))
    users = before[0].shape[1] if before else 0
    called = _pseudonyms(users) if ids is None else ids
    rows = np.array([len(block) for block in before], dtype=np.int64)

    def named(codes: Any, names: Sequence[str]) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string()))

    def flat(blocks: list[Any]) -> Any:
        return np.concatenate([block.ravel() for block in blocks]) if blocks else np.zeros(0)

    seeds = [seed for assessment in judged for seed in assessment.measured.seeds]
    return {
        "cell": named(np.repeat(np.arange(len(judged)), rows * users), [a.cell.id for a in judged]),
        "seed": np.repeat(np.array(seeds, dtype=np.int64), users),
        "user": named(np.tile(np.arange(users), int(rows.sum())), called),
        "clean": flat(before),
        "attacked": flat(after),
    }


def _pseudonyms(count: int) -> list[str]:
    return [f"u{hashlib.blake2s(f'user {i}'.encode(), digest_size=5).hexdigest()}" for i in range(count)]
