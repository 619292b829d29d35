"""Components say what they take and give, in files that are generated from them."""

from typing import get_args

import pytest

from shortlist.pipelines.describe import FOLDER, load, metadata, render
from shortlist.recipe.resources import Step


def test_the_metadata_and_the_readme_are_what_the_components_say() -> None:
    for path, text in render().items():
        assert path.read_text() == text, f"{path.name} is stale: run `make compile` and commit the result"
    assert {path.stem for path in (FOLDER / "metadata").iterdir()} == set(get_args(Step))


@pytest.mark.parametrize("step", get_args(Step))
def test_every_docstring_stands_alone(step: Step) -> None:
    assert "Likewise" not in load(step).python_func.__doc__
    found = metadata(step)
    for port in [*found["inputs"], *found["outputs"]]:
        assert len(port["description"].split()) >= 4, port
        assert port["description"].endswith(".")
