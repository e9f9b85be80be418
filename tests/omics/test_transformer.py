"""The transformer: images that say what the table says, fitted on training rows, and every way back."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.utils.estimator_checks import (
    check_estimator,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
)

from kotowari.core.errors import InputError, ShapeError
from kotowari.formats.blocks import TableBlocks
from kotowari.formats.tables import write_table
from kotowari.studies.omics.model.images import PixelMap, image_batches
from kotowari.studies.omics.model.transformer import DeepInsightTransformer


def expression(samples=14, genes=30, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(samples, 5))[:, np.arange(genes) % 5] + 0.5 * rng.normal(size=(samples, genes)) + 6
    names = [f"G{number}" for number in range(genes)]
    return pd.DataFrame(values, index=[f"P{number}" for number in range(samples)], columns=names)


def fast(**options):
    return DeepInsightTransformer(**({"layout": "pca"} | options))


def scatter_reference(values, pixels, shape):
    """Mean of the genes of a pixel by bincount, sample by sample."""
    cells = np.ravel_multi_index(pixels.T, shape)
    size = shape[0] * shape[1]
    count = np.maximum(np.bincount(cells, minlength=size), 1)
    return np.stack([np.bincount(cells, row, size) / count for row in values]).reshape(-1, *shape)


@pytest.fixture
def table():
    return expression()


# ---------------------------------------------------------------------------------------- pixels and tables


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_hold_the_mean_of_their_genes(dtype):
    rng = np.random.default_rng(0)
    values, pixels = rng.random((6, 40)).astype(dtype), rng.integers(0, (5, 7), (40, 2))
    images = PixelMap(pixels, (5, 7)).images(values)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, scatter_reference(values, pixels, (5, 7)), atol=1e-6)


def test_the_last_gene_of_a_pixel_in_place_of_the_mean_is_caught():
    rng = np.random.default_rng(0)
    values, pixels = rng.random((6, 40)), rng.integers(0, (5, 7), (40, 2))
    wrong = np.zeros((6, 5, 7))
    wrong[:, pixels[:, 0], pixels[:, 1]] = values
    assert np.abs(wrong - scatter_reference(values, pixels, (5, 7))).max() > 0.1


def test_groups_number_the_pixels_row_by_row():
    assert PixelMap(np.array([[1, 1], [0, 2], [1, 1], [1, 0]]), (2, 3)).groups.tolist() == [2, 0, 2, 1]


@pytest.mark.parametrize("weighted", [False, True])
def test_shares_of_a_pixel_sum_to_its_score(weighted):
    rng = np.random.default_rng(0)
    pixel_map = PixelMap(rng.integers(0, 3, (20, 2)), (3, 3))
    maps, weights = rng.normal(size=(4, 3, 3)), rng.random((4, 20))
    weights[:, pixel_map.groups == 0] = 0
    shares = pixel_map.share(maps, weights if weighted else None)
    sums = np.stack([np.bincount(pixel_map.groups, row) for row in shares])
    np.testing.assert_allclose(sums, maps.reshape(4, -1)[:, np.unique(pixel_map.cells)])
    if weighted:
        np.testing.assert_allclose(np.ptp(shares[:, pixel_map.groups == 0], axis=1), 0, atol=1e-12)
        inside = pixel_map.groups == 1
        ratio = shares[:, inside] / weights[:, inside]
        np.testing.assert_allclose(ratio, ratio[:, :1] @ np.ones((1, inside.sum())))


def test_pixels_beyond_the_frame_and_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="outside the frame of 2 x 3"):
        PixelMap(np.array([[0, 3]]), (2, 3))
    with pytest.raises(ShapeError, match=r"\(gene, 2\)"):
        PixelMap(np.zeros((3, 3), int), (2, 3))
    with pytest.raises(ShapeError, match=r"\(sample, 1\)"):
        PixelMap(np.zeros((1, 2), int), (2, 3)).images(np.zeros((4, 2)))
    with pytest.raises(ShapeError, match=r"\(sample, 2, 3\)"):
        PixelMap(np.zeros((1, 2), int), (2, 3)).table(np.zeros((4, 3, 2)))


# ---------------------------------------------------------------------------------------- scikit-learn's contract


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"output": "table"}, {"missing": "zero"}, {"scaling": "norm1"}], ids=str)
def test_the_battery_of_scikit_learn_passes(options):
    results = check_estimator(DeepInsightTransformer(**options), on_skip=None)
    assert {result["check_name"] for result in results if result["status"] != "passed"} <= {"check_array_api_input"}


# scikit-learn's own checks hand arrays to what was fitted on names, and the other way round
@pytest.mark.filterwarnings("ignore:X does not have valid feature names", "ignore:X has feature names")
@pytest.mark.parametrize(
    "check",
    [
        check_set_output_transform,
        check_set_output_transform_pandas,
        check_transformer_get_feature_names_out,
        check_transformer_get_feature_names_out_pandas,
    ],
)
def test_a_table_of_pixels_carries_its_names(check):
    check("DeepInsightTransformer", fast(output="table"))


def test_parameters_stay_as_given_and_clones_are_equal(table):
    transformer = fast(shape=(9, 12), layers=None).fit(table)
    assert clone(transformer).get_params() == transformer.get_params()


def test_names_are_kept_and_pixels_are_named(table):
    transformer = fast(shape=(6, 9)).fit(table)
    assert list(transformer.feature_names_in_) == list(table.columns) == list(transformer.genes_)
    names = transformer.get_feature_names_out()
    assert len(names) == 54
    assert names[0] == "pixel_0_0"
    assert names[-1] == "pixel_5_8"


def test_another_order_of_the_features_is_refused(table):
    with pytest.raises(ValueError, match="same order"):
        fast().fit(table).transform(table[table.columns[::-1]])


# ---------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("assignment", ["bisect", "lsa", "bin"])
@pytest.mark.parametrize("shape", ["auto", (7, 7), (5, 12), (12, 5)])
def test_images_hold_the_scaled_values_at_the_pixels(table, assignment, shape):
    transformer = fast(shape=shape, assignment=assignment, scaling="norm1").fit(table)
    images = transformer.transform(table)
    scaled = ((table - table.min()) / (table.max() - table.min())).to_numpy()
    assert images.dtype == np.float32
    assert images.shape == (14, 1, *transformer.shape_)
    expected = scatter_reference(scaled, transformer.pixels_, transformer.shape_)
    np.testing.assert_allclose(images[:, 0], expected, atol=1e-6)
    assert (len(np.unique(transformer.groups_)) == 30) or assignment == "bin"


def test_the_automatic_frame_is_the_smallest_square_with_room_to_spare(table):
    assert fast().fit(table).shape_ == (6, 6)
    assert max(fast(shape="spaced").fit(table).shape_) <= 224


def test_the_proven_shift_brackets_the_optimum(table):
    shift, bound = fast().fit(table).shifts_[0]
    assert bound <= fast(assignment="lsa").fit(table).shifts_[0, 0] * (1 + 1e-9)
    assert shift <= 1.1 * bound + 1e-3


def test_everything_is_fitted_on_training_rows_alone(table):
    poisoned = table.copy()
    poisoned.iloc[10:] = np.nan
    clean = DeepInsightTransformer().fit(table.iloc[:10])
    again = DeepInsightTransformer(missing="zero").fit(poisoned.iloc[:10])
    np.testing.assert_array_equal(clean.pixels_, again.pixels_)
    np.testing.assert_array_equal(clean.transform(table.iloc[10:]), again.transform(table.iloc[10:]))


def test_a_fit_that_sees_the_test_rows_is_caught(table):
    extreme = table.copy()
    extreme.iloc[10:] *= 3
    honest, leaking = fast().fit(extreme.iloc[:10]), fast().fit(extreme)
    assert not np.array_equal(honest.transform(extreme), leaking.transform(extreme))


def test_the_transform_of_a_row_does_not_depend_on_the_others(table):
    transformer = fast().fit(table)
    np.testing.assert_array_equal(transformer.transform(table)[3:4], transformer.transform(table.iloc[3:4]))


def test_same_seed_gives_the_same_bytes_and_another_seed_others(table):
    first, again, other = (DeepInsightTransformer(random_state=s).fit(table) for s in (0, 0, 5))
    assert first.transform(table).tobytes() == again.transform(table).tobytes()
    assert first.coordinates_.tobytes() != other.coordinates_.tobytes()


def test_a_table_of_pixels_is_the_image_row_by_row(table):
    images = fast().fit(table).transform(table)
    np.testing.assert_array_equal(fast(output="table").fit(table).transform(table), images.reshape(14, -1))


def test_blur_is_a_gaussian_over_the_finished_image(table):
    sharp, blurred = (fast(blur=blur).fit(table).transform(table) for blur in (0.0, 1.5))
    expected = np.stack([gaussian_filter(image[0], 1.5, mode="constant") for image in sharp])
    np.testing.assert_allclose(blurred[:, 0], expected, atol=1e-6)
    assert np.abs(blurred - sharp).max() > 0.05


def test_given_coordinates_are_taken_by_name(table):
    places = pd.DataFrame(np.random.default_rng(0).random((30, 2)), index=table.columns)
    by_name = DeepInsightTransformer(coordinates=places.iloc[::-1]).fit(table)
    by_order = DeepInsightTransformer(coordinates=places.to_numpy()).fit(table)
    np.testing.assert_array_equal(by_name.pixels_, by_order.pixels_)


# ---------------------------------------------------------------------------------------- the way back


@pytest.mark.parametrize("scaling", ["norm1", "norm2"])
def test_the_inverse_gives_the_table_back(table, scaling):
    table["G4"] = 3.25
    transformer = fast(scaling=scaling).fit(table)
    for images in (transformer.transform(table), transformer.transform(table).reshape(14, -1)):
        np.testing.assert_allclose(transformer.inverse_transform(images), table, rtol=1e-5)


def test_the_inverse_gives_the_mean_of_a_shared_pixel(table):
    transformer = fast(scaling="norm1", assignment="bin", shape=(2, 2)).fit(table)
    scaled = transformer.scalers_[0].scale(table.to_numpy())
    back = transformer.scalers_[0].scale(transformer.inverse_transform(transformer.transform(table)))
    for group in np.unique(transformer.groups_):
        inside = transformer.groups_ == group
        np.testing.assert_allclose(
            back[:, inside], scaled[:, inside].mean(1, keepdims=True) * np.ones(inside.sum()), atol=1e-6
        )


def test_a_blurred_image_is_not_inverted(table):
    transformer = fast(blur=1.0).fit(table)
    with pytest.raises(InputError, match="cannot be undone"):
        transformer.inverse_transform(transformer.transform(table))


def test_decoded_scores_are_those_of_the_own_pixel_without_collisions(table):
    transformer = fast().fit(table)
    maps = np.random.default_rng(0).normal(size=(14, *transformer.shape_))
    expected = maps[:, transformer.pixels_[:, 0], transformer.pixels_[:, 1]]
    np.testing.assert_array_equal(transformer.decode(maps), expected)
    np.testing.assert_array_equal(transformer.decode(maps[:, None], table), expected)


def test_decoded_scores_of_shared_pixels_follow_the_values(table):
    transformer = fast(assignment="bin", shape=(2, 2)).fit(table)
    maps = np.random.default_rng(0).normal(size=(14, 1, 2, 2))
    equal, weighted = transformer.decode(maps), transformer.decode(maps, table)
    scaled = transformer.scalers_[0].scale(table.to_numpy()).astype(float)
    for group in np.unique(transformer.groups_):
        inside = transformer.groups_ == group
        np.testing.assert_allclose(weighted[:, inside].sum(1), equal[:, inside].sum(1))
        share = scaled[:, inside] / scaled[:, inside].sum(1, keepdims=True)
        np.testing.assert_allclose(weighted[:, inside], share * weighted[:, inside].sum(1, keepdims=True))
    assert np.abs(weighted - equal).max() > 1e-3


def test_maps_of_another_size_are_refused(table):
    transformer = fast().fit(table)
    for method in (transformer.decode, transformer.inverse_transform):
        with pytest.raises(ShapeError, match=r"\(sample, 1, 6, 6\)"):
            method(np.zeros((2, 1, 5, 6)))


# ---------------------------------------------------------------------------------------- layers and maps


@pytest.fixture
def omics():
    layers = {"rna": expression(seed=0), "dna": expression(seed=1) * 10}
    return pd.concat(layers, axis=1)


def test_layers_become_channels_over_one_layout(omics):
    transformer = fast().fit(omics)
    images = transformer.transform(omics)
    assert images.shape == (14, 2, 6, 6)
    assert transformer.layers_ == ("rna", "dna")
    assert transformer.feature_names_in_[0] == "rna:G0"
    assert transformer.get_feature_names_out()[36] == "dna_pixel_0_0"
    for channel, layer in enumerate(("rna", "dna")):
        alone = fast(coordinates=transformer.coordinates_).fit(omics[layer])
        np.testing.assert_array_equal(alone.transform(omics[layer])[:, 0], images[:, channel])
    np.testing.assert_allclose(transformer.inverse_transform(images), omics, rtol=1e-5)


def test_layers_by_column_names_are_those_of_pairs(omics):
    flat = omics.set_axis([f"{layer}_{gene}" for layer, gene in omics.columns], axis=1)
    mixed = flat[list(flat.columns[::-1])]
    layers = {layer: [f"{layer}_G{number}" for number in range(30)] for layer in ("rna", "dna")}
    by_name, by_pair = fast(layers=layers).fit(mixed), fast().fit(omics)
    assert by_name.genes_[0] == "rna_G0"
    np.testing.assert_array_equal(by_name.transform(mixed), by_pair.transform(omics))


def test_the_layout_of_one_layer_is_that_of_the_layer_alone(omics):
    both = fast(layout_layer="dna").fit(omics)
    np.testing.assert_array_equal(both.pixels_, fast().fit(omics["dna"]).pixels_)
    assert not np.array_equal(both.pixels_, fast().fit(omics).pixels_)
    with pytest.raises(InputError, match="'protein' is none of the layers: rna, dna"):
        fast(layout_layer="protein").fit(omics)


def test_channels_decode_to_their_own_layer_and_one_map_is_shared_by_all(omics):
    transformer = fast().fit(omics)
    maps = np.zeros((14, 2, 6, 6))
    maps[:, 1] = 1
    scores = transformer.decode(maps)
    np.testing.assert_array_equal(scores[:, :30], 0)
    np.testing.assert_array_equal(scores[:, 30:], 1)
    np.testing.assert_allclose(transformer.decode(maps[:, 1]), 0.5)


def test_layers_that_differ_or_leave_columns_out_are_refused(omics):
    with pytest.raises(InputError, match=r"'rna' and 'dna' differ in 1 genes \(G7\)"):
        fast().fit(omics.drop(columns=[("dna", "G7")]))
    flat = expression(genes=5)
    with pytest.raises(InputError, match="same genes in the same order"):
        fast(layers={"a": ["G0", "G1"], "b": ["G2"]}).fit(flat)
    with pytest.raises(InputError, match=r"not in the table \(TP53\)"):
        fast(layers={"a": ["G0", "TP53"]}).fit(flat)
    with pytest.raises(InputError, match=r"3 columns of the table are in no layer \(G2, G3, G4\)"):
        fast(layers={"a": ["G0", "G1"]}).fit(flat)
    with pytest.raises(InputError, match="more than once"):
        fast(layers={"a": ["G0", "G1"], "b": ["G1", "G0"]}).fit(flat)
    with pytest.raises(InputError, match="pairs"):
        fast().fit(pd.concat({"x": omics}, axis=1))


def test_several_maps_follow_one_another_and_differ(omics):
    transformer = DeepInsightTransformer(n_maps=3).fit(omics)
    images = transformer.transform(omics)
    assert images.shape == (14, 6, 6, 6)
    assert transformer.get_feature_names_out()[-1] == "map2_dna_pixel_5_5"
    for number, pixel_map in enumerate(transformer.maps_):
        dna = transformer.scalers_[1].scale(omics["dna"].to_numpy())
        np.testing.assert_array_equal(images[:, 2 * number + 1], pixel_map.images(dna))
    assert len({pixel_map.pixels.tobytes() for pixel_map in transformer.maps_}) == 3
    np.testing.assert_array_equal(transformer.pixels_, DeepInsightTransformer().fit(omics).pixels_)
    np.testing.assert_allclose(transformer.inverse_transform(images), omics, rtol=1e-5)
    relevance = np.random.default_rng(0).normal(size=images.shape)
    assert transformer.decode(relevance).shape == (14, 60)


def test_several_maps_share_out_the_score_of_their_occupied_pixels(table):
    transformer = DeepInsightTransformer(n_maps=2).fit(table)
    relevance = np.random.default_rng(0).normal(size=(3, 2, 6, 6))
    occupied = sum(m.table(relevance[:, k]).sum(1) for k, m in enumerate(transformer.maps_))
    np.testing.assert_allclose(transformer.decode(relevance).sum(1), occupied)


# ---------------------------------------------------------------------------------------- bad input


def test_a_value_that_cannot_be_used_is_named_by_row_and_column(table):
    table.loc["P3", "G5"] = np.nan
    with pytest.raises(InputError, match=r"'P3', column 'G5'"):
        fast().fit(table)
    with pytest.raises(InputError, match=r"row 3, column 'x5' is NaN, and so are 0 other"):
        fast().fit(table.to_numpy())
    infinite = table.fillna(np.inf).to_numpy()
    with pytest.raises(InputError, match="infinite"):
        fast(missing="zero").fit(infinite)
    words = table.assign(G5=["high" if name == "P3" else "1" for name in table.index])
    with pytest.raises(InputError, match="row 'P0', column 'G5': '1' is not a number"):
        fast().fit(words)


def test_missing_values_are_0_where_that_is_wanted(table):
    table.loc["P3", "G5"] = np.nan
    transformer = fast(missing="zero").fit(table)
    row, column = transformer.pixels_[5]
    assert transformer.transform(table)[3, 0, row, column] == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"shape": (5, 5)}, "30 genes do not fit into 5 x 5 = 25 pixels"),
        ({"shape": "huge"}, "shape must be 'auto'"),
        ({"scaling": "zscore"}, "scaling must be"),
        ({"layout": "isomap"}, "layout must be"),
        ({"metric": "hamming"}, "metric must be"),
        ({"assignment": "igtd"}, "assignment must be"),
        ({"missing": "drop"}, "missing must be"),
        ({"output": "png"}, "output must be"),
        ({"n_maps": 0}, "n_maps must be 1 or more"),
        ({"blur": -1.0}, "blur 0 or more"),
        ({"n_maps": 2}, "would be equal maps"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(table, options, sentence):
    with pytest.raises(InputError, match=sentence):
        fast(**options).fit(table)


def test_genes_that_stand_twice_are_refused(table):
    with pytest.raises(InputError, match=r"columns stand more than once \(G1\)"):
        fast().fit(table.rename(columns={"G2": "G1"}))


# ---------------------------------------------------------------------------------------- batches and files


def test_batches_of_any_source_are_the_images_of_the_whole(table, tmp_path):
    transformer = fast().fit(table)
    write_table(tmp_path / "x.csv", table)
    values = table.to_numpy(dtype=np.float32)
    blocks = ((table.index[begin : begin + 5], values[begin : begin + 5]) for begin in range(0, 14, 5))
    for source in (table, values, TableBlocks(tmp_path / "x.csv", rows=6), blocks):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            batches = list(transformer.batches(source, size=4))
        assert all(len(names) == len(images) <= 4 for names, images in batches)
        images = np.concatenate([images for _, images in batches])
        np.testing.assert_allclose(images, transformer.transform(table), atol=1e-6)
    assert batches[0][0] == ("P0", "P1", "P2", "P3")


def test_a_file_with_other_features_is_refused(table, tmp_path):
    write_table(tmp_path / "x.csv", table[table.columns[::-1]])
    with pytest.raises(InputError, match="not those of the fit"):
        fast().fit(table).batches(TableBlocks(tmp_path / "x.csv"))


def test_a_batch_without_samples_is_refused(table):
    with pytest.raises(InputError, match="1 or more samples"):
        next(image_batches(np.asarray, table, size=0))


@pytest.mark.parametrize("kind", ["plain", "array", "layers", "maps", "coordinates"])
def test_a_saved_transformer_comes_back_as_it_was(table, omics, tmp_path, kind):
    layers = {layer: [f"{layer}:G{number}" for number in range(30)] for layer in ("rna", "dna")}
    flat = omics.set_axis([f"{layer}:{gene}" for layer, gene in omics.columns], axis=1)
    transformer, data = {
        "plain": (fast(shape=(6, 8)), table),
        "array": (fast(), table.to_numpy()),
        "layers": (fast(layers=layers), flat),
        "maps": (DeepInsightTransformer(n_maps=2, random_state=np.int64(3)), omics),
        "coordinates": (DeepInsightTransformer(coordinates=np.random.default_rng(0).random((30, 2))), table),
    }[kind]
    images = transformer.fit(data).transform(data)
    transformer.save(tmp_path / "model")
    loaded = DeepInsightTransformer.load(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "transformer.json",
        "transformer.safetensors",
    ]
    assert loaded.transform(data).tobytes() == images.tobytes()
    np.testing.assert_array_equal(loaded.fit(data).transform(data), images)
    for name, value in vars(transformer).items():
        if name.endswith("_") and name not in ("maps_", "scalers_"):
            np.testing.assert_array_equal(getattr(loaded, name), value, err_msg=name)


def test_damaged_files_are_refused(table, tmp_path):
    transformer = fast().fit(table)
    transformer.save(tmp_path)
    arrays, facts = tmp_path / "transformer.safetensors", tmp_path / "transformer.json"
    whole, described = arrays.read_bytes(), json.loads(facts.read_text())
    arrays.write_bytes(whole[:-8])
    with pytest.raises(InputError, match="does not belong"):
        DeepInsightTransformer.load(tmp_path)
    arrays.write_bytes(whole)
    facts.write_text(json.dumps(described | {"kind": "Other"}))
    with pytest.raises(InputError, match="is no saved DeepInsightTransformer"):
        DeepInsightTransformer.load(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        DeepInsightTransformer.load(tmp_path / "nowhere")


def test_a_generator_as_random_state_is_not_saved(table, tmp_path):
    transformer = fast(random_state=np.random.RandomState(0)).fit(table)
    with pytest.raises(InputError, match="random_state must be a number"):
        transformer.save(tmp_path)
