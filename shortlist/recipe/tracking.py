"""The tracking block of a recipe: where runs are logged besides their folder."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from shortlist.recipe.fields import Section

_TAG = re.compile(r"[\w./ -]{1,250}")


def _address(value: str) -> str:
    if "://" in value and urlsplit(value).password:
        raise ValueError(
            "the address contains a password, and a recipe is stored with every run; set the environment variables "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead, on a cluster by resources.secrets"
        )
    return value


def _tag(value: str) -> str:
    if not _TAG.fullmatch(value):
        raise ValueError(f"{value!r} is not a name of a tag; use letters, digits, spaces and _ . / -")
    return value


class Tracking(Section):
    """Runs are logged to MLflow. This needs the extra `tracking`: docs/tracking.md."""

    uri: Annotated[str, AfterValidator(_address)] | None = None
    """The server, like `https://mlflow.example.com`, or a local folder. Null takes the variable MLFLOW_TRACKING_URI,
    and without it the folder `.work/mlflow`."""
    experiment: str | None = None
    """The experiment of the runs; by default the name of the recipe."""
    model: str | None = None
    """The registered model, whose versions are the published releases; by default the name of the recipe."""
    tags: dict[Annotated[str, AfterValidator(_tag)], str] = {}
    """More tags of each run, like `team: search`."""
    models: bool = False
    """Whether the files of a published release are uploaded as well. By default they stay where they are published."""
