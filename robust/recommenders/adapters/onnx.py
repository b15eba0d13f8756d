"""ONNX files, run by ONNX Runtime on the CPU. They hold a graph of known operators and execute nothing else.

Inputs are named in the file with their types and shapes, so integers are cast to what each input takes, and a fixed
batch or length in the file is kept to.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError, ModelFault, UnknownName
from robust.recommenders.adapters.base import Adapter, inside, require
from robust.recommenders.adapters.mapped import MappedModel
from robust.recommenders.adapters.mapping import Arranged, SequenceMapping

_TYPES: dict[str, Any] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
}


class OnnxModel(MappedModel):
    """A session as a recommender that scores.

    Attributes:
        digest: of the file, which a fingerprint sees.
    """

    no_gradients = "ONNX Runtime computes forwards only"

    def __init__(self, path: Path, mapping: SequenceMapping, folder: Path) -> None:
        self._session = _session(path)
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self._inputs = {one.name: one for one in self._session.get_inputs()}
        names = list(self._inputs)
        self._sequence = _name(mapping.sequence, names)
        self._extra = {_name(key, names): value for key, value in mapping.extra.items()}
        missing = [name for name in names if name != self._sequence and name not in self._extra]
        if missing:
            raise InputError(f"'{path}' has more inputs: say with 'extra' what {', '.join(missing)} should be given.")
        shape = [size if isinstance(size, int) else None for size in self._inputs[self._sequence].shape]
        if len(shape) != 2:
            raise InputError(f"The input '{self._sequence}' takes {len(shape)} dimensions, expected two, [B, L].")
        self._batch, fixed = shape
        if fixed is not None and mapping.padding.length not in (None, fixed):
            raise InputError(f"padding.length is {mapping.padding.length}, but '{self._sequence}' takes {fixed}.")
        if fixed is not None:
            padding = mapping.padding.model_copy(update={"length": fixed})
            mapping = mapping.model_copy(update={"padding": padding})
        self._outputs = [one.name for one in self._session.get_outputs()]
        super().__init__(mapping, folder)
        self._connect()

    def __repr__(self) -> str:
        return f"OnnxModel({', '.join(self._inputs)} -> {', '.join(self._outputs)}, {self.n_items} items)"

    def _ask(self, arranged: Arranged) -> Any:
        """What the graph returns: its only output, or all of them by name or position, as the mapping asks."""
        values: dict[str, Any] = {self._sequence: arranged.numbers}
        values |= {name: arranged.extra(value) for name, value in self._extra.items()}
        feed = {name: self._cast(name, value) for name, value in values.items()}
        rows = len(arranged.lengths)
        size = self._batch or rows
        parts = [self._run(feed, start, size, rows) for start in range(0, rows, size)]
        answers = [np.concatenate(part)[:rows] for part in zip(*parts, strict=True)]
        path = self._mapping.output.path
        if path is None and len(answers) == 1:
            return answers[0]
        return answers if str(path).isdigit() else dict(zip(self._outputs, answers, strict=True))

    def _run(self, feed: dict[str, NDArray[Any]], start: int, size: int, rows: int) -> list[NDArray[Any]]:
        """One batch, filled up with copies of its last row where the file fixes the number of rows."""
        index = np.minimum(np.arange(start, start + size), rows - 1)
        batch = {name: value[index] if value.ndim and len(value) == rows else value for name, value in feed.items()}
        try:
            answers: list[NDArray[Any]] = self._session.run(None, batch)
        except Exception as error:  # onnxruntime's errors have no common base class
            raise ModelFault(f"ONNX Runtime: {str(error).splitlines()[0]}") from error
        return answers

    def _cast(self, name: str, value: Any) -> NDArray[Any]:
        kind = self._inputs[name].type
        if kind not in _TYPES:
            raise InputError(f"The input '{name}' takes {kind}; expected one of {', '.join(_TYPES)}.")
        array = np.asarray(value).astype(_TYPES[kind])
        declared = self._inputs[name].shape
        # a constant for an input with dimensions
        return (
            array if array.ndim or not declared else np.full([n if isinstance(n, int) else 1 for n in declared], array)
        )


class OnnxAdapter(SequenceMapping, Adapter):
    """`adapter: onnx`.

    Attributes:
        file: the model; weights that it keeps beside itself are found there. `output.path` names an output where there
            are several.
    """

    file: str

    def open(self, folder: Path) -> OnnxModel:
        """The session, connected.

        Raises:
            InputError: onnxruntime isn't installed; no such file, or not ONNX; inputs that the mapping doesn't fit.
        """
        return OnnxModel(inside(folder, self.file), self, folder)


def _session(path: Path) -> Any:
    onnxruntime = require("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    # one thread, as in a worker: the same sums in the same order however many cores there are
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise InputError(f"'{path}' cannot be loaded by ONNX Runtime: {str(error).splitlines()[0]}") from error


def _name(key: str | int, names: list[str]) -> str:
    """An input's name, from its name or position."""
    if str(key) in names:
        return str(key)
    if str(key).isdigit() and int(key) < len(names):
        return names[int(key)]
    raise UnknownName("input of this ONNX file", str(key), names)
