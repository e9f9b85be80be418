"""Genes to pixels: no collisions, near the optimum, and the bound that proves it."""

import numpy as np
import pytest

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.omics.model import assignment
from kotowari.studies.omics.model.assignment import assign_pixels
from kotowari.studies.omics.model.auction import auction, bisection, lower_bound


def clustered(genes, shape, seed=0, clusters=12):
    """Points as a neighbour embedding leaves them, in tight groups, scaled to fill the frame."""
    rng = np.random.default_rng(seed)
    member = rng.integers(0, clusters, genes)
    places = 3 * rng.normal(size=(clusters, 2))[member]
    places += rng.normal(size=(genes, 2)) * rng.uniform(0.1, 0.8, clusters)[member, None]
    return (places - places.min(0)) / np.ptp(places, axis=0) * (np.array(shape) - 1e-9)


CASES = {
    "sparse": clustered(60, (32, 32)),
    "half full": clustered(500, (32, 32)),
    "full": clustered(1024, (32, 32)),
    "wide": clustered(300, (8, 60)),
    "one row": clustered(40, (1, 60)),
    "one place": np.full((200, 2), 7.5),
    "two corners": np.repeat([[0.2, 0.2], [15.9, 15.9]], 100, axis=0),
    "centres": np.indices((9, 9)).reshape(2, -1).T + 0.5,
    "one gene": np.array([[0.3, 0.9]]),
}
SHAPES = {"wide": (8, 60), "one row": (1, 60), "one place": (16, 16), "two corners": (16, 16), "centres": (9, 9)}


def require_one_pixel_each(pixels, shape):
    assert pixels.min() >= 0
    assert (pixels < shape).all()
    assert len(np.unique(pixels, axis=0)) == len(pixels)


@pytest.mark.parametrize("method", ["bisect", "lsa"])
@pytest.mark.parametrize("name", CASES)
def test_every_gene_has_a_pixel_of_its_own(name, method):
    shape = SHAPES.get(name, (32, 32))
    require_one_pixel_each(assign_pixels(CASES[name], shape, assignment=method).pixels, shape)


def test_a_collision_is_caught():
    with pytest.raises(AssertionError):
        require_one_pixel_each(assign_pixels(CASES["full"], (32, 32), assignment="bin").pixels, (32, 32))


@pytest.mark.parametrize("name", CASES)
def test_shift_is_within_a_tenth_of_the_optimum_and_the_bound_below_it(name):
    shape = SHAPES.get(name, (32, 32))
    found, best = (assign_pixels(CASES[name], shape, assignment=method) for method in ("bisect", "lsa"))
    assert best.shift * (1 - 1e-9) <= found.shift <= 1.1 * best.shift + 1e-3
    assert found.bound <= best.shift * (1 + 1e-9)


def test_bisection_alone_is_further_from_the_optimum():
    places = CASES["half full"]
    cells = bisection(places, 32, 32)
    pixels = np.stack(np.divmod(cells, 32), axis=1)
    require_one_pixel_each(pixels, (32, 32))
    shift = ((places - pixels - 0.5) ** 2).sum(1).mean()
    assert shift > 1.1 * assign_pixels(places, (32, 32), assignment="lsa").shift


def test_auction_is_within_its_increment_of_the_optimum():
    places = CASES["half full"]
    best = assign_pixels(places, (32, 32), assignment="lsa").shift
    for increment in (5.0, 0.5, 0.05):
        cells, price = auction(places, 32, 32, increment)
        pixels = np.stack(np.divmod(cells, 32), axis=1)
        assert ((places - pixels - 0.5) ** 2).sum(1).mean() <= best + increment
        assert price.min() >= 0
        assert best - increment <= lower_bound(places, price) <= best


def test_lower_bound_of_any_prices_is_below_the_optimum():
    places = CASES["sparse"]
    best = assign_pixels(places, (32, 32), assignment="lsa").shift
    rng = np.random.default_rng(0)
    assert all(lower_bound(places, scale * rng.random((32, 32))) <= best for scale in (0, 0.1, 1, 10))


def test_lower_bound_is_the_minimum_over_all_pixels():
    places, price = CASES["sparse"], 30 * np.random.default_rng(0).random((32, 32))
    centres = np.indices((32, 32)).transpose(1, 2, 0) + 0.5
    values = ((places[:, None, None] - centres) ** 2).sum(-1) + price
    expected = (values.min((1, 2)).sum() - price.sum()) / len(places)
    assert lower_bound(places, price) == pytest.approx(expected)


def test_genes_at_the_centres_stay_where_they_are():
    places = CASES["centres"]
    found = assign_pixels(places, (9, 9))
    np.testing.assert_array_equal(found.pixels, places - 0.5)
    assert found.shift == 0


def test_same_places_give_the_same_pixels():
    first, again = (assign_pixels(CASES["half full"], (32, 32)).pixels for _ in range(2))
    assert first.tobytes() == again.tobytes()


def test_bin_is_the_pixel_a_gene_stands_in_up_to_the_edge():
    places = np.array([[0.0, 0.99], [1.5, 2.0], [2.0, 3.0]])
    np.testing.assert_array_equal(assign_pixels(places, (2, 3), assignment="bin").pixels, [[0, 0], [1, 2], [1, 2]])


@pytest.mark.parametrize("method", ["bisect", "lsa"])
def test_a_frame_too_small_names_numbers_and_the_side_that_works(method):
    places = np.random.default_rng(0).random((10, 2)) * 3
    with pytest.raises(InputError, match=r"10 genes do not fit into 3 x 3 = 9 pixels .* is 4 x 4"):
        assign_pixels(places, (3, 3), assignment=method)
    require_one_pixel_each(assign_pixels(places, (4, 4), assignment=method).pixels, (4, 4))


def test_a_cost_matrix_beyond_the_limit_is_refused_with_its_size():
    with pytest.raises(InputError, match=r"7\.5 GiB for 20000 genes on 224 x 224"):
        assign_pixels(np.zeros((20000, 2)), (224, 224), assignment="lsa")


def test_unknown_methods_and_other_shapes_are_refused():
    with pytest.raises(InputError, match="assignment must be one of bisect, lsa, bin"):
        assign_pixels(np.zeros((2, 2)), (4, 4), assignment="igtd")
    with pytest.raises(ShapeError, match=r"\(gene, 2\)"):
        assign_pixels(np.zeros((2, 3)), (4, 4))


def test_finer_bids_are_tried_until_the_bound_proves_the_shift(monkeypatch):
    increments = []

    def watched(points, height, width, increment):
        increments.append(increment)
        return auction(points, height, width, increment)

    monkeypatch.setattr(assignment, "auction", watched)
    monkeypatch.setattr(assignment, "_FIRST_INCREMENT", 4.0)
    found = assign_pixels(CASES["half full"], (32, 32))
    assert len(increments) > 1
    assert found.shift <= 1.1 * found.bound + 1e-3
