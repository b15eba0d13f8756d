"""The newest state of causal self-attention after one item is replaced by each of many.

What a replacement at position j leaves unchanged is computed once for all candidates:

- no state before j changes, in any block, so neither do its key and value;
- in the first block, a position t > j sees one other key and one other value. With A the attention over all other
  positions and R the logarithm of that softmax's denominator, the new attention is A + w (v' − A) with
  w = σ(q·k' − R): one term per candidate instead of t. The output matrix is applied to A and v' beforehand;
- in the last block, only the newest position asks. Its scores are q·(W n + b) over normed states n: with W applied to
  the query, once, in place of every state, and to the weighted sum of states in place of every value, no later position
  needs a key or a value.

What is left per candidate and later position is the first block's feed-forward network (two D × D products; of two
whole blocks, twelve), and whole blocks where there are more than two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from robust.recommenders.attention import Block
from robust.recommenders.dropout import OFF


class ReplacedAttention:
    """Blocks over one sequence, an item of which is replaced; shapes: h heads of d = D / h dimensions, T = L − j.

    Args:
        blocks: at least one. states: [L, D], what the first block reads. position: j.
    """

    def __init__(self, blocks: Sequence[Block], states: Tensor, position: int) -> None:
        self.blocks = blocks
        self.before: list[tuple[Tensor, Tensor]] = []  # keys and values [h, j, d] of each block
        prefix = states[None, :position]
        for block in blocks:
            query, key, value = block.project(prefix)
            self.before.append((key[0], value[0]))
            prefix = block(prefix, OFF)
        query, key, value = (part[0] for part in blocks[0].project(states[None]))
        later = torch.arange(position + 1, len(states), device=states.device)
        seen = torch.arange(len(states), device=states.device)
        self.query = query[:, later] / math.sqrt(query.shape[2])  # [h, T − 1, d]
        logits = self.query @ key.transpose(1, 2)
        logits.masked_fill_((seen > later[:, None]) | (seen == position), -torch.inf)
        self.others = logits.logsumexp(dim=2).unsqueeze(1)  # R, [h, 1, T − 1]
        self.outputs = blocks[0].output.weight.view(len(states[0]), len(key), -1).permute(1, 2, 0)  # [h, d, D]
        self.attended = logits.softmax(dim=2) @ value @ self.outputs  # A, [h, T − 1, D]
        self.states = states[later] + blocks[0].output.bias

    def newest(self, replaced: Tensor) -> Tensor:
        """[m, D], the newest state where the first block reads each of `replaced` [m, D] at the position."""
        states = self._first(replaced)
        if len(self.blocks) == 1:
            return states[:, -1]
        for block, before in zip(self.blocks[1:-1], self.before[1:-1], strict=True):
            states = _whole(block, states, *before)
        return _last(self.blocks[-1], states, *self.before[-1])

    def _first(self, replaced: Tensor) -> Tensor:
        """[m, T, D], the first block's states from the position on."""
        block = self.blocks[0]
        query, key, value = (part[0] for part in block.project(replaced[None]))  # [h, m, d]
        keys, values = self.before[0]
        # the position itself: those before it, as they were, and itself
        logits = torch.cat((query @ keys.transpose(1, 2), (query * key).sum(dim=2, keepdim=True)), dim=2)
        weights = logits.div_(math.sqrt(query.shape[2])).softmax(dim=2)
        attended = weights[..., :-1] @ values + weights[..., -1:] * value
        states = replaced.new_empty(len(replaced), 1 + len(self.states), replaced.shape[1])
        torch.add(replaced, block.output(attended.transpose(0, 1).flatten(1)), out=states[:, 0])
        # later positions: one term
        weights = (key @ self.query.transpose(1, 2)).sub_(self.others).sigmoid_().unsqueeze(3)  # [h, m, T − 1, 1]
        later = states[:, 1:].copy_(self.states)
        for weight, others, own in zip(weights, self.attended, value @ self.outputs, strict=True):
            later.add_(torch.lerp(others, own[:, None], weight))
        return block.feed_forward(states, OFF)


def _whole(block: Block, states: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """[m, T, D], a block between the first and the last: every state from the position on, after j unchanged ones."""
    query, key, value = block.project(states)
    rows, suffix = states.shape[:2]
    all_keys = torch.cat((keys.expand(rows, -1, -1, -1), key), dim=2)
    all_values = torch.cat((values.expand(rows, -1, -1, -1), value), dim=2)
    seen = torch.ones(suffix, all_keys.shape[2], dtype=torch.bool, device=states.device).tril_(keys.shape[1])
    attended = F.scaled_dot_product_attention(query, all_keys, all_values, attn_mask=seen)
    return block.feed_forward(states + block.output(attended.transpose(1, 2).flatten(2)), OFF)


def _last(block: Block, states: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """[m, D], the newest state of the last block."""
    normed = block.attention_norm(states)  # [m, T, D]
    _, suffix, dimension = states.shape
    weights_of = block.query_key_value.weight.view(3, block.heads, -1, dimension)
    query_weight, key_weight, value_weight = weights_of  # each [h, d, D]
    query_bias, key_bias, value_bias = block.query_key_value.bias.view(3, block.heads, 1, -1)  # [h, 1, d]
    query = normed[:, -1] @ query_weight.transpose(1, 2) + query_bias  # [h, m, d]
    query /= math.sqrt(query.shape[2])
    later = (query @ key_weight).transpose(0, 1) @ normed.transpose(1, 2)  # [m, h, T]
    later = later.transpose(0, 1) + (query * key_bias).sum(dim=2, keepdim=True)
    weights = torch.cat((query @ keys.transpose(1, 2), later), dim=2).softmax(dim=2)  # [h, m, L]
    before, after = weights[..., :-suffix], weights[..., -suffix:]
    summed = (after.transpose(0, 1) @ normed).transpose(0, 1)  # [h, m, D]
    attended = before @ values + summed @ value_weight.transpose(1, 2) + after.sum(dim=2, keepdim=True) * value_bias
    return block.feed_forward(states[:, -1] + block.output(attended.transpose(0, 1).flatten(1)), OFF)
