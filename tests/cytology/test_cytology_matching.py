"""One-to-one matching on hand-made cases, against exhaustive search and against a greedy rule that is wrong."""

from itertools import permutations

import numpy as np
import pytest

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.cytology.matching import match_instances, measure_overlaps


def square(top, left, side=4, label=1, shape=(24, 24)):
    image = np.zeros(shape, dtype=np.int64)
    image[top : top + side, left : left + side] = label
    return image


def counts(match):
    return match.tp, match.fp, match.fn


def test_the_same_objects_under_other_numbers_all_match():
    truth = square(0, 0) + square(10, 10, label=7)
    found = square(0, 0, label=300) + square(10, 10, label=2)
    match = match_instances(truth, found)
    assert counts(match) == (2, 0, 0)
    assert match.pairs.tolist() == [[1, 300], [7, 2]]
    assert match.iou.tolist() == [1.0, 1.0]


def test_a_cell_split_in_halves_is_one_match_at_the_threshold_and_one_false_object():
    truth = np.array([[1, 1, 1, 1]])
    found = np.array([[1, 1, 2, 2]])
    assert counts(match_instances(truth, found)) == (1, 1, 0)
    assert counts(match_instances(truth, found, iou=0.51)) == (0, 2, 1)


def test_two_merged_cells_give_one_match_at_most():
    truth = np.array([[1, 1, 1, 1, 1, 2, 2, 2, 2]])
    merged = np.ones_like(truth)
    assert counts(match_instances(truth, merged)) == (1, 0, 1)
    assert counts(match_instances(truth, merged, iou=0.6)) == (0, 1, 2)


def test_a_shifted_square_has_the_overlap_of_the_closed_form():
    match = match_instances(square(4, 4), square(4, 5))
    assert counts(match) == (1, 0, 0)
    assert match.iou[0] == pytest.approx(12 / 20, abs=1e-15)
    assert counts(match_instances(square(4, 4), square(4, 6))) == (0, 1, 1)


@pytest.mark.parametrize("step", range(10, 20))
def test_an_overlap_exactly_at_the_threshold_counts(step):
    truth, found = np.ones((1, 20), dtype=int), np.zeros((1, 20), dtype=int)
    found[0, :step] = 1
    assert counts(match_instances(truth, found, iou=step / 20)) == (1, 0, 0)
    assert counts(match_instances(truth, found, iou=step / 20 + 1e-9)) == (0, 1, 1)


def test_empty_images_match_nothing():
    empty = np.zeros((24, 24), dtype=int)
    assert counts(match_instances(empty, empty)) == (0, 0, 0)
    assert counts(match_instances(empty, square(0, 0))) == (0, 1, 0)
    assert counts(match_instances(square(0, 0), empty)) == (0, 0, 1)


def test_the_most_pairs_are_found_where_the_greedy_rule_loses_one():
    # truth 1 overlaps found 1 best, but then truth 2 and found 2 would both go without a partner
    truth = np.array([[1] * 6 + [2] * 4])
    found = np.array([[2] * 2 + [1] * 8])
    table = measure_overlaps(truth, found)
    greedy = int(np.argmax(table.iou))
    assert table.pairs[greedy].tolist() in ([1, 1], [2, 1])
    match = match_instances(truth, found, iou=0.3)
    assert match.tp == 2
    assert match.pairs.tolist() == [[1, 2], [2, 1]]


def test_the_assignment_is_that_of_exhaustive_search(rng):
    for _ in range(20):
        truth = rng.integers(0, 5, (6, 6))
        found = rng.integers(0, 5, (6, 6))
        table = np.zeros((5, 5))
        overlaps = measure_overlaps(truth, found)
        table[overlaps.pairs[:, 0], overlaps.pairs[:, 1]] = overlaps.iou
        allowed = np.where(table >= 0.1, 1 + table / 100, 0)[1:, 1:]
        best = max(sum(allowed[k, p[k]] for k in range(4)) for p in permutations(range(4)))
        match = match_instances(truth, found, iou=0.1)
        assert match.tp + match.iou.sum() / 100 == pytest.approx(best, abs=1e-12)


def test_large_numbers_and_small_ones_give_the_same_table(rng):
    truth, found = rng.integers(0, 9, (30, 30)), rng.integers(0, 9, (30, 30))
    small, large = measure_overlaps(truth, found), measure_overlaps(truth * 10**12, found)
    assert np.array_equal(small.iou, large.iou)
    assert np.array_equal(small.pairs * [10**12, 1], large.pairs)


def test_bad_labels_are_refused_in_words():
    with pytest.raises(InputError, match="whole numbers"):
        match_instances(np.zeros((2, 2)), np.zeros((2, 2), dtype=int))
    with pytest.raises(InputError, match="label -1"):
        match_instances(np.full((2, 2), -1), np.zeros((2, 2), dtype=int))
    with pytest.raises(ShapeError, match="found"):
        match_instances(np.zeros((2, 2), dtype=int), np.zeros((2, 3), dtype=int))
    with pytest.raises(InputError, match="iou"):
        match_instances(np.zeros((2, 2), dtype=int), np.zeros((2, 2), dtype=int), iou=0)
