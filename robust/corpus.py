"""A folder of counterexamples that a project keeps: written when a bound breaks, tried first from then on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import ValidationError

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.counterexamples import Counterexample
from robust.edits import Edit, apply_to_rows
from robust.errors import InputError
from robust.harm import harm_against
from robust.log import SequenceBatch
from robust.threat import Budget


class Replay(EvasionAttack):
    """The edits of old counterexamples, each tried on every sequence; the most harmful, by lists alone, are kept.

    Attributes:
        scripts: lists of edits; those that are longer than the budget are left out. k: how long a list is looked at.
    """

    name: ClassVar[str] = "corpus"
    source: ClassVar[str] = "the counterexamples that this project keeps"

    scripts: tuple[tuple[Edit, ...], ...]
    k: int = 10

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """int32 [B, L + edits]; a script that a sequence is too short for does nothing there."""
        room = np.pad(sequences.items, ((0, 0), (budget.edits or 0, 0)))
        kept, most, every = room.copy(), np.zeros(len(room)), np.arange(len(room))
        harm = harm_against(access.model.recommend(sequences, self.k), goal, access.next_items(sequences))
        for script in self.scripts:
            if len(script) > (budget.edits or 0):
                continue
            tried = apply_to_rows(room, script)
            asked = SequenceBatch(tried, sequences.users).truncate(sequences.width)
            hurt = harm(every, access.model.recommend(asked, self.k))
            better = hurt > most
            kept[better], most[better] = tried[better], hurt[better]
        return SequenceBatch(kept, sequences.users)


def replay(corpus: list[Counterexample]) -> Replay | None:
    """An attack that tries their edits; None without any."""
    scripts = tuple(dict.fromkeys(example.edits for example in corpus if example.edits))
    return Replay(scripts=scripts) if scripts else None


def save(example: Counterexample, folder: Path) -> Path:
    """Write it as readable JSON into a folder that you keep; the same counterexample has the same file.

    Raises:
        InputError: the folder cannot be written.
    """
    path = folder / f"{example.name}.json"
    record = {**example.model_dump(mode="json"), "edits": [str(edit) for edit in example.edits]}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())
        path.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"The counterexample cannot be written to '{folder}': {error}.") from error
    return path


def read_corpus(folder: Path) -> list[Counterexample]:
    """All counterexamples of a folder, by file name; none if it does not exist yet.

    Raises:
        InputError: a JSON file in it that holds none.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(record, dict):
                raise ValueError(f"a {type(record).__name__}, not an object")
            record.pop("edits", None)  # for people; they follow from the two sequences
            found.append(Counterexample.model_validate(record))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise InputError(
                f"'{path}' holds no counterexample: {field}: {first['msg']}. Mend it, or delete it."
            ) from error
        except (OSError, ValueError) as error:
            said = str(error).splitlines()[0]
            raise InputError(f"'{path}' holds no counterexample: {said}. Mend it, or delete it.") from error
    return found
