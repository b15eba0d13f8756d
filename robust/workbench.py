"""Single tools on a log: poison it, or clean it, and write the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from robust import plugins
from robust.access import AccessView
from robust.attack import PoisoningAttack
from robust.datasets import load_dataset, open_log
from robust.defense import Sanitizer
from robust.errors import InputError, NotApplicable
from robust.log import InteractionLog
from robust.recommenders.answers import asked
from robust.runner.contradictions import beyond_catalogue, spent_in_vain
from robust.threat import Budget, BudgetSpec, Degrade, Demote, GoalSpec, Knowledge, Promote


def _open(source: str, columns: Mapping[str, str] | None) -> InteractionLog:
    """A file, folder or query; or a registered dataset, where no such file exists."""
    if source in plugins.names("datasets") and not Path(source).exists():
        return load_dataset(source)
    return open_log(source, columns=columns)


def parse_goal(text: str) -> GoalSpec:
    """`promote:ITEM[,ITEM…]`, `promote:cold*5`, `demote:…` or `degrade`.

    Raises:
        InputError: it cannot be read.
    """
    kind, _, targets = text.partition(":")
    if kind == "degrade" and not targets:
        return GoalSpec(degrade=True)
    if kind not in ("promote", "demote") or not targets:
        raise InputError(f"--goal '{text}': expected promote:ITEM[,ITEM…], promote:cold*5, demote:… or degrade.")
    listed: str | tuple[str, ...] = targets if "*" in targets else tuple(t.strip() for t in targets.split(","))
    try:
        return GoalSpec.model_validate({kind: listed})
    except ValidationError as error:
        raise InputError(f"--goal '{text}': {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from error


def parse_budget(text: str) -> BudgetSpec:
    """`users=1%`, `users=50,profile_length=20`.

    Raises:
        InputError: it cannot be read.
    """
    pairs: dict[str, Any] = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator:
            raise InputError(f"--budget '{text}': expected NAME=VALUE[,NAME=VALUE], such as users=1%.")
        pairs[key.strip()] = int(value) if value.strip().isdigit() else value.strip()
    try:
        return BudgetSpec.model_validate(pairs)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "budget"
        raise InputError(
            f"--budget '{text}': {field}: {first['msg'].removeprefix('Value error, ')}. "
            f"Known: {', '.join(BudgetSpec.model_fields)}."
        ) from error


def _spendable(attack: PoisoningAttack, allowed: BudgetSpec, text: str, log: InteractionLog) -> Budget:
    """The budget in whole units.

    Raises:
        InputError: it is nothing that this attack can spend on this log.
    """
    said = spent_in_vain(attack, attack.name, allowed) or beyond_catalogue(allowed, log)
    spent = allowed.resolve(log)
    if said is None and not (spent.users or spent.rows):
        active = int((log.lengths > 0).sum())
        said = f"of {active:,} users and {len(log):,} rows that is not a single one. State more."
    if said is not None:
        raise InputError(f"--budget '{text}': {said}")
    return spent


def _check_promotable(goal: Promote | Demote | Degrade, log: InteractionLog) -> None:
    users = np.count_nonzero(log.lengths)
    held = [item for item in goal.items if log.holders[item] == users]
    if goal.kind == "promote" and held:
        raise InputError(
            f"Target '{_item_names(log)[held[0] - 1]}' is held by all {users} users of {log.name} already, so there is "
            "nobody to promote it to. Choose another item."
        )


def write_attacked(
    name: str,
    source: str,
    *,
    goal: str,
    budget: str,
    out: Path,
    settings: Mapping[str, Any],
    columns: Mapping[str, str] | None,
    seed: int,
) -> list[dict[str, Any]]:
    """Poison a log and write it; fake users are named `fake-1`, `fake-2`, … Returns what was done, as rows.

    Raises:
        InputError: not a poisoning attack, or anything else that the user has to mend.
    """
    attack = plugins.build("attacks", name, settings)
    if not isinstance(attack, PoisoningAttack):
        raise InputError(f"'{name}' does not change a log; poisoning attacks do, such as 'random' or 'bandwagon'.")
    if attack.model_access != "none":
        raise InputError(f"'{name}' needs a model; use it in a scenario.")
    wanted, allowed = parse_goal(goal), parse_budget(budget)
    if wanted.kind not in attack.goals:
        raise InputError(f"--goal '{goal}': '{name}' pursues {', '.join(sorted(attack.goals))}, not {wanted.kind}.")
    log = _open(source, columns)
    rng = np.random.default_rng(seed)
    spent = _spendable(attack, allowed, budget, log)
    try:
        concrete = wanted.resolve(log, rng)
    except NotApplicable as error:
        raise InputError(f"--goal '{goal}': {error}") from error
    _check_promotable(concrete, log)
    access = AccessView(attack=name, knowledge=Knowledge(log="full"), n_items=log.n_items, log=log)
    edit = asked(attack, "poison", lambda: attack(access, concrete, spent, rng)).edit
    poisoned = edit.apply(log)
    fakes = [f"fake-{i + 1}" for i in range(edit.fake_users)]
    _write_log(poisoned, out, np.concatenate([_user_names(log), np.array(fakes, dtype=str)]))
    return [
        {
            "written": str(out),
            "fake users": edit.fake_users,
            "rows added": len(poisoned) - len(log),
            "targets": ", ".join(str(_item_names(log)[i - 1]) for i in concrete.items),
        }
    ]


def write_sanitized(
    name: str,
    source: str,
    *,
    out: Path,
    settings: Mapping[str, Any],
    columns: Mapping[str, str] | None,
    seed: int,
) -> list[dict[str, Any]]:
    """Clean a log; writes the kept rows, and every user's suspicion to `OUT.suspicion.csv`.

    Raises:
        InputError: not a sanitiser, or anything else that the user has to mend.
    """
    sanitizer = plugins.build("defenses", name, settings)
    if not isinstance(sanitizer, Sanitizer):
        raise InputError(f"'{name}' does not clean a log; sanitisers do, such as 'pca'.")
    log = _open(source, columns)
    sanitizer.check_log(log)
    suspicion = asked(sanitizer, "suspicion", lambda: sanitizer.suspicion(log, np.random.default_rng(seed)))
    suspects = sanitizer.suspects(suspicion, log)
    kept = sanitizer.clean(log, np.random.default_rng(seed))
    _write_log(kept, out, _user_names(log))
    scores = out.with_name(out.name + ".suspicion.csv")
    _write_table({"user": _user_names(log), "suspicion": suspicion, "removed": suspects}, scores)
    return [
        {
            "written": str(out),
            "scores": str(scores),
            "users removed": int((suspects & (log.lengths > 0)).sum()),
            "rows kept": f"{len(kept):,} of {len(log):,}",
        }
    ]


def _user_names(log: InteractionLog) -> np.ndarray[Any, Any]:
    return np.arange(log.n_users).astype(str) if log.user_ids is None else np.asarray(log.user_ids).astype(str)


def _item_names(log: InteractionLog) -> np.ndarray[Any, Any]:
    return np.arange(1, log.n_items + 1) if log.item_ids is None else np.asarray(log.item_ids)


def _write_log(log: InteractionLog, out: Path, users: np.ndarray[Any, Any]) -> None:
    items = _item_names(log)
    _write_table({"user": users[log.user], "item": items[log.item - 1], "timestamp": log.timestamp}, out)


def _write_table(columns: Mapping[str, Any], out: Path) -> None:
    """CSV, or Parquet by suffix; to a temporary name, then renamed."""
    import io

    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    from robust.runner.store import write_atomically

    table = pa.table({name: pa.array(values.tolist()) for name, values in columns.items()})
    buffer = io.BytesIO()
    if out.suffix == ".parquet":
        pyarrow.parquet.write_table(table, buffer, compression="zstd")
    else:
        pyarrow.csv.write_csv(table, buffer)
    try:
        write_atomically(out, buffer.getvalue())
    except OSError as error:
        raise InputError(f"'{out}' cannot be written: {error.strerror or error}.") from error
