"""Gradients for RecBole's models that look their sequence up in `item_embedding`: others take the place of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from robust.errors import ModelFault
from robust.log import Int64, SequenceBatch
from robust.recommenders.adapters.recbole import RecBoleModel
from robust.recommenders.adapters.recbole_training import contained


def embeds(network: Any) -> bool:
    """Whether a network of RecBole has such a layer."""
    import torch

    return isinstance(getattr(network, "item_embedding", None), torch.nn.Embedding)


class DifferentiableRecBoleModel(RecBoleModel):
    """One that reads its sequence through `item_embedding`, whose output is replaced by a hook."""

    gradients = "through item_embedding"

    @property
    def item_embeddings(self) -> Any:
        """[n_items + 1, D], row 0 zeros."""
        import torch

        table = self._fitted().item_embedding.weight.detach().cpu()[torch.from_numpy(self.own)].clone()
        table[0] = 0
        return table

    def embed(self, sequences: SequenceBatch) -> Any:
        """[B, L, D]; zeros at padding."""
        import torch

        return self.item_embeddings[torch.from_numpy(sequences.items.astype(np.int64))]

    def score_embeddings(self, embeddings: Any, sequences: SequenceBatch) -> Any:
        """[B, n_items + 1] from embeddings [B, L, D] placed as `sequences`; empty sequences score 0.

        Raises:
            ModelFault: the model looked its sequence up elsewhere, so that these embeddings had no effect.
        """
        import torch

        network, items = self._fitted(), sequences.items
        keep = np.flatnonzero(sequences.lengths)
        scores = torch.zeros(len(items), self.n_items + 1)
        if len(keep):
            scores = scores.index_copy(0, torch.from_numpy(keep), self._from(network, embeddings, sequences, keep))
        return torch.cat([torch.full_like(scores[:, :1], -torch.inf), scores[:, 1:]], dim=1)

    def _from(self, network: Any, embeddings: Any, sequences: SequenceBatch, keep: Int64) -> Any:
        import torch
        from torch.nn import functional as F

        read = self.padded(sequences[keep])
        newest = sequences[keep].truncate(self.context).items
        order = torch.from_numpy(np.argsort(newest == 0, axis=1, kind="stable"))
        given = embeddings[torch.from_numpy(keep), -newest.shape[1] :]
        given = given.gather(1, order[:, :, None].expand(-1, -1, given.shape[-1]))
        given = F.pad(given, (0, 0, 0, self.context - newest.shape[1]))
        replaced: list[bool] = []

        def replace(module: Any, arguments: Any, output: Any) -> Any:
            numbers, device = arguments[0], output.device
            for dropped in (0, 1):  # BERT4Rec drops the first column, and puts its mask behind the newest item
                expected = F.pad(read[0][:, dropped:], (0, dropped)).to(device)
                filled = expected != 0
                if replaced or numbers.shape != expected.shape or (numbers != expected)[filled].any():
                    continue
                replaced.append(True)
                # at padding the model's own row stays, which need not be zeros
                stands_in = F.pad(given[:, dropped:], (0, 0, 0, dropped)).to(device)
                return torch.where(filled[:, :, None], stands_in, output)
            return None

        handle = network.item_embedding.register_forward_hook(replace)
        # cuDNN's recurrent layers have no backward pass in evaluation mode
        with contained(), torch.backends.cudnn.flags(enabled=False):
            try:
                scores = self._asked(read)
            finally:
                handle.remove()
        if not replaced:
            raise ModelFault(f"RecBole's {type(network).__name__} does not read its sequence through item_embedding.")
        return scores

    def agrees(self) -> bool:
        """Whether its own embeddings, handed back, give its own scores."""
        if self.n_items < 1:
            return False
        probe = SequenceBatch(np.array([[0, 1, min(2, self.n_items)]], dtype=np.int32))
        try:
            scores = self.score_embeddings(self.embed(probe), probe).detach().numpy()
            return bool(np.allclose(scores[:, 1:], self.score(probe)[:, 1:], atol=1e-5, rtol=1e-4))
        except (ModelFault, RuntimeError, NotImplementedError):
            return False
