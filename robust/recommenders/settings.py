"""Settings of the neural victims, as typed fields; an unknown one is an error that names the nearest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from robust.errors import InputError, UnknownName
from robust.frozen import Frozen


class TrainingSettings(Frozen):
    """What the training loop needs to know.

    Attributes:
        context: the newest items of a sequence that the model sees.
        dimension: of the item embeddings. dropout: rate, in steps of 1/256.
        learning_rate: Adam's highest; it rises over the first `warm_up` of the steps, then falls to 0 by a cosine.
        batch_size: windows per step. weight_decay: decoupled (AdamW), on matrices other than the item table.
        max_epochs: passes over the log in a fit, but at least `min_steps` steps (a small log), at most `max_steps`.
        patience: validations without improvement that end it earlier; there are `validations` of them in a fit,
            evenly spread, on the last item of `validation_share` of the users, at most `validation_users`.
        loss: `full` softmax over all items, `sampled` with `negatives` shared by a step's positions, or `auto`:
            sampled where the catalogue has more than `full_softmax_items`.
        resume_rate: the highest learning rate when training is resumed, as a share of `learning_rate`.
        update_share: an update takes this share of the fit's steps, times its rows over all rows learnt before.
    """

    context: int = Field(default=50, ge=1)
    dimension: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    learning_rate: float = Field(default=5e-3, gt=0)
    warm_up: float = Field(default=0.05, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=64, ge=1)
    max_epochs: int = Field(default=15, ge=1)
    min_steps: int = Field(default=400, ge=1)
    max_steps: int = Field(default=4000, ge=1)
    patience: int = Field(default=10, ge=1)
    validations: int = Field(default=20, ge=1)
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    validation_users: int = Field(default=1000, ge=0)
    loss: Literal["auto", "full", "sampled"] = "auto"
    full_softmax_items: int = Field(default=2000, ge=1)
    negatives: int = Field(default=512, ge=1)
    resume_rate: float = Field(default=1.0, gt=0, le=1)
    update_share: float = Field(default=1.0, gt=0)


Settings = TypeVar("Settings", bound=Frozen)


def parse(kind: type[Settings], owner: str, given: Mapping[str, Any]) -> Settings:
    """Settings of this kind from keyword arguments.

    Raises:
        UnknownName: a setting that does not exist, with the nearest that does.
        InputError: a value of the wrong type or out of range.
    """
    unknown = [name for name in given if name not in kind.model_fields]
    if unknown:
        raise UnknownName(f"setting of {owner}", unknown[0], kind.model_fields)
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise InputError(f"{owner}: {said}.") from error
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{owner}: setting '{where}' = {first['input']!r}: {said}.") from error
