"""Random connected communication graphs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from v2g_nodes.core.graph import Edges, normalise


def random_edges(ids: Sequence[int], extra: int, random: np.random.Generator) -> Edges:
    """Edges of a connected graph: a random tree and up to `extra` edges more.

    Args:
        ids: module ids, distinct.
        extra: draws of a further edge; one that is there already counts.
        random: source of the draws.
    """
    order = random.permutation(np.array(ids, dtype=np.int64)).tolist()
    pairs = [(order[k], order[int(random.integers(k))]) for k in range(1, len(order))]
    if len(order) > 1:
        for _ in range(extra):
            a, b = random.choice(len(order), 2, replace=False).tolist()
            pairs.append((order[a], order[b]))
    return normalise(pairs)
