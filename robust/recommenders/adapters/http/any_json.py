"""Any endpoint that takes JSON and answers JSON: a template for the request, JMESPath expressions for the answer.

Source of the path language: jmespath.org.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from robust.errors import ModelFault
from robust.recommenders.adapters.base import require
from robust.recommenders.adapters.http.description import Endpoint
from robust.recommenders.adapters.http.numbering import Numbering
from robust.recommenders.adapters.http.remote import Protocol
from robust.recommenders.adapters.http.template import EACH, NAMES, filled, placeholders


class Response(BaseModel):
    """Where the answer holds lists of ids, and scores: of all items, or, beside `items`, of those."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: str | None = None
    scores: str | None = None

    @field_validator("items", "scores")
    @classmethod
    def _path(cls, path: str | None) -> str | None:
        if path is not None:
            jmespath = require("jmespath", "http")
            try:
                jmespath.compile(path)
            except jmespath.exceptions.JMESPathError as error:
                raise ValueError(f"'{path}' is no JMESPath expression: {str(error).splitlines()[0]}") from error
        return path

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.items is None and self.scores is None:
            raise ValueError("say where the answer is: items (with k), or scores of all items")
        return self


class JsonAdapter(Endpoint):
    """An endpoint of any form.

    Attributes:
        request: the body to POST. In it `$sequences` stands for a list of sequences, `$k` for k, `$batch` for how many
            sequences there are, `$lengths` for their lengths; `{$each: …}` is repeated for each sequence, which is
            `$sequence` in it. With `$sequence` outside of `$each`, a request asks for one sequence.
        response: JMESPath expressions. For several sequences they must lead to one list for each.
    """

    request: Any
    response: Response

    @property
    def single(self) -> bool:
        """Whether a request holds one sequence."""
        return "$sequence" in placeholders(self.request)

    @property
    def answers_lists(self) -> bool:
        """Whether the answer holds lists."""
        return self.response.items is not None

    @property
    def asked_at_once(self) -> int:
        """One, where a request holds one sequence."""
        return 1 if self.single else self.batch_size

    @property
    def rectangular(self) -> bool:
        """JSON's lists may be of any length."""
        return False

    @model_validator(mode="after")
    def _asks(self) -> Self:
        found = list(placeholders(self.request))
        if unknown := [name for name in found if name not in NAMES]:
            raise ValueError(f"request: there is no placeholder {unknown[0]}. Known: {', '.join(NAMES)}")
        if sum(name in ("$sequence", "$sequences", EACH) for name in found) != 1:
            raise ValueError("request: one of $sequence, $sequences and {$each: … $sequence …} must stand in it, once")
        return self

    def protocol(self, numbering: Numbering, metadata: Any) -> Protocol:
        """The filled template in, what the paths lead to out."""
        jmespath = require("jmespath", "http")
        single = self.single

        def body(sequences: list[list[Any]], lengths: list[int]) -> Any:
            values: dict[str, Any] = {"$k": self.k, "$batch": len(sequences), "$sequences": sequences}
            values["$lengths"] = lengths[0] if single else lengths
            return filled(self.request, values | ({"$sequence": sequences[0]} if single else {}))

        def at(path: str | None) -> Any:
            if path is None:
                return None
            expression = jmespath.compile(path)

            def search(answer: Any, rows: int) -> Any:
                try:
                    found = expression.search(answer)
                except jmespath.exceptions.JMESPathError as error:
                    raise ModelFault(f"answered JSON in which '{path}' cannot be looked up") from error
                if found is None:
                    raise ModelFault(f"answered JSON that has nothing at '{path}'")
                return [found] if single else found

            return search

        return Protocol(
            path="",
            numbering=numbering,
            body=body,
            items=at(self.response.items),
            scores=at(self.response.scores),
            k=self.k,
            may_be_short=self.may_be_short,
            batch_size=self.asked_at_once,
        )
