"""Immutable records that refuse unknown fields: specifications, settings, parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from robust.errors import InputError, UnknownName


class Frozen(BaseModel):
    """An immutable record that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Stated(Frozen):
    """A record that people write out in programs: what is wrong with it is said in one sentence.

    Raises:
        InputError: an unknown field, or a value of the wrong type or out of range.
    """

    if not TYPE_CHECKING:  # a checker is to see the fields

        def __init__(self, **given: Any) -> None:
            try:
                super().__init__(**given)
            except ValidationError as error:
                raise InputError(_fault(type(self), error)) from error


def _fault(kind: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    field, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return str(UnknownName(f"field of {kind.__name__}", field, kind.model_fields))
    if first["type"] == "missing":
        return f"{kind.__name__}: '{field}' is required."
    expected = said.replace("Input should be", "expected")
    return f"{kind.__name__}: {field} = {first['input']!r}: {expected[0].lower()}{expected[1:]}."
