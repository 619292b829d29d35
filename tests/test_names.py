"""Names from outside stay below the folder that they are joined to, or are refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.sources.hub import Repository
from shortlist.dataset.columns import ColumnWriter
from shortlist.features import FeatureStore
from shortlist.names import ForeignNameError, below
from shortlist.recipe.model import Categorical
from shortlist.serving.predictor.torchserve import Options

OUTSIDE = [
    "../x",
    "/etc/passwd",
    "a/../../x",
    "..",
    ".",
    "",
    "a//b",
    "a/",
    "./a",
    "a\\..\\b",
    "a\0b",
    "a\nb",
    "x" * 256,
]

parts = st.one_of(st.sampled_from(["..", ".", "", "a", "b", "..."]), st.text(max_size=6))


@given(first=st.lists(parts, max_size=5).map("/".join), second=st.lists(parts, max_size=5).map("/".join))
def test_a_name_is_refused_or_is_a_file_of_its_own_below_the_folder(first: str, second: str) -> None:
    folder, found = Path("/scratch/run"), {}
    for name in {first, second}:
        try:
            path = below(folder, name)
        except ForeignNameError:
            continue
        assert path.resolve().is_relative_to(folder)
        assert path.resolve() != folder
        found[path.resolve()] = name
        assert str(path.relative_to(folder)) == name
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_leads_out_is_refused_with_its_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ForeignNameError, match="is not a valid file name"):
        below(tmp_path, name)


def test_ordinary_names_in_any_language_are_taken(tmp_path: Path) -> None:
    for name in ("part-0.csv", "event=view/dt=2024-01-01/a b[1]*.csv", "журнал/日.csv", "...", "~x", "-", ".hidden"):
        assert below(tmp_path, name) == tmp_path / name


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path)
    with pytest.raises(ForeignNameError, match="leads out of it"):
        below(tmp_path / "in", "link/x")


def test_columns_that_name_files_stay_in_their_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a valid file name"), ColumnWriter(tmp_path / "samples") as columns:
        columns.add("../out", "int8", (0,))
    for name in ("../x", "genre/main", ".x", "/x"):
        with pytest.raises(ValueError, match="name"):
            Categorical(name=name)
    assert not list(tmp_path.rglob("out*"))


def test_a_store_reads_no_file_outside_of_it(tmp_path: Path) -> None:
    store = object.__new__(FeatureStore)
    store.folder = tmp_path
    with pytest.raises(ForeignNameError):
        store._array("users/../../out")


def test_a_file_of_a_hub_that_leads_out_is_refused_before_it_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"datasets/a/b: '\.\./x' is not a valid file name"):
        Repository("datasets", "a/b", None).download("../x")


@pytest.mark.parametrize("name", ["../x", "/x", "", 'a"b', "a\nb", ".x", "a/b"])
def test_a_model_cannot_be_called_like_a_path(name: str) -> None:
    with pytest.raises(ValueError, match="--model_name"):
        Options(model_name=name)
