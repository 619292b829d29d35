"""One rule says where a recipe's runs and releases lie."""

from pathlib import Path

import pytest

from shortlist.cli.places import find_places
from shortlist.tracking.place import place_of

RECIPE = "name: tiny\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with its recipe in a folder of its own; the home folder is above it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "shop/recipes").mkdir(parents=True)
    (tmp_path / "shop/recipes/tiny.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"


def test_the_first_run_in_a_folder_above_the_recipe_decides_for_every_later_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = find_places(Path("recipes/tiny.yaml"), None)
    assert (first.project, first.work) == (project, project / ".work")
    first.work.mkdir()
    for folder, file in (("recipes", "tiny.yaml"), ("..", "shop/recipes/tiny.yaml"), ("/", first.file.absolute())):
        monkeypatch.chdir(project / folder)
        again = find_places(project / "recipes" / Path(file).name, None)
        assert (again.project, again.work) == (first.project, first.work)
        assert again.root.url == f"{project}/.work/releases/tiny"


def test_from_elsewhere_the_recipe_s_own_folder_is_the_project(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/usr")
    assert find_places(project / "recipes/tiny.yaml", None).work == project / "recipes/.work"
    (tmp_path / ".work").mkdir()  # of the home folder, which is not every project's
    assert find_places(project / "recipes/tiny.yaml", None).work == project / "recipes/.work"


@pytest.mark.parametrize(
    ("to", "lies"),
    [
        (".work/releases", "{work}/releases/tiny"),
        (".work", "{work}/tiny"),
        ("out", "{project}/out/tiny"),
        ("/srv/out", "/srv/out/tiny"),
        ("~/out", "{home}/out/tiny"),
        ("file:///srv/out", "/srv/out/tiny"),
    ],
)
def test_releases_lie_in_the_work_folder_or_where_the_recipe_says(project: Path, to: str, lies: str) -> None:
    file = project / "recipes/tiny.yaml"
    file.write_text(f"{RECIPE}publish: {{to: '{to}'}}\n")
    for work, absolute in ((None, project / ".work"), (Path("a b"), project / "a b"), (Path("/w"), Path("/w"))):
        places = find_places(file, work)
        assert places.work == absolute
        assert places.root.url == lies.format(work=absolute, project=project, home=project.parent)


def test_an_address_stays_as_it_is(project: Path) -> None:
    file = project / "recipes/tiny.yaml"
    file.write_text(f"{RECIPE}publish: {{to: s3://bucket/releases}}\n")
    assert find_places(file, None).recipe.publish.to == "s3://bucket/releases"


@pytest.mark.parametrize(
    ("block", "logged_to"),
    [
        ("{}", "/w/mlflow"),
        ("{uri: .work/runs.mlflow}", "/w/runs.mlflow"),
        ("{uri: logs}", "{project}/logs"),
        ("{uri: 'https://mlflow.example.com'}", "https://mlflow.example.com"),
    ],
)
def test_runs_are_logged_in_the_work_folder_or_where_the_recipe_says(
    project: Path, block: str, logged_to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    file = project / "recipes/tiny.yaml"
    file.write_text(f"{RECIPE}tracking: {block}\n")
    tracking = find_places(file, Path("/w")).recipe.tracking
    assert tracking is not None
    assert tracking.uri == logged_to.format(project=project)


def test_the_variable_of_mlflow_says_where_if_the_recipe_does_not(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.com")
    file = project / "recipes/tiny.yaml"
    file.write_text(f"{RECIPE}tracking: {{}}\n")
    tracking = find_places(file, None).recipe.tracking
    assert tracking is not None
    assert place_of(tracking).uri == "https://mlflow.example.com"
    file.write_text(RECIPE)
    assert find_places(file, None).recipe.tracking is None
