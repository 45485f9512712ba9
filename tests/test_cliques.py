"""Neighbourhood graphs and their maximal cliques."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scratchnet import memory
from scratchnet.backend import asarray, get_xp, to_numpy
from scratchnet.cluster import epsilon_graph, k_neighbor_graph, maximal_cliques


def graph_of(n, edges):
    graph = np.zeros((n, n), dtype=bool)
    for i, j in edges:
        graph[i, j] = graph[j, i] = True
    return graph


def by_trying_all(graph):
    """Every set of nodes, by definition."""
    n = len(graph)
    cliques = [
        set(nodes)
        for size in range(1, n + 1)
        for nodes in itertools.combinations(range(n), size)
        if all(graph[i, j] for i, j in itertools.combinations(nodes, 2))
    ]
    return sorted(tuple(sorted(c)) for c in cliques if not any(c < other for other in cliques))


# -- cliques ----------------------------------------------------------------------------------------------------------


def test_by_hand(xp):
    """Two triangles that share node 2, an edge, and a node alone: several sizes, and node 2 is in three cliques."""
    graph = graph_of(7, [(0, 1), (0, 2), (1, 2), (2, 3), (2, 4), (3, 4), (2, 5)])
    assert maximal_cliques(asarray(graph)) == [(0, 1, 2), (2, 3, 4), (2, 5), (6,)]


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_against_trying_all(density, seed):
    rng = np.random.default_rng([seed, int(10 * density)])
    for n in 1, 2, 5, 9:
        graph = np.triu(rng.random((n, n)) < density, 1)
        graph |= graph.T
        assert maximal_cliques(graph) == by_trying_all(graph)


def test_extremes():
    assert maximal_cliques(np.zeros((0, 0))) == []
    assert maximal_cliques(np.zeros((3, 3))) == [(0,), (1,), (2,)]
    assert maximal_cliques(np.ones((2000, 2000), dtype=bool)) == [tuple(range(2000))]  # no recursion to overflow


def test_as_many_as_there_can_be():
    """Moon and Moser: groups of three without edges inside, all edges between: one of each, 3^(n/3) in all."""
    group = np.arange(15) // 3
    cliques = maximal_cliques(group[:, None] != group)
    assert len(cliques) == len(set(cliques)) == 3**5
    assert all(sorted(group[list(c)]) == [0, 1, 2, 3, 4] for c in cliques)


def test_a_ring_of_edges():
    n = 50
    assert maximal_cliques(graph_of(n, [(i, (i + 1) % n) for i in range(n)])) == sorted(
        tuple(sorted((i, (i + 1) % n))) for i in range(n)
    )


def test_refuses():
    with pytest.raises(ValueError, match=r"graph must be an \(n, n\) matrix of neighbours, got shape \(2, 3\)"):
        maximal_cliques(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"only one of \(0, 2\) and \(2, 0\) is set"):
        maximal_cliques([[0, 1, 1], [1, 0, 0], [0, 0, 0]])


# -- graphs -----------------------------------------------------------------------------------------------------------

LINE = np.array([[0.0], [1.0], [3.0], [3.5], [9.0]])


def test_epsilon_graph(xp, dtype):
    graph = epsilon_graph(asarray(LINE.astype(dtype)), 2)
    assert get_xp(graph) is xp
    np.testing.assert_array_equal(to_numpy(graph), graph_of(5, [(0, 1), (1, 2), (2, 3)]))
    assert maximal_cliques(epsilon_graph(LINE, 2.5)) == [(0, 1), (1, 2, 3), (4,)]


def test_epsilon_graph_includes_duplicates_and_the_border():
    np.testing.assert_array_equal(epsilon_graph([[1.0], [1.0], [2.0]], 0), graph_of(3, [(0, 1)]))
    np.testing.assert_array_equal(epsilon_graph([[1.0], [1.0], [2.0]], 1), graph_of(3, [(0, 1), (0, 2), (1, 2)]))
    with pytest.raises(ValueError, match="epsilon=-1 must be at least 0"):
        epsilon_graph(LINE, -1)


def test_k_neighbor_graph(xp, dtype):
    X = asarray(LINE.astype(dtype))  # nearest: 0 -> 1, 1 -> 0, 2 -> 3, 3 -> 2, 4 -> 3
    np.testing.assert_array_equal(to_numpy(k_neighbor_graph(X, 1)), graph_of(5, [(0, 1), (2, 3), (3, 4)]))
    np.testing.assert_array_equal(to_numpy(k_neighbor_graph(X, 1, mutual=True)), graph_of(5, [(0, 1), (2, 3)]))
    np.testing.assert_array_equal(to_numpy(k_neighbor_graph(X, 4)), ~np.eye(5, dtype=bool))
    with pytest.raises(ValueError, match="n_neighbors=5 must be between 1 and 4"):
        k_neighbor_graph(LINE, 5)


def test_is_told_before_it_would_not_fit(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda xp: 3 * 50**2)
    X = np.random.default_rng(0).standard_normal((51, 2))
    for build in lambda X: epsilon_graph(X, 1.0), lambda X: k_neighbor_graph(X, 3):
        build(X[:50])
        with pytest.raises(MemoryError, match=r"the graph of all points.*n_samples=51.*would fit is 50"):
            build(X)
