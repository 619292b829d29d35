"""The wheel has one top-level package; what stands beside it in the checkout is packed below it."""

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]


def test_each_link_is_packed_as_the_folder_that_it_names() -> None:
    links = {path.name: path.resolve() for path in (ROOT / "shortlist").iterdir() if path.is_symlink()}
    assert links == {name: ROOT / name for name in links}
    assert BUILD["wheel"]["packages"] == ["shortlist"]
    assert BUILD["wheel"]["force-include"] == {name: f"shortlist/{name}" for name in links}
    for target in ("wheel", "sdist"):
        assert set(BUILD[target]["exclude"]) == {f"shortlist/{name}" for name in links}


@pytest.mark.parametrize("folder", BUILD["wheel"]["force-include"])
def test_a_folder_at_the_top_is_no_package_of_its_own(folder: str) -> None:
    package = import_module(f"shortlist.{folder}")
    assert package.__file__ is not None
    assert Path(package.__file__).resolve().parent == ROOT / folder
    for file in (ROOT / folder).rglob("*.py"):
        words = [line.split()[:2] for line in file.read_text().splitlines()]
        assert not [line for line in words if line in (["from", folder], ["import", folder])], file
