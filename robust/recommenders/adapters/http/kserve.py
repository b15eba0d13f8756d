"""The Open Inference Protocol, version 2, over REST: KServe, Triton, MLServer, TorchServe, OpenVINO.

Source: github.com/kserve/open-inference-protocol, `specification/protocol/inference_rest.md`: one tensor of ids goes
in, `POST /v2/models/{model}[/versions/{version}]/infer`; `GET` of the same without `/infer` names inputs and outputs.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from pydantic import Field

from robust.errors import InputError, ModelFault
from robust.recommenders.adapters.http.description import NAME, Endpoint
from robust.recommenders.adapters.http.numbering import Numbering
from robust.recommenders.adapters.http.remote import Protocol
from robust.recommenders.adapters.http.template import filled


class KServeAdapter(Endpoint):
    """A model behind KServe v2.

    Attributes:
        input, datatype: of the tensor that takes the sequences; by default as the server says.
        items, scores: outputs with lists of ids, and with scores: of all items, or, beside `items`, of those.
        extra_inputs: further tensors as they are sent; `$k`, `$batch` and `$lengths` stand for their values.
        parameters: of the request, as they are sent.
    """

    model: str = Field(pattern=NAME)
    version: str | None = Field(default=None, pattern=NAME, coerce_numbers_to_str=True)
    input: str | None = None
    datatype: str | None = None
    items: str | None = None
    scores: str | None = None
    extra_inputs: list[dict[str, Any]] = Field(default_factory=list)
    parameters: dict[str, Any] = Field(default_factory=dict)

    @property
    def answers_lists(self) -> bool:
        """Whether an output with lists is named."""
        return self.items is not None

    @property
    def _model(self) -> str:
        return f"/v2/models/{self.model}" + (f"/versions/{self.version}" if self.version else "")

    def about(self) -> str | None:
        """The model's metadata, where the description leaves names open."""
        open_names = self.input is None or self.datatype is None or (self.items is None and self.scores is None)
        return self._model if open_names else None

    def protocol(self, numbering: Numbering, metadata: Any) -> Protocol:
        """Tensors in, tensors out.

        Raises:
            InputError: a name is left open, and the server's metadata does not settle it.
        """
        name, datatype = self.input, self.datatype
        if name is None or datatype is None:
            tensor = self._only(metadata, "inputs", self.input)
            name, datatype = tensor["name"], self.datatype or tensor["datatype"]
        items, scores = self.items, self.scores
        if items is None and scores is None:
            scores = self._only(metadata, "outputs", None)["name"]
        named = [one for one in (items, scores) if one is not None]

        def body(sequences: list[list[Any]], lengths: list[int]) -> Any:
            values = {"$k": self.k, "$batch": len(sequences), "$lengths": lengths, "$sequences": sequences}
            flat = [one for row in sequences for one in row]
            shape = [len(sequences), len(sequences[0])]
            tensor = {"name": name, "shape": shape, "datatype": datatype, "data": flat}
            asked = {
                # optional, but models of the KServe SDK that hand it back fail without one
                "id": hashlib.sha256(repr(flat).encode()).hexdigest()[:16],
                "inputs": [tensor, *filled(self.extra_inputs, values)],
                "outputs": [{"name": n} for n in named],
            }
            return asked | ({"parameters": self.parameters} if self.parameters else {})

        return Protocol(
            path=f"{self._model}/infer",
            numbering=numbering,
            body=body,
            items=None if items is None else lambda answer, rows: tensor_of(answer, items, rows).tolist(),
            scores=None if scores is None else lambda answer, rows: self._scores(answer, scores, rows),
            k=self.k,
            may_be_short=self.may_be_short,
            batch_size=self.asked_at_once,
        )

    def _scores(self, answer: Any, name: str, rows: int) -> Any:
        tensor = tensor_of(answer, name, rows)
        return tensor.tolist() if self.answers_lists else tensor

    def _only(self, metadata: Any, which: str, name: str | None) -> dict[str, str]:
        """The one input or output that the server describes (or the one of this name)."""
        found = metadata.get(which) if isinstance(metadata, dict) else None
        fine = [
            one
            for one in (found if isinstance(found, list) else [])
            if isinstance(one, dict) and all(isinstance(one.get(key), str) for key in ("name", "datatype"))
        ]
        chosen = [one for one in fine if name in (None, one["name"])]
        if len(chosen) != 1:
            names = ", ".join(one["name"] for one in fine) or "none"
            keys = "input and datatype" if which == "inputs" else "scores (of all items), or items and k (lists)"
            raise InputError(
                f"The model '{self.model}' describes {len(fine)} {which}: {names[:200]}. Name the one that is meant: "
                f"{keys}."
            )
        return chosen[0]


def tensor_of(answer: Any, name: str, rows: int) -> Any:
    """An output as an array of its shape, [rows, …].

    Raises:
        ModelFault: there is no such output, or its data does not fill its shape.
    """
    outputs = answer.get("outputs") if isinstance(answer, dict) else None
    if not isinstance(outputs, list):
        raise ModelFault("answered JSON without a list 'outputs'")
    named = {str(one.get("name")): one for one in outputs if isinstance(one, dict)}
    if name not in named:
        raise ModelFault(f"answered the outputs {', '.join(named) or '(none)'}, without '{name}'")
    shape, data = named[name].get("shape"), named[name].get("data")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape) or not isinstance(data, list):
        raise ModelFault(f"answered the output '{name}' without a shape and data")
    try:
        array = np.asarray(data)
    except (ValueError, OverflowError) as error:
        raise ModelFault(f"answered the output '{name}' with ragged data") from error
    if math.prod(shape) != array.size or not shape or shape[0] != rows:
        raise ModelFault(
            f"answered the output '{name}' of shape {shape} with {array.size} values, for {rows} sequences asked"
        )
    return array.reshape(shape)
