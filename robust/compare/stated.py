"""What a run states of the ground that it stands on: of a finished one, and of one that has not begun."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robust.runner.results import CellResult, DatasetResult, Results

if TYPE_CHECKING:
    from robust.runner.prepare import Prepared

Key = tuple[str, str, str, str, str, str, str]
"""Of a cell: threat, model, attack, its parameters, budget, defence, planned on."""


@dataclass(frozen=True)
class Stated:
    """What tells whether two runs can be compared.

    Attributes:
        data: digest of the train rows, evaluated users and true next items; None in runs of older versions.
        scenario: as `results.json` has it.
        unmeasured: by cell, why it was not, or cannot be, measured; empty where it was, or may be.
    """

    dataset: DatasetResult
    data: str | None
    scenario: Mapping[str, Any]
    unmeasured: Mapping[Key, str]

    @classmethod
    def of(cls, results: Results) -> Stated:
        """Of a finished run."""
        reasons = {key_of(cell): "" if cell.points else cell.reason or "no reason is given" for cell in results.cells}
        return cls(results.dataset, results.environment.get("data"), results.scenario, reasons)

    @classmethod
    def of_review(cls, prepared: Prepared, seed: int) -> Stated:
        """Of a review, before anything of it is run."""
        from robust.runner.obstacles import obstacle, resolvable
        from robust.runner.review import dataset_result

        reasons: dict[Key, str] = {}
        for cell in prepared.cells:
            key = (
                cell.threat.id,
                cell.victim.spec.label,
                cell.attack_spec.name,
                _sorted(cell.attack_spec.parameters),
                cell.budget_spec.label,
                cell.defense_spec.label,
                cell.planned_on,
            )
            reasons[key] = obstacle(cell) or resolvable(cell, seed) or ""
        scenario = prepared.scenario.model_dump(mode="json", by_alias=True)
        return cls(dataset_result(prepared), prepared.ground.split.params["content"], scenario, reasons)

    @property
    def threats(self) -> dict[str, Mapping[str, Any]]:
        """By id."""
        return {threat["id"]: threat for threat in self.scenario.get("threats", ())}

    @property
    def victims(self) -> list[str]:
        """Names of the models, each once."""
        return list(dict.fromkeys(key[1] for key in self.unmeasured))


def key_of(cell: CellResult) -> Key:
    """By which a cell is found in another run."""
    return (
        cell.threat,
        cell.victim,
        cell.attack,
        _sorted(cell.attack_parameters),
        cell.budget,
        cell.defense,
        cell.planned_on,
    )


def renamed(key: Key, victim: str) -> Key:
    """The same cell of a model of another name."""
    return (key[0], victim, *key[2:])


def _sorted(parameters: Mapping[str, Any]) -> str:
    return json.dumps(parameters, sort_keys=True)
