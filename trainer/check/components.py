"""What hangs together."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["joined"]


def joined(count: int, links: Sequence[tuple[int, int]] | npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """For each of some things the number of its group, where links join two; numbered in order of appearance."""
    ends = np.array(links, np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups, np.intp)
