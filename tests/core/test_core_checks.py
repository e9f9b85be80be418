"""One clear sentence at the door, and one family of errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotowari.core import errors
from kotowari.core.checks import few, require_extra, require_methods, require_unique
from kotowari.core.errors import CapabilityError, InputError, KotowariError, MissingExtraError, ShapeError

BUILT_IN = {
    "CapabilityError": TypeError,
    "ConvergenceError": RuntimeError,
    "DesignError": ValueError,
    "InputError": ValueError,
    "KotowariError": Exception,
    "MissingExtraError": ImportError,
    "RunFolderError": OSError,
    "ShapeError": ValueError,
}


class Blind:
    fit = "not a method"

    def predict(self):
        return 0


def test_a_library_that_is_there_is_handed_over():
    assert require_extra("json.decoder", extra="omics", by="h5ad").JSONDecoder is not None


def test_a_missing_library_is_told_with_the_line_that_installs_it():
    sentence = r"h5ad needs no_such_library, which is not installed\. Install it: pip install 'kotowari\[omics\]'$"
    with pytest.raises(MissingExtraError, match=sentence) as caught:
        require_extra("no_such_library.part", extra="omics", by="h5ad")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_an_object_with_the_methods_passes_and_one_without_is_told_all_that_it_lacks():
    require_methods(Blind(), "predict", by="trust")
    with pytest.raises(
        CapabilityError, match=r"Blind cannot be used with trust: it has no fit and no score\. trust needs"
    ):
        require_methods(Blind(), "fit", "predict", "score", by="trust")


def test_names_that_stand_once_pass_and_repeated_ones_are_listed():
    require_unique(["a", "b"], what="genes", where="table.csv")
    with pytest.raises(InputError, match=r"table\.csv: 2 genes stand more than once \(a, c\)\. Make them unique"):
        require_unique("abcac", what="genes", where="table.csv")


@given(st.lists(st.integers(), max_size=12), st.integers(1, 12))
def test_few_shows_as_many_as_allowed_and_counts_the_rest(names, limit):
    text = few(iter(names), limit)
    shown, _, rest = text.partition(" and ")
    assert shown == ", ".join(map(str, names[:limit]))
    assert rest == (f"{len(names) - limit} more" if len(names) > limit else "")


def test_every_error_is_ours_and_a_built_in_one():
    assert set(BUILT_IN) == set(errors.__all__)
    for name, built_in in BUILT_IN.items():
        error = getattr(errors, name)
        assert issubclass(error, built_in)
        assert issubclass(error, KotowariError)
        assert f"- {name} " in errors.__doc__ or name == "KotowariError"


def test_a_shape_that_does_not_fit_is_told_by_who_what_and_how():
    error = ShapeError.mismatch("AverageHead", "features", ("batch", 6, "height"), [2, 5, 7])
    assert str(error) == "AverageHead: features must have shape (batch, 6, height), got (2, 5, 7)."
