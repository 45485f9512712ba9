"""Graph clustering by cliques: groups in which all points are neighbours of each other.

Unlike the clusters of a partition, cliques come in several sizes, and a point may be in several of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from scratchnet.backend import Array, Module, get_xp, to_numpy
from scratchnet.distances import DistancesTo
from scratchnet.memory import check_memory
from scratchnet.neighbors import nearest_neighbors
from scratchnet.rows import rows_of, rows_per_block
from scratchnet.validation import check_array, check_number

__all__ = ["epsilon_graph", "k_neighbor_graph", "maximal_cliques"]


def epsilon_graph(X: ArrayLike, epsilon: float) -> Array:
    """Which points are within ``epsilon`` of each other: (n, n) booleans, symmetric, False on the diagonal.

    Parameters
    ----------
    X : array_like (n, n_features)
    epsilon : float
        The largest distance between neighbours.

    Examples
    --------
    >>> epsilon_graph([[0.0], [1], [3]], 1.5).astype(int)
    array([[0, 1, 0],
           [1, 0, 0],
           [0, 0, 0]])
    """
    x = check_array(X)
    _check_room(x)
    epsilon = check_number(epsilon, "epsilon", minimum=0)
    graph = rows_of(x, size=rows_per_block(x, len(x))).collect(_within, DistancesTo(x), epsilon**2)
    return _without_loops(graph & graph.T)  # rounding must not make it one-sided


def k_neighbor_graph(X: ArrayLike, n_neighbors: int, *, mutual: bool = False) -> Array:
    """Which points are among each other's k nearest: (n, n) booleans, symmetric, False on the diagonal.

    Parameters
    ----------
    X : array_like (n, n_features)
    n_neighbors : int
        k, less than n.
    mutual : bool
        Whether both must be among the k nearest of the other; by default one is enough.

    Examples
    --------
    >>> k_neighbor_graph([[0.0], [1], [3]], 1).astype(int)
    array([[0, 1, 0],
           [1, 0, 1],
           [0, 1, 0]])
    """
    x = check_array(X, min_samples=2)
    xp, n = _check_room(x), len(x)
    graph = xp.zeros((n, n), dtype=bool)
    graph[xp.arange(n)[:, None], nearest_neighbors(x, n_neighbors)[0]] = True
    return _without_loops(graph & graph.T if mutual else graph | graph.T)


def _within(x: Array, kept: Any, distances: DistancesTo, limit: float) -> tuple[Array, Any]:
    """Which squared distances from the rows x are at most ``limit``."""
    return distances(x) <= limit, kept


def _check_room(X: Array) -> Module:
    """The module of X (n, d), or a MemoryError that says how large a graph of its rows would be."""
    xp = get_xp(X)
    check_memory(
        lambda n: 3 * n * n, len(X), xp, "the graph of all points, its transpose and the symmetric graph made of both,"
    )
    return xp


def _without_loops(graph: Array) -> Array:
    here = get_xp(graph).arange(len(graph))
    graph[here, here] = False
    return graph


def maximal_cliques(graph: ArrayLike) -> list[tuple[int, ...]]:
    """All cliques of a graph that no further node can join, each once: sorted tuples of nodes, in sorted order.

    A node without neighbours is a clique of its own. There may be exponentially many: up to 3^(n/3).

    The algorithm of Bron and Kerbosch (Algorithm 457, 1973) with the pivot of Tomita, Tanaka and Takahashi (The
    worst-case time complexity for generating all maximal cliques, 2006).

    Parameters
    ----------
    graph : array_like (n, n)
        Symmetric; True or non-zero where two nodes are neighbours. The diagonal does not matter.

    Raises
    ------
    ValueError
        If the graph is not a symmetric matrix.

    Examples
    --------
    >>> maximal_cliques([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]])
    [(0, 1, 2), (2, 3)]
    """
    adjacent = to_numpy(graph)
    if adjacent.ndim != 2 or adjacent.shape[0] != adjacent.shape[1]:
        raise ValueError(f"graph must be an (n, n) matrix of neighbours, got shape {adjacent.shape}")
    adjacent = adjacent.astype(bool)
    if (adjacent != adjacent.T).any():
        i, j = np.argwhere(adjacent != adjacent.T)[0]
        raise ValueError(
            f"graph must be symmetric, but only one of ({i}, {j}) and ({j}, {i}) is set: use graph | graph.T"
        )
    neighbors = [_to_set(row) & ~(1 << i) for i, row in enumerate(adjacent)]
    cliques: list[tuple[int, ...]] = []
    all_nodes = (1 << len(neighbors)) - 1
    stack: list[tuple[tuple[int, ...], int, int]] = [((), all_nodes, 0)] if all_nodes else []
    while stack:
        # find all maximal cliques with all of `clique`, some of `candidates`, and none of `done`, which are finished
        clique, candidates, done = stack.pop()
        if not candidates:
            if not done:
                cliques.append(tuple(sorted(clique)))
            continue
        # A maximal clique holds the pivot, or a node that is not its neighbour: only these have to be tried.
        pivot = max(_members(candidates | done), key=lambda v: (candidates & neighbors[v]).bit_count())
        for v in _members(candidates & ~neighbors[pivot]):
            stack.append(((*clique, v), candidates & neighbors[v], done & neighbors[v]))
            candidates &= ~(1 << v)
            done |= 1 << v
    return sorted(cliques)


def _to_set(row: np.ndarray) -> int:
    """The positions where ``row`` is True, as the bits of an integer: one instruction per word intersects sets."""
    return int.from_bytes(np.packbits(row, bitorder="little").tobytes(), "little")


def _members(nodes: int) -> list[int]:
    """The positions of the bits that are set."""
    found = []
    while nodes:
        lowest = nodes & -nodes
        found.append(lowest.bit_length() - 1)
        nodes ^= lowest
    return found
