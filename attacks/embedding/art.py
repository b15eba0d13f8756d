"""Any evasion attack of the Adversarial Robustness Toolbox, by name, on the embedded sequence.

Nicolae et al., "Adversarial Robustness Toolbox v1.0.0", 2018 (arXiv 1807.01069). Sequences of one length are attacked
together (see art_classifier.py for the traps closed on the way in). On the way out:

* ART's ε bounds a whole input, as ours does `per: sequence`; in linf that is the same as per position. In l2 per
  position ART is given ε √length, and every result is projected onto our ball, as is that of attacks that know no ε
  (DeepFool, CarliniL2Method).
* Labels are always given: the true next item if known, the clean top-1 otherwise, a target for promote and demote
  (with several targets: their mean loss where the attack uses the loss, else one of them in turn per sequence).
* Automatic attacks (AutoProjectedGradientDescent, AutoAttack) silently return a sequence unchanged if its label is
  not what the model ranks first, which the true next item rarely is: such sequences are attacked once more with the
  label that is.

In linf, where both balls are the same, ours and ART's reach the same objectives (within 1%, tested). An attack made for
images is NOT APPLICABLE, with ART's reason.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.embedding.art_classifier import classifier, seeded_globals
from robust.attacks.objective import label_of
from robust.errors import InputError, NotApplicable, UnknownName
from robust.log import Int32, SequenceBatch
from robust.perturbation import Ball, chunk_rows
from robust.threat import Budget

AUTOMATIC = frozenset(
    {
        "AutoAttack",
        "AutoConjugateGradient",
        "AutoProjectedGradientDescent",
        "RescalingAutoConjugateGradient",
    }
)
"""Attacks that pass over samples whose label the model does not rank first."""


@cache
def art_attacks() -> frozenset[str]:
    """Names of ART's evasion attacks, read from its source: importing it takes seconds."""
    found = find_spec("art")
    if found is None or not found.submodule_search_locations:
        raise InputError("The attack 'art' needs ART: pip install adversarial-robustness-toolbox.")
    source = Path(found.submodule_search_locations[0], "attacks", "evasion", "__init__.py").read_text("utf-8")
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return frozenset(alias.asname or alias.name for node in imports for alias in node.names)


class ART(EmbeddingAttack):
    """One of ART's evasion attacks over the embedding space.

    Attributes:
        attack: its class name in `art.attacks.evasion`. options: its own parameters (`max_iter: 20`); ε, norm, step,
        target and batch size come from the budget and the goal unless they are given here.
    """

    name: ClassVar[str] = "art"
    source: ClassVar[str] = "Nicolae et al., 2018 (arXiv 1807.01069)"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    control: ClassVar[str | None] = "noise"

    attack: str = "ProjectedGradientDescent"
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("attack")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in art_attacks():
            raise UnknownName("evasion attack of ART", name, art_attacks())
        return name

    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Tensor:
        """Deltas [B, L, D], length by length, in chunks of users."""
        dimension = access.model.item_embeddings.shape[1]
        deltas = torch.zeros((*sequences.items.shape, dimension))
        size = chunk_rows(sequences.width, dimension, access.n_items)
        labels = _labels(access, sequences, goal, size)
        with seeded_globals(int(rng.integers(2**32))):
            for length in np.unique(sequences.lengths[sequences.lengths > 0]):
                rows = np.flatnonzero(sequences.lengths == length)
                for start in range(0, len(rows), size):
                    part = rows[start : start + size]
                    deltas[part] = self._perturb_rows(access, sequences[part], labels[part], goal, budget)
        return deltas

    def _perturb_rows(
        self, access: AccessView, sequences: SequenceBatch, labels: Int32, goal: AnyGoal, budget: Budget
    ) -> Tensor:
        """Sequences of one length, at most one chunk of them."""
        embeddings = access.model.embed(sequences).detach().cpu()
        estimator = classifier(access.model, sequences[:1], embeddings.shape[-1], goal.items)
        attack = self._build(estimator, int(sequences.lengths[0]), len(sequences), goal, budget)
        mask = estimator.model.mask.numpy()
        inputs = embeddings.numpy()

        def run(rows: Any, classes: Int32) -> None:
            moved = self._generate(attack, inputs[rows], classes[rows].astype(np.int64), mask)
            steps = torch.from_numpy((np.asarray(moved, dtype=np.float32) - inputs[rows]) * mask)
            deltas[rows] = Ball.of(budget).project(steps)

        deltas = torch.zeros_like(embeddings)
        run(np.arange(len(inputs)), labels - 1)
        if self.attack in AUTOMATIC and goal.kind != "promote":
            passed_over = np.flatnonzero((deltas == 0).flatten(1).all(dim=1).numpy())
            if len(passed_over):
                run(passed_over, estimator.predict(inputs, batch_size=len(inputs)).argmax(axis=1).astype(np.int32))
        return deltas

    def _generate(self, attack: Any, inputs: Any, classes: Any, mask: Any) -> Any:
        """ART's adversarial inputs; attacks that know no mask ignore it.

        Raises:
            NotApplicable: the attack is made for other inputs (images, say) and fails on these.
        """
        # one mask [L, D] for all rows, so that no l2 budget is spent on padding; automatic attacks drop rows and would
        # mispair a mask per row
        whole = np.broadcast_to(mask[0], inputs.shape[1:]).astype(np.float32)
        try:
            return attack.generate(x=inputs, y=classes, mask=whole)
        except (AttributeError, ImportError, IndexError, NotImplementedError, TypeError, ValueError) as error:
            raise NotApplicable(
                f"ART's {self.attack} fails on embedded sequences: {type(error).__name__}: {error}"
            ) from error

    def _build(self, estimator: Any, length: int, rows: int, goal: AnyGoal, budget: Budget) -> Any:
        """The attack with our budget and goal in its own terms.

        Raises:
            UnknownName: an option that it does not have. InputError: options that it refuses.
            NotApplicable: it cannot work towards this goal, or not on this kind of model.
        """
        from art.attacks import evasion
        from art.exceptions import EstimatorError

        kind = getattr(evasion, self.attack, None)
        if kind is None:
            raise NotApplicable(f"ART leaves out {self.attack} where a package that it needs (numba) is not installed")
        offered = set(kind.attack_params)
        for option in self.options:
            if option not in offered:
                raise UnknownName(f"option of ART's {self.attack}", option, offered)
        if goal.kind == "promote" and "targeted" not in offered:
            raise NotApplicable(f"ART's {self.attack} cannot be targeted, so it promotes nothing")
        epsilon = budget.epsilon or 0.0
        if budget.norm == "l2" and budget.per == "position":
            epsilon *= length**0.5
        steps = self.options.get("max_iter", 10)
        ours = {
            "norm": 2 if budget.norm == "l2" else np.inf,
            "eps": epsilon,
            "eps_step": epsilon if self.attack == "FastGradientMethod" else 2.5 * epsilon / steps,
            "max_iter": steps if "eps" in offered else None,
            "targeted": goal.kind == "promote",
            "batch_size": rows,
            "verbose": False,
        }
        parameters = {name: value for name, value in ours.items() if name in offered and value is not None}
        parameters |= self.options
        try:
            return kind(estimator, **parameters)
        except EstimatorError as error:
            raise NotApplicable(f"ART's {self.attack} does not work on embedded sequences: {error}") from error
        except (ImportError, TypeError, ValueError) as error:
            raise InputError(f"ART's {self.attack} refuses {parameters}: {error}") from error


def _labels(access: AccessView, sequences: SequenceBatch, goal: AnyGoal, size: int) -> Int32:
    """int32 [B], the item each sequence is attacked about; never left to ART, which would take the argmax."""
    if goal.kind != "degrade":
        return np.resize(np.asarray(goal.items, dtype=np.int32), len(sequences))
    return np.concatenate([np.maximum(label_of(access, chunk), 1) for chunk in sequences.chunks(size)])
