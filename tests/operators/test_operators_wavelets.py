"""Wavelet filters, the transform against PyWavelets, and the learned lattice."""

import warnings
from math import pi

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core.errors import InputError
from kotowari.operators.filters import lattice_angles, lattice_filter, low_pass_filter
from kotowari.operators.lattice import LatticeWavelet
from kotowari.operators.wavelet import Wavelet, analysis, mirror_filter, synthesis
from kotowari.testing.gradient import assert_gradient

DAUBECHIES = [f"db{order}" for order in range(1, 21)]
SYMLETS = [f"sym{order}" for order in range(2, 21)]


def _draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def _distance_from_orthonormal(taps):
    return max(abs(taps[2 * k :] @ taps[: len(taps) - 2 * k] - (k == 0)) for k in range(len(taps) // 2))


def _pywt_pyramid(x, name, levels, n_axes):
    axes = tuple(range(-n_axes, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of levels that are higher than the filter is short
        tree = pywt.wavedecn(x.numpy(), name, mode="periodization", level=levels, axes=axes)
    return torch.from_numpy(pywt.coeffs_to_array(tree, axes=axes)[0])


# ------------------------------------------------------------------------------------------------------- filters
@pytest.mark.parametrize("name", DAUBECHIES + SYMLETS)
def test_computed_taps_are_orthonormal_to_rounding(name):
    taps = low_pass_filter(name)
    assert taps.dtype == np.float64
    assert _distance_from_orthonormal(taps) < 1e-14
    assert abs(taps.sum() - np.sqrt(2)) < 1e-14


def test_a_tap_off_by_a_millionth_is_not_orthonormal():
    taps = low_pass_filter("db20").copy()
    taps[3] += 1e-6
    assert _distance_from_orthonormal(taps) > 1e-8


@pytest.mark.parametrize("name", DAUBECHIES)
def test_daubechies_taps_are_those_of_pywavelets(name):
    assert np.abs(low_pass_filter(name) - pywt.Wavelet(name).rec_lo).max() < 1e-14


@pytest.mark.parametrize("name", SYMLETS)
def test_symlet_taps_are_those_of_pywavelets_or_their_mirror_image(name):
    taps, theirs = low_pass_filter(name), np.array(pywt.Wavelet(name).rec_lo)
    bar = 1e-10  # their table of sym20 is itself orthonormal to 1.4e-11 only
    assert min(np.abs(taps - theirs).max(), np.abs(taps[::-1] - theirs).max()) < bar


def test_a_symlet_of_other_zeros_is_told_apart():
    theirs = np.array(pywt.Wavelet("sym8").rec_lo)
    assert np.abs(low_pass_filter("db8") - theirs).max() > 0.1


@pytest.mark.parametrize("name", ["db2", "db5", "sym4", "sym10"])
def test_the_high_pass_has_as_many_vanishing_moments_as_the_order(name):
    high = mirror_filter(torch.tensor(low_pass_filter(name))).numpy()
    order = len(high) // 2
    k = (np.arange(len(high)) - order) / order
    moments = np.array([high @ k**power for power in range(order + 1)])
    assert np.abs(moments[:order]).max() < 1e-13
    assert abs(moments[order]) > 1e-8


def test_the_energy_of_a_filter_comes_first():
    for name in DAUBECHIES[1:] + SYMLETS:
        taps = low_pass_filter(name)
        assert taps**2 @ np.arange(len(taps)) < (len(taps) - 1) / 2


def test_taps_are_computed_once_and_cannot_be_changed():
    assert low_pass_filter("db4") is low_pass_filter("db4")
    with pytest.raises(ValueError, match="read-only"):
        low_pass_filter("db4")[0] = 1.0


@pytest.mark.parametrize("name", ["db0", "db21", "sym1", "sym21", "haar", "db", "4", "", "db4.5", "db-2"])
def test_unknown_filters_are_refused(name):
    with pytest.raises(InputError, match="db1 to db20 or sym2 to sym20"):
        low_pass_filter(name)


# -------------------------------------------------------------------------------------------------------- angles
@pytest.mark.parametrize("name", DAUBECHIES + SYMLETS)
def test_angles_give_the_taps_back(name):
    taps = low_pass_filter(name)
    angles = lattice_angles(taps)
    assert angles.shape == (len(taps) // 2,)
    assert np.abs(lattice_filter(torch.from_numpy(angles)).numpy() - taps).max() < 1e-13


def test_the_angles_of_db2_are_sixty_and_minus_fifteen_degrees():
    np.testing.assert_allclose(np.degrees(lattice_angles(low_pass_filter("db2"))), [60, -15], atol=1e-12)


@pytest.mark.parametrize("name", ["db3", "db9", "sym6", "sym15"])
def test_the_angles_of_a_known_filter_sum_to_an_eighth_of_a_turn(name):
    excess = lattice_angles(low_pass_filter(name)).sum() - pi / 4
    assert abs((excess + pi) % (2 * pi) - pi) < 1e-9


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=8))
def test_taps_of_any_angles_are_orthonormal(angles):
    taps = lattice_filter(torch.tensor(angles, dtype=torch.float64)).numpy()
    assert _distance_from_orthonormal(taps) < 1e-14


@given(st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=5))
def test_angles_of_any_orthonormal_taps_give_the_taps_back(angles):
    taps = lattice_filter(torch.tensor(angles, dtype=torch.float64)).numpy()
    again = lattice_filter(torch.from_numpy(lattice_angles(taps))).numpy()
    assert np.abs(again - taps).max() < 1e-10


def test_many_lattices_are_multiplied_at_once():
    angles = _draw(2, 3, 4)
    one_by_one = torch.stack([torch.stack([lattice_filter(row) for row in rows]) for rows in angles])
    torch.testing.assert_close(lattice_filter(angles), one_by_one)


@pytest.mark.parametrize("taps", [[1.0, 1.0], [0.6, 0.0, 0.8, 0.0], [1.0], [1.0, 0.0, 0.0], [[1.0, 0.0]], []])
def test_taps_that_are_not_orthonormal_have_no_angles(taps):
    with pytest.raises(InputError, match=r"lattice_angles: (the )?taps"):
        lattice_angles(taps)


def test_taps_whose_angles_cannot_be_told_are_refused():
    random = np.random.default_rng(37).uniform(-4, 4, 24)
    taps = lattice_filter(torch.from_numpy(random)).numpy()
    assert max(abs(taps[[0, -1]])) < 1e-11
    with pytest.raises(InputError, match="rounding hides the angles of these 48 taps"):
        lattice_angles(taps)


# ----------------------------------------------------------------------------------------------------- transform
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("name", ["db1", "db2", "db4", "db7", "db20"])
@pytest.mark.parametrize(
    ("shape", "n_axes"), [((48,), 1), ((3, 40), 1), ((16, 24), 2), ((2, 8, 56), 2), ((8, 16, 24), 3)]
)
def test_coefficients_are_those_of_pywavelets(shape, n_axes, name, levels):
    x = _draw(2, *shape)
    ours = Wavelet(shape, name, levels=levels, n_axes=n_axes)(x)
    torch.testing.assert_close(ours, _pywt_pyramid(x, name, levels, n_axes), rtol=0, atol=1e-12)


def test_symlet_coefficients_are_those_of_pywavelets_where_the_taps_are():
    x = _draw(16, 32)
    torch.testing.assert_close(
        Wavelet((16, 32), "sym7", levels=2)(x), _pywt_pyramid(x, "sym7", 2, 2), rtol=0, atol=1e-10
    )


def test_haar_coefficients_are_sums_and_differences_of_neighbours():
    x = _draw(5, 12)
    y = Wavelet((12,), "db1", levels=1, n_axes=1)(x)
    expected = torch.cat([x[:, ::2] + x[:, 1::2], x[:, ::2] - x[:, 1::2]], 1) / 2**0.5
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("shape", [(2, 2), (512, 6), (96, 100), (4, 94)])
def test_the_adjoint_is_the_inverse(shape, dtype):
    x = _draw(3, *shape, dtype=dtype)
    transform = Wavelet(shape, "sym6", levels=1)
    torch.testing.assert_close(transform.H(transform(x)), x, rtol=0, atol=200 * torch.finfo(dtype).eps)
    torch.testing.assert_close(transform(transform.H(x)), x, rtol=0, atol=200 * torch.finfo(dtype).eps)


def test_input_is_left_as_it_was():
    x = _draw(16, 16)
    before, transform = x.clone(), Wavelet((16, 16), "db2", levels=2)
    transform.H(x), transform(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(("shape", "n_axes"), [((64,), 1), ((3, 16, 32), 2), ((8, 8, 16), 3)])
def test_bands_fill_the_codomain_once(shape, n_axes):
    transform = Wavelet(shape, "db2", levels=3, n_axes=n_axes)
    count = torch.zeros(shape)
    for band in transform.bands():
        count[(..., *band.slices)] += 1
    assert (count == 1).all()
    assert len(transform.bands()) == 1 + 3 * (2**n_axes - 1)


def test_bands_bear_the_names_of_pywavelets():
    x = _draw(16, 24)
    transform = Wavelet((16, 24), "db3", levels=2)
    y = transform(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = pywt.wavedecn(x.numpy(), "db3", mode="periodization", level=2)
    for level, orientation, slices in transform.bands():
        theirs = tree[0] if orientation == "aa" else tree[-level][orientation]
        np.testing.assert_allclose(y[slices].numpy(), theirs, atol=1e-12)


def test_a_polynomial_has_no_details_away_from_the_border():
    transform = Wavelet((64,), "db3", levels=1, n_axes=1)
    position = torch.linspace(-1, 1, 64, dtype=torch.float64)
    details = transform(position**2)[32:]
    assert details[3:-3].abs().max() < 1e-13
    assert transform(position**3)[35:-3].abs().max() > 1e-5


@pytest.mark.parametrize(
    ("shape", "name", "levels"),
    [((512, 512), "db4", 6), ((500, 512), "db1", 2), ((96, 96), "sym8", 2), ((10, 6), "db10", 1)],
)
def test_levels_go_as_deep_as_is_sensible(shape, name, levels):
    assert Wavelet(shape, name).levels == levels


@pytest.mark.parametrize(
    ("shape", "options", "match"),
    [
        ((250, 256), {"levels": 2}, "axis 0 has 250 entries, which 2\\*\\*2 does not divide; at most 1 level"),
        ((4, 256, 36), {"levels": 3}, "axis 2 has 36 entries.*levels=2 or pad"),
        ((8, 7), {}, "axis 1 has 7 entries.*so pad it"),
        ((8, 8), {"levels": 0}, "levels must be 1 or more"),
        ((8, 8), {"n_axes": 4}, "n_axes must be 1, 2 or 3"),
        ((8,), {"n_axes": 2}, "at most 1"),
    ],
)
def test_what_cannot_be_transformed_is_refused(shape, options, match):
    with pytest.raises(InputError, match=match):
        Wavelet(shape, **options)


# ------------------------------------------------------------------------------------------------------- lattice
def test_a_lattice_from_a_known_filter_is_the_known_wavelet():
    x = _draw(2, 16, 24)
    for vanishing_mean in (True, False):
        ours = LatticeWavelet.from_filters("sym6", (16, 24), levels=2, vanishing_mean=vanishing_mean)
        torch.testing.assert_close(ours(x), Wavelet((16, 24), "sym6", levels=2)(x), rtol=0, atol=1e-12)


def test_a_number_of_angles_starts_at_haar():
    x = _draw(16)
    taps = LatticeWavelet((16,), 3, levels=1, n_axes=1).low_pass()
    torch.testing.assert_close(taps, torch.tensor([1.0, 1, 0, 0, 0, 0], dtype=torch.float64) / 2**0.5)
    one = LatticeWavelet((16,), 1, levels=2, n_axes=1)
    torch.testing.assert_close(one(x), Wavelet((16,), "db1", levels=2, n_axes=1)(x))


def test_the_tied_angle_leaves_no_detail_of_a_constant():
    x = torch.ones(24, dtype=torch.float64)
    tied = LatticeWavelet((24,), _draw(5), levels=3, n_axes=1)
    free = LatticeWavelet((24,), _draw(5), levels=3, n_axes=1, vanishing_mean=False)
    assert tied(x)[3:].abs().max() < 1e-14
    assert free(x)[3:].abs().max() > 0.1
    assert len(tied.angles) == 4
    assert len(free.angles) == 5


@pytest.mark.parametrize("vanishing_mean", [True, False])
def test_gradients_reach_the_angles_through_forward_and_adjoint(vanishing_mean):
    x = _draw(2, 8, 12)
    rng = torch.Generator().manual_seed(0)

    def run(angles, direction):
        transform = LatticeWavelet((8, 12), 4, levels=2, learn=False, vanishing_mean=vanishing_mean)
        transform.angles = angles
        return getattr(transform, direction)(x)

    start = _draw(3 if vanishing_mean else 4)
    for direction in ("forward", "adjoint"):
        assert_gradient(lambda angles, direction=direction: run(angles, direction), start, rng=rng)


def test_training_cannot_break_perfect_reconstruction():
    x = _draw(4, 64).cumsum(1)
    transform = LatticeWavelet.from_filters("db3", (64,), levels=3, n_axes=1)
    taps = torch.nn.Parameter(transform.low_pass().detach().clone())
    start = transform(x).abs().sum().item()
    optimiser = torch.optim.Adam([*transform.parameters(), taps], lr=0.02, foreach=False)
    for step in range(100):
        optimiser.zero_grad()
        weights = _draw(64, seed=step)
        loss = (weights * transform(x)).abs().sum() + (weights * analysis(x, taps, levels=3, n_axes=1)).abs().sum()
        loss.backward()
        optimiser.step()
    assert abs(transform(x).abs().sum().item() - start) > 1e-3 * start  # it did learn
    scale = x.abs().max()
    assert (transform.H(transform(x)) - x).abs().max() < 1e-12 * scale
    broken = synthesis(analysis(x, taps, levels=3, n_axes=1), taps, levels=3, n_axes=1)
    assert (broken - x).abs().max() > 1e-3 * scale  # free taps lose it under the same training


def test_only_a_learned_lattice_has_parameters_and_both_are_saved():
    learned, fixed = (LatticeWavelet((8, 8), 3, levels=1, learn=learn) for learn in (True, False))
    assert [name for name, _ in learned.named_parameters()] == ["angles"]
    assert not list(fixed.parameters())
    assert set(learned.state_dict()) == set(fixed.state_dict()) == {"angles"}
    assert not Wavelet((8, 8)).state_dict()  # a wavelet by name holds nothing of its own


@pytest.mark.parametrize("angles", [0, -1, [], [[0.1, 0.2]]])
def test_a_lattice_needs_a_row_of_angles(angles):
    with pytest.raises(InputError, match="angles must be their number, or one row"):
        LatticeWavelet((8, 8), angles)
