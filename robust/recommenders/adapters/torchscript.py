"""TorchScript files: programs that torch runs as they are, so only from somebody who is trusted; no gradients."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch

from robust.errors import InputError
from robust.recommenders.adapters.base import Adapter, inside
from robust.recommenders.adapters.torch_module import CalledMapping, CalledModule


class TorchScriptModel(CalledModule):
    """A loaded TorchScript module as a recommender that scores.

    Hooks do not run inside a compiled program, so no layer's output can be replaced, and there are no gradients.
    """

    no_gradients = "hooks do not run inside TorchScript"


class TorchScriptAdapter(CalledMapping, Adapter):
    """`adapter: torchscript`.

    Attributes:
        file: what `torch.jit.save` wrote. device: where it runs.
    """

    executes_code: ClassVar[str] = "it names a TorchScript file, which is a program"

    file: str
    device: str = "cpu"

    def open(self, folder: Path) -> TorchScriptModel:
        """The module, loaded.

        Raises:
            InputError: no such file, or not TorchScript.
        """
        path = inside(folder, self.file)
        try:
            module = torch.jit.load(path, map_location=self.device)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, AssertionError) as error:
            said = str(error).strip().splitlines()[0]
            raise InputError(f"'{path}' cannot be loaded as TorchScript on '{self.device}': {said}") from error
        return TorchScriptModel(module, self, folder)
