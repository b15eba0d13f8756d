"""A model behind a mapping: what holds for torch modules, ONNX files and TorchScript files alike."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from robust.errors import InputError, ModelFault
from robust.log import Int64, SequenceBatch
from robust.recommenders.adapters.mapping import Arranged, SequenceMapping, arrange, at_step, located
from robust.recommenders.answers import as_array
from robust.recommenders.protocols import Capability, Float32

CHUNK = 256
"""Rows per call, at most."""
CELLS = 2**26
"""Scores per call, at most, of a model that returns them for every step: 256 MB."""

NO_FIT = "it is one trained model; how it is made can be told by adapter: command (docs/your-model.md)"


class MappedModel:
    """Scores every item for sequences, through a mapping.

    Attributes:
        n_items: from the mapping, the vocabulary, or the number of output columns.
        context: how many of the newest items the model reads; 0 where the mapping sets no length.
        description: the mapping as JSON, which a fingerprint sees.
        gradients: through what they go; "" where there are none. no_gradients: why there are none; "" where there are.
    """

    n_items: int
    gradients = no_gradients = ""

    def __init__(self, mapping: SequenceMapping, folder: Path) -> None:
        self._mapping = mapping
        self._listed = mapping.ids.listed(folder)
        self.context = mapping.padding.length or 0
        self.description = mapping.model_dump_json(exclude={"n_items"})

    @property
    def lacks(self) -> dict[Capability, str]:
        """Why it does not offer what it does not."""
        lacking: dict[Capability, str] = {"fit": NO_FIT}
        return lacking | ({"gradients": self.no_gradients} if self.no_gradients else {})

    @abstractmethod
    def _ask(self, arranged: Arranged) -> Any:
        """What the model returns for these rows: nested, of numpy or torch."""

    def _connect(self) -> None:
        """Ask for one row, and settle how many items there are and which columns are theirs.

        Raises:
            InputError: the answer has another form than the mapping says, or too few columns.
        """
        mapping, listed = self._mapping, self._listed
        number = int(listed[0]) if listed is not None else mapping.ids.offset + 1
        probe = arrange(SequenceBatch([[1]]), np.array([mapping.padding.id, number]), mapping.padding)
        try:
            answer = self._ask(probe)
            width = int(self._scores(answer, probe).shape[1])
        except ModelFault as error:
            raise InputError(f"The model could not be asked for one row as the mapping says: {error}") from error
        self._per_step = width if self._located(answer).ndim == 3 else 0
        lowest = int(listed.min()) if listed is not None else number
        shift = 0 if mapping.output.first is None else mapping.output.first - lowest
        room = width - lowest - shift
        if mapping.padding.id + shift == width - 1 and room > 1:
            room -= 1  # the last column is the padding's
        self.n_items = len(listed) if listed is not None else mapping.n_items or max(room, 0)
        self._table: Int64 = mapping.ids.table(self.n_items, mapping.padding.id, listed)
        self._columns: Int64 = self._table[1:] + shift
        highest = int(self._columns.max(initial=0))
        if self.n_items < 1 or highest >= width or (mapping.n_items or self.n_items) != self.n_items:
            raise InputError(
                f"The output has {width} columns, which doesn't fit {self.n_items} items of which the last would stand "
                f"in column {highest} (from 0). Say which column is the first item's with output: {{first: 0}}, or "
                "correct ids or n_items."
            )

    def _scores(self, answer: Any, arranged: Arranged) -> Any:
        """[B, V] of numpy or torch."""
        return at_step(self._located(answer), self._mapping, arranged.lengths)

    def _located(self, answer: Any) -> Any:
        """[B, V] or [B, W, V] in what the model returned."""
        return located(answer, self._mapping.output.path)

    def _arrange(self, sequences: SequenceBatch) -> Arranged:
        return arrange(sequences, self._table, self._mapping.padding)

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1]; column 0 is −inf.

        A row without items is shown to the model as one padding. Where it has no answer to that (NaN), all items tie.
        """
        scores = np.full((len(sequences), self.n_items + 1), -np.inf, np.float32)
        length = self.context or sequences.width
        size = max(min(CHUNK, CELLS // max(length * self._per_step, 1)), 1)
        for start in range(0, len(sequences), size):
            arranged = self._arrange(sequences[start : start + size])
            rows = as_array(self._scores(self._ask(arranged), arranged)).astype(np.float32)[:, self._columns]
            silent = (arranged.lengths == 0)[:, None] & np.isnan(rows)
            scores[start : start + len(rows), 1:] = np.where(silent, np.float32(0), rows)
        return scores
