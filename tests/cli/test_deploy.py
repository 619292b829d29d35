"""What `shortlist deploy` may be given."""

from pathlib import Path

import pytest

from benchmarks.made_release import make_release
from shortlist.cli.deploy import release_of
from shortlist.release.bundle import read_manifest
from shortlist.release.registry import publish
from shortlist.storage import open_storage

NAME = "0123456789abcdef"


@pytest.mark.parametrize(
    ("what", "root"),
    [
        (NAME, None),
        (f"s3://bucket/music/releases/{NAME}", "s3://bucket/music"),
        (f"s3://bucket/music/releases/{NAME}/", "s3://bucket/music"),
    ],
)
def test_a_release(what: str, root: str | None) -> None:
    assert release_of(what) == (root, NAME)


@pytest.mark.parametrize("what", ["music", NAME[:-1], f"s3://bucket/{NAME}", "recipes/demo"])
def test_neither_a_recipe_nor_a_release(what: str) -> None:
    with pytest.raises(ValueError, match=r"neither a recipe .* nor a release"):
        release_of(what)


def test_a_recipe_means_its_live_release(tmp_path: Path) -> None:
    recipe = tmp_path / "made.yaml"
    recipe.write_text(
        "name: made\nsource: {kind: synthetic}\nsplit: {kind: leave_one_out}\n"
        f"features: {{history_length: 5}}\npublish: {{to: {tmp_path}/releases}}\n"
    )
    with pytest.raises(ValueError, match=r"no live release of .made. in .*releases/made; run: shortlist run"):
        release_of(str(recipe))
    make_release(tmp_path / "folder", num_items=600, num_users=20)
    root = open_storage(f"{tmp_path}/releases/made")
    publish(root, tmp_path / "folder", replaces=None)
    assert release_of(str(recipe)) == (root.url, read_manifest(tmp_path / "folder").name)
