"""TensorFlow Serving's REST predict.

Source: tensorflow.org/tfx/serving/api_rest: `POST /v1/models/{model}[/versions/{version}]:predict`, in row format
(`instances`, answered by `predictions`) or in columns (`inputs`, answered by `outputs`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from robust.errors import ModelFault
from robust.recommenders.adapters.http.description import NAME, Endpoint
from robust.recommenders.adapters.http.numbering import Numbering
from robust.recommenders.adapters.http.remote import Protocol


class TFServingAdapter(Endpoint):
    """A model behind TF Serving.

    Attributes:
        signature: the signature's name; by default the server's own.
        input: the name of the input, needed where a signature has several or asks for one.
        format: `rows` or `columns`.
        items, scores: names of the outputs with lists of ids, and with scores: of all items, or, beside `items`, of
            those. Without either, the answer is one unnamed output with the scores of all items.
    """

    model: str = Field(pattern=NAME)
    version: int | None = Field(default=None, ge=0)
    signature: str | None = None
    input: str | None = None
    format: Literal["rows", "columns"] = "rows"
    items: str | None = None
    scores: str | None = None

    @property
    def answers_lists(self) -> bool:
        """Whether an output with lists is named."""
        return self.items is not None

    def protocol(self, numbering: Numbering, metadata: Any) -> Protocol:
        """Rows or columns in and out."""
        rows, name = self.format == "rows", self.input

        def body(sequences: list[list[Any]], lengths: list[int]) -> Any:
            signature = {} if self.signature is None else {"signature_name": self.signature}
            if rows:
                return signature | {"instances": sequences if name is None else [{name: one} for one in sequences]}
            return signature | {"inputs": sequences if name is None else {name: sequences}}

        def output(answer: Any, key: str | None) -> Any:
            whole = "predictions" if rows else "outputs"
            if not isinstance(answer, dict) or not isinstance(answer.get(whole), list | dict):
                raise ModelFault(f"answered JSON without '{whole}'")
            found = answer[whole]
            if key is None:
                return found
            try:
                return [one[key] for one in found] if rows else found[key]
            except (KeyError, TypeError, IndexError) as error:
                raise ModelFault(f"answered '{whole}' without '{key}'") from error

        version = "" if self.version is None else f"/versions/{self.version}"
        return Protocol(
            path=f"/v1/models/{self.model}{version}:predict",
            numbering=numbering,
            body=body,
            items=(lambda answer, _: output(answer, self.items)) if self.items is not None else None,
            scores=None
            if self.items is not None and self.scores is None
            else lambda answer, _: output(answer, self.scores),
            k=self.k,
            may_be_short=self.may_be_short,
            batch_size=self.asked_at_once,
        )
