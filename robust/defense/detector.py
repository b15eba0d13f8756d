"""Sanitisers that flag users by a threshold on their suspicion."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from robust.defense.sanitizer import Sanitizer
from robust.defense.thresholds import above_quantile, false_discovery_rate, most_suspicious
from robust.errors import InputError
from robust.log import Bool, InteractionLog

RULES = ("share", "quantile", "fdr")
SHARE = 0.03


class Detector(Sanitizer):
    """Authors write `suspicion`; users choose how it becomes suspects, by one of three thresholds.

    Attributes:
        share: assumed attack size: this share of the active users, the most suspicious, rounded down. The default,
            .03, holds where no other threshold is given.
        quantile: all whose suspicion lies strictly above this quantile of the active users'.
        fdr: conformal, with Benjamini and Hochberg's rule: the expected share of genuine users among the flagged is at
            most this, as long as the genuine users are exchangeable with those `trusted` and none of these is fake.
        trusted: with `fdr`, who is known to be genuine: user numbers (accounts that somebody verified), or a share of
            the active users, those who came first. Whoever can date fake rows back defeats the second.
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    quantile: float | None = Field(default=None, gt=0, lt=1)
    fdr: float | None = Field(default=None, gt=0, lt=1)
    trusted: Annotated[float, Field(gt=0, lt=1)] | tuple[Annotated[int, Field(ge=0)], ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_rule(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        rules = [rule for rule in RULES if given.get(rule) is not None]
        if len(rules) > 1:
            raise ValueError(f"one threshold is enough: give {' or '.join(rules)}")
        if not rules:
            default = cls.model_fields["share"].default
            return {**given, "share": SHARE if default is None else default}
        return given

    @model_validator(mode="after")
    def _trusted_with_rate(self) -> Self:
        if (self.fdr is None) != (self.trusted is None):
            raise ValueError("a false discovery rate (fdr) is measured on trusted users: give fdr and trusted, or none")
        return self

    def check_log(self, log: InteractionLog) -> None:
        """Refuse thresholds that can never flag anybody on this log.

        Raises:
            InputError: too few or unknown trusted users, or an assumed attack size of less than one user.
        """
        active = int((log.lengths > 0).sum())
        if self.share is not None and int(self.share * active + 1e-9) == 0:
            raise InputError(f"'{self.name}': a share of {self.share} of {active} users is less than one user.")
        if self.fdr is None:
            return
        if isinstance(self.trusted, tuple) and max(self.trusted, default=-1) >= log.n_users:
            raise InputError(f"'{self.name}': trusted user {max(self.trusted)} is not among {log.n_users} users.")
        known = int(self._trusted(log, np.flatnonzero(log.lengths > 0)).sum())
        if known == active:
            raise InputError(f"'{self.name}' trusts all {active} users of the log: nobody is left to suspect.")
        # the smallest p is 1 / (known + 1), and it must pass even if every suspect has it
        if 1 / (known + 1) > self.fdr:
            need = int(np.ceil(1 / self.fdr)) - 1
            raise InputError(
                f"'{self.name}': {known} trusted users can never flag anybody at a false discovery rate of {self.fdr}; "
                f"at least {need} are needed."
            )

    def _trusted(self, log: InteractionLog, active: NDArray[np.int64]) -> Bool:
        """bool [active], who is known to be genuine."""
        if isinstance(self.trusted, tuple):
            return np.isin(active, self.trusted)
        first = log.timestamp[log.offsets[active]]
        oldest = np.argsort(first, kind="stable")[: int(float(self.trusted or 0) * len(active) + 1e-9)]
        trusted = np.zeros(len(active), dtype=bool)
        trusted[oldest] = True
        return trusted

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> Bool:
        """bool [n_users]; users without rows are never suspect, whatever their suspicion."""
        active = np.flatnonzero(log.lengths > 0)
        flagged = np.zeros(log.n_users, dtype=bool)
        if len(active) == 0:
            return flagged
        own = suspicion[active]
        if self.quantile is not None:
            flagged[active] = above_quantile(own, self.quantile)
        elif self.fdr is not None:
            flagged[active] = false_discovery_rate(own, self._trusted(log, active), self.fdr)
        else:
            flagged[active] = most_suspicious(own, int(float(self.share or 0) * len(active) + 1e-9))
        return flagged
