"""Scores beside comparators: order, intervals, chance, and the refits behind p."""

import re
from xml.etree import ElementTree

import pytest

from kotowari.core import Metric
from kotowari.report.intervals_svg import Axis, draw_axis, draw_interval, draw_marker
from kotowari.report.scores import ROLES, score_groups


def row(model, role, value, **more):
    return Metric("MSI", more.pop("metric", "auc"), model, role, value, **more)


SHUFFLED = [
    row("labels", "chance", 0.5, n=90),
    row("forest", "comparator", 0.80),
    row("untrained net", "untrained", 0.6),
    row("elastic net", "comparator", 0.85),
    row("net", "ours", 0.84, p=1 / 21, n=90, n_null=20),
    row("pixels", "trivial null", 0.83),
    row("broken", "comparator", None),
]


def test_rows_stand_by_role_and_comparators_best_first():
    (group,) = score_groups(SHUFFLED)
    assert [r.model for r in group.rows] == [
        "net",
        "elastic net",
        "forest",
        "broken",
        "pixels",
        "untrained net",
        "labels",
    ]
    assert [r.model for r in group.rows if r.is_best_comparator] == ["elastic net"]


def test_the_best_comparator_of_a_loss_is_the_lowest():
    rows = [row("a", "comparator", 0.4, metric="log_loss"), row("b", "comparator", 0.3, metric="log_loss")]
    (group,) = score_groups(rows)
    assert not group.larger_is_better
    assert [r.model for r in group.rows if r.is_best_comparator] == ["b"]


def test_our_own_rows_keep_the_order_of_the_study():
    (group,) = score_groups([row("first", "ours", 0.7), row("second", "ours", 0.9)])
    assert [r.model for r in group.rows] == ["first", "second"]


def test_p_is_printed_with_the_refits_behind_it():
    (group,) = score_groups(SHUFFLED)
    assert group.rows[0].p == "0.048 (20 refits)"
    assert group.refits == (20,)
    assert group.floors == ("With 20 refits p cannot fall below 0.048.",)


def test_without_a_count_of_refits_p_stands_alone():
    (group,) = score_groups([row("net", "ours", 0.84, p=1 / 21), row("labels", "chance", 0.5, n=90)])
    assert group.rows[0].p == "0.048"
    assert group.refits == ()


def test_digits_follow_the_width_of_the_interval():
    wide = score_groups([row("net", "ours", 0.8421, low=0.741, high=0.929)])
    narrow = score_groups([row("net", "ours", 0.8421, low=0.8391, high=0.8449)])
    assert (wide[0].rows[0].value, wide[0].rows[0].interval) == ("0.84", "[0.74, 0.93]")
    assert (narrow[0].rows[0].value, narrow[0].rows[0].interval) == ("0.8421", "[0.8391, 0.8449]")


def test_folds_without_a_figure_over_all_are_averaged_and_say_so():
    (group,) = score_groups([row("net", "ours", v, fold=i) for i, v in enumerate((0.7, 0.9, None))])
    assert group.rows[0].value == "0.800"
    assert group.rows[0].is_fold_mean
    assert group.fold_rows[0].values == ("0.700", "0.900", "—")


def test_a_missing_value_is_a_dash():
    (group,) = score_groups([row("net", "ours", None)])
    assert (group.rows[0].value, group.rows[0].p, group.rows[0].n) == ("—", "—", "—")


def test_groups_go_by_target_then_metric():
    rows = [Metric(t, m, "net", "ours", 0.5) for t, m in (("a", "auc"), ("b", "auc"), ("a", "f1"))]
    assert [(group.target, group.metric) for group in score_groups(rows)] == [("a", "AUC"), ("a", "F1"), ("b", "AUC")]


def marks(picture, tag):
    return [element.attrib for element in ElementTree.fromstring(picture).iter(tag)]  # noqa: S314  (our own picture)


def test_equal_scores_stand_at_equal_places_in_every_row():
    axis = Axis.around([0.5, 0.9], chance=0.5)
    places = {
        marks(draw_interval(axis, "ours", 0.7, ends=ends, folds=()), "circle")[0]["cx"] for ends in ((), (0.6, 0.8))
    }
    assert len(places) == 1
    assert axis.position(0.5) < axis.position(0.7) < axis.position(0.9)


def test_the_interval_line_runs_from_low_to_high():
    axis = Axis.around([0.5, 0.9])
    picture = draw_interval(axis, "ours", 0.7, ends=(0.6, 0.8), folds=(0.55, 0.85))
    (line,) = [mark["d"] for mark in marks(picture, "path") if mark["class"] == "interval ours"]
    assert [float(n) for n in re.findall(r"[MH]([\d.]+)", line)[:2]] == [axis.position(0.6), axis.position(0.8)]
    assert [m["cx"] for m in marks(picture, "circle") if m["class"] == "fold"] == [
        str(axis.position(v)) for v in (0.55, 0.85)
    ]


def test_chance_is_drawn_where_it_stands():
    axis = Axis.around([0.8, 0.9], chance=0.5)
    (dashed,) = [
        m["d"] for m in marks(draw_interval(axis, "ours", None, ends=(), folds=()), "path") if m["class"] == "chance"
    ]
    assert dashed.startswith(f"M{axis.position(0.5)} ")


@pytest.mark.parametrize("values", [[], [0.0], [1.0, 1.0], [-3.0, 1e6], [1e-9, 2e-9], [0.849]])
def test_any_scores_find_an_axis_with_round_ticks(values):
    axis = Axis.around(values)
    assert axis.low < axis.high
    assert all(axis.low <= value <= axis.high for value in values)
    assert 2 <= len(axis.ticks) <= 6
    assert len(marks(draw_axis(axis), "text")) == len(axis.ticks)


def test_scores_between_zero_and_one_keep_their_axis_there():
    assert (Axis.around([0.0, 1.0]).low, Axis.around([0.0, 1.0]).high) == (0.0, 1.0)


def test_every_role_has_its_own_shape():
    assert len({draw_marker(role) for role in ROLES}) == len(ROLES)
