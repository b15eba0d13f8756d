"""Scenarios: what to attack, how hard, and what must hold, as it stands in YAML and is validated by pydantic.

How a file becomes one of these, and how an error is told, is in `reading`.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, field_validator, model_validator

from robust import plugins
from robust.attack import Attack
from robust.bounds import Bound
from robust.datasets.query_text import parse_query
from robust.defense import Defense
from robust.errors import InputError, UnknownName
from robust.extraction import Extraction
from robust.frozen import Frozen
from robust.runner.contradictions import check_scenario, check_threat
from robust.threat import BudgetSpec, GoalSpec, Knowledge

LOOKS = (3, 5, 10)
NO_SURROGATE = "none"


def _named(value: Any) -> Any:
    """`pgd` and `{name: pgd, steps: 20}` alike."""
    return {"name": value} if isinstance(value, str) else value


def _gathered(value: Any, kind: type[Frozen], rest: str) -> Any:
    """`{name: pgd, steps: 20}` with all that is no field of its own under `rest`."""
    value = _named(value)
    if not isinstance(value, dict) or rest in value:
        return value
    own = {key: value.get(key) for key in kind.model_fields if key != rest}
    return {**own, rest: {key: inner for key, inner in value.items() if key not in kind.model_fields}}


class AttackSpec(Frozen):
    """An attack's name and parameters, validated against the plugin's own fields."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        return _gathered(value, cls, "parameters")

    @model_validator(mode="after")
    def _valid(self) -> Self:
        _valid_plugin("attacks", self.name, self.parameters)
        return self

    def build(self) -> Attack:
        """The attack itself."""
        return cast(Attack, plugins.build("attacks", self.name, self.parameters))

    @property
    def label(self) -> str:
        """Name and parameters that differ from the defaults, as a report shows them."""
        return label(self.name, self.parameters)


class DefenseSpec(Frozen):
    """A defence's name and parameters; `against` limits it to some attacks."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    against: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        return _gathered(value, cls, "parameters")

    @model_validator(mode="after")
    def _valid(self) -> Self:
        if self.name != "none":
            _valid_plugin("defenses", self.name, self.parameters)
        return self

    def build(self) -> Defense | None:
        """The defence itself; None for `none`."""
        if self.name == "none":
            return None
        return cast(Defense, plugins.build("defenses", self.name, self.parameters))

    @property
    def label(self) -> str:
        """Name and parameters, as a report shows them."""
        return label(self.name, self.parameters)


def label(name: str, parameters: dict[str, Any]) -> str:
    """`pgd` or `pgd(steps=20)`."""
    shown = ", ".join(f"{key}={value}" for key, value in sorted(parameters.items()))
    return f"{name}({shown})" if shown else name


def _valid_plugin(kind: Literal["attacks", "defenses"], name: str, parameters: dict[str, Any]) -> None:
    """Construct it once; as a ValueError, so that pydantic adds where in the scenario it stands."""
    try:
        plugins.build(kind, name, parameters)
    except InputError as error:
        raise ValueError(str(error)) from error


class VictimSpec(Frozen):
    """A recommender's SPEC and, for a built-in, its settings."""

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        return _gathered(value, cls, "settings")

    @property
    def label(self) -> str:
        """Name and settings, as a report shows them."""
        return label(self.name, self.settings)


class SurrogateSpec(VictimSpec):
    """The attacker's own model: trained on the train rows, or, with `extract`, on nothing but the victim's lists.

    A threat with the surrogate `none` has no such model.
    """

    extract: Extraction | None = None

    @property
    def label(self) -> str:
        """Name and settings, and where it comes from if not from the log."""
        own = super().label
        return own if self.extract is None else f"{own} from {self.extract.spent:,} lists"


class LogFile(Frozen):
    """A log in a file or folder, or what a query gives.

    Attributes:
        query: one SELECT. database: a DuckDB file, or the folder whose files it names (else the scenario's own).
        names: a file with the items' names.
    """

    file: str | None = None
    query: str | None = None
    database: str | None = None
    columns: dict[str, str] | None = None
    core: int = Field(default=0, ge=0)
    vocabulary: str | None = None
    names: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _split_query(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(given := value.get("file"), str) and "query" not in value:
            try:
                asked = parse_query(given)
            except InputError as error:
                raise ValueError(str(error)) from error
            if asked is not None:
                return {**value, "file": None, "query": asked.sql, "database": asked.source}
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.query is None):
            raise ValueError("a log comes from a file or from a query: give one of file: and query:")
        if self.database is not None and self.query is None:
            raise ValueError("a database needs a query: query: SELECT user, item, timestamp FROM …")
        return self


class GlobalTime(Frozen):
    """Train before the cut, test on the first event after it."""

    share: float = Field(default=0.9, gt=0, lt=1, alias="global-time")


class WarmStart(Frozen):
    """Retrain by training the clean checkpoint further, for this share of the steps that its own fit took."""

    warm: float = Field(default=0.25, gt=0, le=1)


def _retrain(value: Any) -> Any:
    return WarmStart() if value == "warm" else value


Planned = Literal["plain", "protected", "surrogate"]


class Threat(Frozen):
    """One threat: attacks × budgets × defences under one goal, knowledge and bound.

    Attributes:
        plan: on what attacks that look at a model are planned: the plain victim, the protected one, or a `surrogate`,
            the attacker's own model (a transfer attack).
        surrogate: that model. Without being asked, an attack that needs more than the victim gives is planned on a
            copy made from the victim's lists, unless this is `none`.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str = ""
    goal: GoalSpec
    knowledge: Knowledge = Knowledge()
    attacks: tuple[AttackSpec, ...] = Field(min_length=1)
    budgets: tuple[BudgetSpec, ...] = Field(min_length=1)
    defenses: tuple[DefenseSpec, ...] = (DefenseSpec(name="none"),)
    plan: tuple[Planned, ...] = Field(default=("plain", "protected"), min_length=1)
    surrogate: SurrogateSpec = SurrogateSpec(name="gru4rec")
    bound: Bound

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = {spec.name for spec in self.attacks}
        for spec in self.attacks:
            attack = spec.build()
            if self.goal.kind not in attack.goals:
                raise ValueError(f"'{spec.name}' pursues {', '.join(sorted(attack.goals))}, not {self.goal.kind}")
            if set(self.plan) != {"surrogate"} and not self.knowledge.grants_model(attack.model_access):
                raise ValueError(
                    f"'{spec.name}' needs {attack.model_access} of the model, but knowledge.model is "
                    f"'{self.knowledge.model}'"
                )
            order = ("none", "popularity", "full")
            if order.index(self.knowledge.log) < order.index(attack.needs_log):
                raise ValueError(
                    f"'{spec.label}' needs knowledge.log '{attack.needs_log}', but it is '{self.knowledge.log}'"
                )
        for defense in self.defenses:
            for name in defense.against or ():
                if name not in names:
                    raise ValueError(str(UnknownName("attack of this threat", name, names)))
        if "surrogate" in self.plan and self.surrogate.name == NO_SURROGATE:
            raise ValueError("plan: surrogate needs a model of the attacker's own: surrogate: gru4rec")
        if "surrogate" in self.plan and self.surrogate.extract is not None:
            if not self.knowledge.grants_model("lists"):
                raise ValueError("a surrogate is extracted by asking for lists: it needs knowledge.model 'lists'")
        elif "surrogate" in self.plan and self.knowledge.log != "full":
            raise ValueError(
                f"a surrogate is trained on the train rows: it needs knowledge.log 'full', but it is "
                f"'{self.knowledge.log}'; with surrogate: {{name: {self.surrogate.name}, extract: {{}}}} lists will do"
            )
        check_threat(self)
        return self


class Accepted(Frozen):
    """A finding that stays visible but does not fail the review, until it expires."""

    cell: str
    reason: str = Field(min_length=1)
    until: datetime.date


class Scenario(Frozen):
    """A whole review."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    title: str = "Robustness review"
    dataset: str | LogFile = "flights"
    split: Literal["leave-last-out"] | GlobalTime = "leave-last-out"
    seen: Literal["keep", "exclude"] | None = None
    users: int = Field(default=10_000, ge=1)
    victims: tuple[VictimSpec, ...] = (VictimSpec(name="gru4rec"),)
    seeds: tuple[int, ...] = (3, 5)
    retrain: Annotated[WarmStart | Literal["scratch"], BeforeValidator(_retrain)] = WarmStart()
    threats: tuple[Threat, ...] = Field(min_length=1)
    accept: tuple[Accepted, ...] = ()

    @field_validator("seeds", mode="before")
    @classmethod
    def _looks(cls, value: Any) -> Any:
        looks = [value] if isinstance(value, int) else value
        if not isinstance(looks, (list, tuple)) or not looks or any(v not in LOOKS for v in looks):
            raise ValueError("looks are taken at 3, 5 and 10 seeds only: seeds: [3], [3, 5] or [3, 5, 10]")
        if list(looks) != sorted(set(looks)):
            raise ValueError("looks increase: seeds: [3, 5]")
        return tuple(looks)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        check_scenario(self)
        return self
