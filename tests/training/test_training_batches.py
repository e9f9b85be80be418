"""Rows of a batch come from one group, frames stay with their neighbours, and no row is left over or alone."""

import numpy as np
import pytest
import torch

from kotowari.core.errors import InputError
from kotowari.training.batches import Batches

GROUPS = np.array(["b", "a", "b", "a", "a", "b", "b", "a", "a", "b", "a"])


def drawn(batches, index, seed=0):
    return [rows.tolist() for rows in batches.drawn(np.asarray(index), torch.Generator().manual_seed(seed))]


def assert_never_mixed(found, groups):
    assert all(len(set(groups[rows])) == 1 for rows in found), "a batch holds rows of two groups"


@pytest.mark.parametrize("options", [{}, {"groups": GROUPS}, {"consecutive": True}], ids=str)
def test_every_row_stands_in_one_batch_and_none_from_elsewhere(options):
    index = np.array([0, 1, 2, 4, 5, 7, 8, 9, 10])
    batches = Batches(4, **options)
    for found in (drawn(batches, index), [rows.tolist() for rows in batches.ordered(index)]):
        assert sorted(row for rows in found for row in rows) == index.tolist()


@pytest.mark.parametrize(("n_rows", "size", "expected"), [(33, 32, [17, 16]), (32, 32, [32]), (9, 4, [3, 3, 3])])
def test_batches_are_of_nearly_one_length(n_rows, size, expected):
    assert sorted(map(len, drawn(Batches(size), range(n_rows))), reverse=True) == expected


@pytest.mark.parametrize("consecutive", [True, False])
def test_a_batch_never_holds_rows_of_two_groups(consecutive):
    assert_never_mixed(drawn(Batches(3, GROUPS, consecutive), range(11)), GROUPS)


def test_batches_that_know_of_no_groups_are_caught():
    with pytest.raises(AssertionError, match="two groups"):
        assert_never_mixed(drawn(Batches(3), range(11)), GROUPS)


def test_frames_stay_with_their_neighbours_whatever_order_the_index_has():
    found = drawn(Batches(4, consecutive=True), [7, 6, 5, 4, 3, 2, 1, 0])
    assert sorted(found) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_order_and_company_are_drawn_anew():
    loose = {str(drawn(Batches(4), range(12), seed)) for seed in range(6)}
    assert len(loose) == 6
    steady = {str(sorted(drawn(Batches(2, consecutive=True), range(12), seed))) for seed in range(6)}
    orders = {str(drawn(Batches(2, consecutive=True), range(12), seed)) for seed in range(6)}
    assert len(steady) == 1
    assert len(orders) > 1


def test_no_rows_make_no_batches():
    assert Batches(4).ordered(np.array([], dtype=int)) == []
    assert Batches(4, GROUPS).ordered(np.array([], dtype=int)) == []


def test_a_size_of_nothing_is_refused():
    with pytest.raises(InputError, match="Batches: size must be 1 or more, got 0"):
        Batches(0)
