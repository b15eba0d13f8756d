"""Pages of plugins: what is read from a class, and that the committed pages say what the classes say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from robust import plugins, reference
from robust.attack import EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.defense import InputGuard
from robust.recommenders.protocols import Capability
from robust.reference import (
    Kind,
    facts,
    index,
    index_of_defenses,
    meanings,
    own,
    page,
    pages,
    parameters,
    summary,
    threat,
    write,
)
from robust.taxonomy import ATLAS, NIST, TERMS, term
from robust.threat import Budget

DOCS = Path(__file__).parents[2] / "docs"
OWN, DEFENSES = own("attacks"), own("defenses")
KINDS: tuple[Kind, ...] = ("attacks", "defenses")


class Base(PoisoningAttack):
    """What several share.

    Attributes:
        size, weight: of something: not a name. depth: how far down.
    """

    size: int = Field(default=3, ge=1)
    weight: float = Field(default=0.5, gt=0, lt=1)
    depth: int | None = None

    def poison(self, *_: Any) -> Any:
        """Nothing."""


class Toy(Base):
    """Does a toy's work,
    over two lines.

    It has more to say.

    Attributes:
        order: one of two; `size: 3` is no entry, nor is the size in here. depth: how far down,
            over two lines.
    """

    name: ClassVar[str] = "toy"
    source: ClassVar[str] = "Nobody, 2026"
    tags: ClassVar[tuple[str, ...]] = (f"{ATLAS}AML.T0020", "elsewhere:1")
    log_access: ClassVar[Literal["none", "popularity", "full"]] = "full"
    spends: ClassVar[frozenset[str]] = frozenset({"users"})
    goals: ClassVar[frozenset[str]] = frozenset({"promote", "degrade"})
    control: ClassVar[str | None] = "random"

    order: Literal["up", "down"] = "up"
    options: dict[str, Any] = Field(default_factory=dict)
    bare: bool = Field(default=True, description="Said in the field.")

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """As many of them,
        of the same size.
        """
        return "random", {}


def test_meanings_are_read_from_the_attributes_of_the_class_and_its_bases() -> None:
    assert meanings(Toy) == {
        "size": "of something: not a name.",
        "weight": "of something: not a name.",
        "depth": "how far down, over two lines.",
        "order": "one of two; `size: 3` is no entry, nor is the size in here.",
    }
    assert meanings(Base)["depth"] == "how far down."


def test_parameters_have_default_domain_and_meaning() -> None:
    found = {parameter.name: parameter for parameter in parameters(Toy)}
    assert found["size"][1:3] == ("3", "whole number ≥ 1")
    assert found["weight"][1:3] == ("0.5", "number > 0 and < 1")
    assert found["depth"][1:3] == ("null", "whole number, or null")
    assert found["order"][1:3] == ('"up"', "up, down")
    assert found["options"][1:] == ("{}", "mapping", "")
    assert found["bare"][1:] == ("true", "true or false", "Said in the field.")


def test_a_negative_limit_has_a_real_minus() -> None:
    (tau,) = (p for p in parameters(plugins.load("attacks", "substitution")) if p.name == "tau")
    assert tau.domain == "number ≥ −1 and ≤ 1, or null"


def test_facts_threat_and_summary_of_an_attack() -> None:
    assert summary(Toy) == "Does a toy's work, over two lines."
    assert facts(Toy) == {
        "changes": "the train log",
        "spends": "users",
        "model_access": "none",
        "log_access": "full",
        "goals": "degrade, promote",
        "control": "random",
        "source": "Nobody, 2026",
    }
    assert threat(facts(Toy)) == "changes the train log; spends users; needs the train rows; goals: degrade, promote"


def test_a_page_has_what_the_class_says(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "Toys.\n\n    x = 1\n\nKnown deviations from the paper: none\nat all.\n\nNor here.\n"
    monkeypatch.setattr(f"{__name__}.__doc__", module)
    said = page("toy", Toy)
    assert said.startswith(
        "# toy\n\nDoes a toy's work,\nover two lines.\n\nIt has more to say.\n\n- Changes: the train log\n"
    )
    assert (
        "\n\nToys.\n\n    x = 1\n\n## Known deviations\n\nFrom the paper: none\nat all.\n\nNor here.\n\n## Parameters"
        in said
    )
    assert "- `depth = null` (whole number, or null): how far down, over two lines.\n" in said
    assert f"- `{ATLAS}AML.T0020` Poison Training Data (" in said
    assert "\n- Control, at equal budget: `random` (as many of them, of the same size)\n" in said
    assert "Attributes" not in said
    assert term("elsewhere:1").title in said


def test_an_index_has_a_row_per_attack_with_a_link_to_a_control_that_has_a_page() -> None:
    row = f"| [toy](toy.md) | {threat(facts(Toy))} | {{}} | Nobody, 2026 |"
    assert row.format("random") in index({"toy": Toy})
    assert row.format("[random](random.md)") in index({"toy": Toy, "random": OWN["random"]})


class Doorman(InputGuard):
    """Lets nobody in."""

    name: ClassVar[str] = "doorman"
    source: ClassVar[str] = "Somebody | else, 2026"
    assumptions: ClassVar[str] = "There is a door."
    weaknesses: ClassVar[str] = "The window."
    needs: ClassVar[frozenset[Capability]] = frozenset({"scores", "lists"})

    rate: float = 0.5

    def calibrate(self, *_: Any) -> Doorman:
        """Itself."""
        return self

    def guard(self, *_: Any) -> Any:
        """Nothing."""


def test_a_defences_page_says_what_it_needs_costs_assumes_and_cannot_do() -> None:
    said = page("doorman", Doorman)
    assert (
        "- Acts on: a sequence, before it is ranked\n- Needs of the recommender: ranked lists, scores\n"
        "- Cost, beside quality on clean data: every query\n- Source: Somebody | else, 2026\n"
    ) in said
    assert "\n## What must hold\n\nThere is a door.\n\n## Known weaknesses\n\nThe window.\n\n## Parameters\n" in said
    row = "| [doorman](doorman.md) | a sequence, before it is ranked | ranked lists, scores | every query | {} |"
    assert row.format("Somebody \\| else, 2026") in index_of_defenses({"doorman": Doorman})


def test_other_kinds_have_pages_too() -> None:
    assert "## Known weaknesses" in page("pca", plugins.load("defenses", "pca"))
    assert "- `blocks = 2` (whole number ≥ 1): attention blocks." in page(
        "sasrec", plugins.load("recommenders", "sasrec")
    )
    assert page("flights", plugins.load("datasets", "flights")).endswith("## Parameters\n\nNone.\n")


@pytest.mark.parametrize("kind", KINDS)
def test_writing_removes_generated_pages_of_plugins_that_are_gone_and_nothing_else(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "gone.md").write_text(reference.MARK + "robust.gone -->\n# gone\n")
    (tmp_path / "by-hand.md").write_text("# Mine\n")
    write(tmp_path, kind)
    assert {p.name for p in tmp_path.iterdir()} == {"README.md", "by-hand.md", *(f"{name}.md" for name in own(kind))}


# --- this project's attacks and defences


@pytest.mark.parametrize("name", [*OWN, *DEFENSES])
def test_every_parameter_has_a_meaning(name: str) -> None:
    plugin = OWN.get(name) or DEFENSES[name]
    silent = [p.name for p in parameters(plugin) if not p.meaning]
    assert silent == [], f"say what they mean under 'Attributes:' in the docstring of {plugin.__qualname__}"


@pytest.mark.parametrize("name", DEFENSES)
def test_every_defence_says_what_must_hold_and_what_breaks_it(name: str) -> None:
    kind = DEFENSES[name]
    assert len(kind.assumptions) > 20, "say what must hold for it to help (assumptions)"
    assert len(kind.weaknesses) > 20, "say what breaks it (weaknesses)"


@pytest.mark.parametrize("name", OWN)
def test_every_tag_is_known(name: str) -> None:
    assert set(OWN[name].tags) <= set(TERMS), "add the missing ones to robust/taxonomy.py, checked at their source"


@pytest.mark.parametrize("name", [name for name, kind in OWN.items() if "control" not in kind.tags])
def test_tags_fit_what_an_attack_does(name: str) -> None:
    kind = OWN[name]
    atlas = {tag.removeprefix(ATLAS) for tag in kind.tags if tag.startswith(ATLAS)}
    nist = {tag.removeprefix(NIST) for tag in kind.tags if tag.startswith(NIST)}
    if issubclass(kind, PoisoningAttack):
        assert "AML.T0020" in atlas
        assert ("AML.T0021" in atlas) == ("users" in kind.spends), "fake users need accounts"
        assert ("NISTAML.013" in nist) == ("degrade" in kind.goals), "availability"
        assert ("NISTAML.024" in nist) == bool(kind.goals & {"promote", "demote"}), "targeted"
        assert "ML02:2023" in kind.tags
    else:
        assert issubclass(kind, EvasionAttack | EmbeddingAttack)
        assert any(tag.startswith("AML.T0043") for tag in atlas)
        assert nist <= {"NISTAML.022", "NISTAML.025"}
        assert ("NISTAML.022" if kind.model_access == "gradients" else "NISTAML.025") in nist, "white or black box"
        assert "ML01:2023" in kind.tags


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_pages_are_the_generated_ones(kind: Kind) -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / kind).glob("*.md")}
    wanted = pages(kind)
    stale = sorted(name for name in there.keys() | wanted.keys() if there.get(name) != wanted.get(name))
    assert stale == [], f"docs/{kind} is not what the {kind} say of themselves: run `make docs`"
