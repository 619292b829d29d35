"""A release's folder: the same input makes the same one, and a wrong one is never opened."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from release_parts import RECIPE, compared, evaluation, make_release, recipe_to, write_steps
from s3_server import moto_endpoint

from shortlist.recipe import load_recipe, parse_recipe
from shortlist.release.bundle import assemble, lineage_of, open_release, read_manifest, verify
from shortlist.release.manifest import FileEntry, Interval, Lineage, Manifest, ReleaseError, parse_manifest
from shortlist.release.registry import publish
from shortlist.storage import StorageError, open_storage


class TestAssemble:
    def test_what_is_in_it(self, tmp_path):
        folder, manifest = make_release(tmp_path)
        assert set(manifest.files) == {
            "evaluation.json",
            "recipe.yaml",
            "features/schema.json",
            "features/items/popularity.npy",
            "retrieval/query_tower.onnx",
            "retrieval/vectors.npy",
            "index/index.faiss",
            "ranking/ranker.safetensors",
        }
        assert load_recipe(folder / "recipe.yaml").name == "shop"
        assert verify(folder, manifest.name) == manifest
        assert manifest.metrics["ndcg_at_10"].mean == 0.2

    def test_the_same_input_has_the_same_name_elsewhere_and_later(self, tmp_path):
        _, one = make_release(tmp_path / "a")
        _, two = make_release(tmp_path / "b")
        assert one == two
        assert one.name == two.name
        assert one.canonical() == two.canonical()

    def test_where_it_goes_and_what_was_live_is_no_part_of_it(self, tmp_path):
        names = set()
        for i, (url, live) in enumerate(
            [("a", None), ("s3://b/c", compared("other", 0.1)), ("a", compared("x", -0.1))]
        ):
            steps = write_steps(tmp_path / str(i), judged=evaluation(live=live))
            lineage = lineage_of(parse_recipe(RECIPE), "data")
            judged = steps["evaluation"] / "evaluation.json"
            names.add(assemble({"index": steps["index"]}, recipe_to(url), judged, lineage, tmp_path / f"r{i}").name)
        assert len(names) == 1

    def test_any_other_byte_is_another_release(self, tmp_path):
        names = {make_release(tmp_path, content)[1].name for content in ("one", "two", "three")}
        assert len(names) == 3

    def test_the_lineage_of_a_recipe_is_what_decides_on_the_release(self):
        def lineage(more: str) -> str:
            return lineage_of(parse_recipe(f"{RECIPE}\n{more}\n"), "data").recipe_sha256

        assert lineage("# more") == lineage("publish: {to: 's3://elsewhere'}") == lineage("resources: {memory_gb: 1}")
        assert lineage("seed: 1") != lineage("")

    def test_a_step_that_left_nothing_is_named(self, tmp_path):
        steps = write_steps(tmp_path)
        shutil.rmtree(steps["index"])
        with pytest.raises(ReleaseError, match=r"index: no files for the release's index/; run the step"):
            assemble(
                {"index": steps["index"]},
                recipe_to("x"),
                steps["evaluation"] / "evaluation.json",
                lineage_of(parse_recipe(RECIPE), "data"),
                tmp_path / "into",
            )


class TestManifest:
    @given(
        st.dictionaries(
            st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}", fullmatch=True),
            st.builds(
                FileEntry, sha256=st.text("0123456789abcdef", min_size=64, max_size=64), size=st.integers(0, 1 << 50)
            ),
            max_size=5,
        ),
        st.floats(allow_nan=False, allow_infinity=False),
        st.randoms(),
    )
    def test_the_name_survives_a_round_trip_and_ignores_order(self, files, mean, random):
        shuffled = list(files.items())
        random.shuffle(shuffled)
        lineage = Lineage(recipe_sha256="a", code="b", data="c")
        metrics = {"x": Interval(mean=mean, low=0, high=1)}
        one = Manifest(recipe="shop", files=files, metrics=metrics, lineage=lineage)
        two = Manifest(recipe="shop", files=dict(shuffled), metrics=metrics, lineage=lineage)
        assert one.name == two.name == parse_manifest(one.canonical(), "here").name
        assert len(one.name) == 16

    @pytest.mark.parametrize("file", ["../../etc/cron.d/x", "/etc/passwd", "a/.ssh/b"])
    def test_a_manifest_that_reaches_outside_is_refused(self, tmp_path, file):
        _, manifest = make_release(tmp_path)
        data = manifest.model_dump()
        data["files"][file] = {"sha256": "0" * 64, "size": 1}
        with pytest.raises(ReleaseError, match="not a release manifest"):
            parse_manifest(json.dumps(data).encode(), "here")

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"schema_version": 1}', b"\xff\xfe"])
    def test_broken_ones_are_refused(self, data):
        with pytest.raises(ReleaseError, match="here: not a release manifest"):
            parse_manifest(data, "here")

    def test_another_schema_is_refused_by_name(self):
        with pytest.raises(
            ReleaseError, match=r"here: the release has schema 7; this version of shortlist reads schema 1"
        ):
            parse_manifest(b'{"schema_version": 7, "all": "new"}', "here")


@pytest.fixture(scope="module")
def moto():
    with moto_endpoint() as endpoint:
        yield endpoint


class TestOpen:
    @pytest.fixture(params=["folder", "bucket"])
    def url(self, request, tmp_path, monkeypatch):
        if request.param == "folder":
            return str(tmp_path / "root")
        endpoint = request.getfixturevalue("moto")
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        return f"s3://{endpoint.new_bucket()}/shop"

    def test_the_live_one_and_one_by_name(self, url, tmp_path):
        names = []
        for content in ("one", "two"):
            folder, manifest = make_release(tmp_path, content)
            publish(open_storage(url), folder, replaces=names[-1] if names else None)
            names.append(manifest.name)
        assert read_manifest(open_release(url, None, tmp_path / "cache")).name == names[1]
        assert read_manifest(open_release(url, names[0], tmp_path / "cache")).name == names[0]

    def test_nothing_is_live(self, url, tmp_path):
        with pytest.raises(ReleaseError, match="no release is live; run the recipe"):
            open_release(url, None, tmp_path)

    def test_no_such_release(self, url, tmp_path):
        with pytest.raises(ReleaseError, match="there is no release 0123; see `shortlist releases list`"):
            open_release(url, "0123", tmp_path)
        assert not list(tmp_path.glob("**/0123"))

    def test_a_corrupted_file_is_named(self, url, tmp_path):
        folder, manifest = make_release(tmp_path)
        root = open_storage(url)
        publish(root, folder, replaces=None)
        key = f"releases/{manifest.name}/index/index.faiss"
        data = bytearray(root.read(key).data)
        data[3] ^= 1
        root.write(key, bytes(data))
        with pytest.raises(ReleaseError) as caught:
            open_release(url, None, tmp_path / "cache")
        expected = manifest.files["index/index.faiss"].sha256
        assert "index/index.faiss: corrupted: expected SHA-256 " + expected in str(caught.value)
        assert "roll back to another" in str(caught.value)
        assert not (tmp_path / "cache" / manifest.name).exists()

    def test_a_missing_file_is_named(self, url, tmp_path):
        folder, manifest = make_release(tmp_path)
        root = open_storage(url)
        publish(root, folder, replaces=None)
        root.delete([f"releases/{manifest.name}/recipe.yaml"])
        with pytest.raises((ReleaseError, StorageError), match=r"recipe\.yaml"):
            open_release(url, None, tmp_path / "cache")

    def test_a_manifest_under_another_name_is_refused(self, url, tmp_path):
        one, first = make_release(tmp_path, "one")
        publish(open_storage(url), one, replaces=None)
        _, second = make_release(tmp_path, "two")
        open_storage(url).write(f"releases/{first.name}/manifest.json", second.canonical())
        with pytest.raises((ReleaseError, StorageError)):
            open_release(url, None, tmp_path / "cache")

    def test_a_release_in_a_folder_is_used_in_place(self, tmp_path):
        folder, manifest = make_release(tmp_path)
        publish(open_storage(str(tmp_path / "root")), folder, replaces=None)
        assert open_release(str(tmp_path / "root")) == tmp_path / "root/releases" / manifest.name

    def test_the_cache_is_used_and_mended(self, moto, tmp_path, monkeypatch):
        for name, value in moto.environment.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{moto.new_bucket()}"
        folder, manifest = make_release(tmp_path)
        publish(open_storage(url), folder, replaces=None)
        cached = open_release(url, None, tmp_path / "cache")
        assert cached == tmp_path / "cache" / manifest.name
        stamp = (cached / "manifest.json").stat().st_ino
        open_release(url, None, tmp_path / "cache")
        assert (cached / "manifest.json").stat().st_ino == stamp
        (cached / "recipe.yaml").write_text("damaged")
        open_release(url, None, tmp_path / "cache")
        assert verify(cached).name == manifest.name
        with pytest.raises(ValueError, match="give a cache_dir"):
            open_release(url)

    def test_a_broken_pointer_says_how_to_mend_it(self, url, tmp_path):
        open_storage(url).write("live.json", b'{"release": 5')
        with pytest.raises(ReleaseError, match=r"live\.json: cannot be read .*shortlist releases promote"):
            open_release(url, None, tmp_path)


@pytest.mark.parametrize("name", ["../../etc", "/etc", "a/b", "..", "", ".hidden"])
def test_a_pointer_or_a_user_names_no_folder_outside_the_releases(name, tmp_path):
    with pytest.raises(ReleaseError, match="is no"):
        open_release(str(tmp_path / "root"), name, tmp_path / "cache")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/live.json").write_text(json.dumps({"release": name, "at": "2024-01-01T00:00:00Z"}))
    with pytest.raises(ReleaseError, match=r"live\.json: cannot be read"):
        open_release(str(tmp_path / "root"), None, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
