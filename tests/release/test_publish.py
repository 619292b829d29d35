"""Publishing: the live release changes at once or not at all, whatever happens on the way."""

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from release_parts import RECIPE, compared, evaluation, make_release, recipe_to, write_steps
from s3_server import REAL, moto_endpoint, real_endpoint
from tiny_disk import tiny_disk

from shortlist.release.bundle import open_release, read_live, verify
from shortlist.release.manifest import ReleaseError
from shortlist.release.publish import fetch_live, publish_step, release_root
from shortlist.release.registry import StaleError, find, list_releases, promote, prune, publish, rollback
from shortlist.storage import Storage, StorageError, open_storage


@pytest.fixture(scope="module")
def moto():
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture(
    params=[
        "folder",
        "moto",
        pytest.param("real", marks=pytest.mark.skipif(not REAL, reason="SHORTLIST_TEST_S3 is not set")),
    ]
)
def url(request, tmp_path, monkeypatch) -> str:
    if request.param == "folder":
        return str(tmp_path / "root")
    endpoint = real_endpoint() if request.param == "real" else request.getfixturevalue("moto")
    for name, value in endpoint.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{endpoint.new_bucket()}/releases/shop"


class Failing(Storage):
    """Another storage whose n-th change fails: before it is done, or after it, when only the answer is lost."""

    def __init__(self, inner: Storage, at: int, after: bool) -> None:
        self.inner, self.at, self.after, self.url = inner, at, after, inner.url
        self.lock, self.changes = threading.Lock(), 0

    def _change(self, work):
        with self.lock:
            self.changes += 1
            fails = self.changes == self.at
        if not fails or self.after:
            work()
        if fails:
            raise StorageError("the wire was cut")

    def write(self, key, data):
        self._change(lambda: self.inner.write(key, data))

    def replace(self, key, data, version):
        self._change(lambda: self.inner.replace(key, data, version))

    def put_file(self, path, key):
        self._change(lambda: self.inner.put_file(path, key))

    def read(self, key):
        return self.inner.read(key)

    def stamp(self, key):
        return self.inner.stamp(key)

    def list(self, prefix=""):
        return self.inner.list(prefix)

    def delete(self, keys):
        self._change(lambda: self.inner.delete(keys))

    def get_file(self, key, path):
        self.inner.get_file(key, path)

    def sweep(self, before):
        self.inner.sweep(before)

    def path(self, key):
        return self.inner.path(key)


def assert_sound(url: str, cache: Path, allowed: set[str | None]) -> str | None:
    """What is live is whole and one of `allowed`, and every listed release is whole."""
    root = open_storage(url)
    live = read_live(root)
    for one in list_releases(root):
        assert one.problem is None
        open_release(url, one.name, cache)
    name = live.release if live else None
    assert name in allowed
    if name:
        assert verify(open_release(url, None, cache), name)
    return name


class TestAtomic:
    def test_the_pointer_is_written(self, url, tmp_path):
        folder, manifest = make_release(tmp_path)
        live = publish(open_storage(url), folder, replaces=None)
        assert (live.release, live.previous, live.forced_by) == (manifest.name, None, None)
        assert read_live(open_storage(url)) == live
        assert json.loads(open_storage(url).read("live.json").data)["release"] == manifest.name

    def test_again_changes_nothing(self, url, tmp_path):
        folder, _ = make_release(tmp_path)
        first = publish(open_storage(url), folder, replaces=None)
        before = [(entry.key, entry.modified) for entry in open_storage(url).list()]
        assert publish(open_storage(url), folder, replaces=None) == first
        assert [(entry.key, entry.modified) for entry in open_storage(url).list()] == before

    @pytest.mark.parametrize("after", [False, True])
    def test_a_failure_at_any_change_leaves_the_old_or_the_new(self, url, tmp_path, after):
        old, old_manifest = make_release(tmp_path, "old")
        new, new_manifest = make_release(tmp_path, "new")
        changes = len(new_manifest.files) + 2  # manifest, pointer
        for at in range(1, changes + 1) if url.startswith("/") else (1, changes - 1, changes):
            root = f"{url}/{at}"
            publish(open_storage(root), old, replaces=None)
            with pytest.raises(StorageError, match="the wire was cut"):
                publish(Failing(open_storage(root), at, after), new, replaces=old_manifest.name)
            swapped = after and at == changes
            expected = new_manifest.name if swapped else old_manifest.name
            assert_sound(root, tmp_path / "cache", {expected})
            listed = {one.name for one in list_releases(open_storage(root))}
            assert (new_manifest.name in listed) == (at == changes or (after and at == changes - 1))
            publish(open_storage(root), new, replaces=old_manifest.name)  # running again mends it
            assert_sound(root, tmp_path / "cache", {new_manifest.name})

    def test_a_killed_publisher_leaves_the_old_or_the_new(self, tmp_path):
        made = [make_release(tmp_path, f"r{i}") for i in range(6)]
        names = {manifest.name for _, manifest in made}
        url = str(tmp_path / "root")
        seen: Counter[str | None] = Counter()
        dice = random.Random(7)
        for rounds in range(100):
            if rounds >= 25 and len(seen) > 2:
                break
            child = multiprocessing.get_context("fork").Process(target=_publish_for_ever, args=(url, made))
            child.start()
            time.sleep(dice.uniform(0.0, 0.12 * (1 + rounds // 25)))  # longer on a machine that is busy
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            seen[assert_sound(url, tmp_path / "cache", names | {None})] += 1
        assert len(seen) > 2, seen  # the kills met different moments
        publish(open_storage(url), made[0][0], replaces=None, forced_by="the test")
        assert_sound(url, tmp_path / "cache", {made[0][1].name})

    def test_a_killed_publisher_to_a_bucket(self, moto, tmp_path, monkeypatch):
        for name, value in moto.environment.items():
            monkeypatch.setenv(name, value)
        made = [make_release(tmp_path, f"r{i}") for i in range(3)]
        url = f"s3://{moto.new_bucket()}"
        dice = random.Random(7)
        for _ in range(2):
            child = multiprocessing.get_context("spawn").Process(target=_publish_for_ever, args=(url, made))
            child.start()
            while not open_storage(url).list():
                time.sleep(0.01)
            time.sleep(dice.uniform(0.0, 0.5))
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            assert_sound(url, tmp_path / "cache", {manifest.name for _, manifest in made} | {None})

    def test_a_full_disk_leaves_the_old_one_live(self, tmp_path):
        old, old_manifest = make_release(tmp_path, "old")
        big, big_manifest = make_release(tmp_path, "big" * 30_000)
        assert big_manifest.num_bytes > 1 << 20
        with tiny_disk(tmp_path / "disk") as disk:
            url = str(disk / "root")
            publish(open_storage(url), old, replaces=None)
            with pytest.raises(StorageError, match="no space left on the disk"):
                publish(open_storage(url), big, replaces=old_manifest.name)
            assert assert_sound(url, tmp_path / "cache", {old_manifest.name}) == old_manifest.name
            assert [one.name for one in list_releases(open_storage(url))] == [old_manifest.name]

    def test_a_full_disk_while_assembling_is_told(self, tmp_path):
        steps = write_steps(tmp_path / "steps", "big" * 30_000)
        with tiny_disk(tmp_path / "disk") as disk:
            (disk / "out").mkdir()
            recipe = recipe_to(str(tmp_path / "root"))
            with pytest.raises(StorageError, match="no space left on the disk"):
                publish_step(recipe, *steps.values(), disk / "out/decision")
            assert [path.name for path in disk.rglob("*")] == ["out", "decision"]
        assert open_storage(str(tmp_path / "root")).list() == []

    def test_repairs_what_was_damaged(self, url, tmp_path):
        folder, manifest = make_release(tmp_path)
        root = open_storage(url)
        publish(root, folder, replaces=None)
        root.delete([f"releases/{manifest.name}/recipe.yaml"])
        publish(root, folder, replaces=None)
        assert_sound(url, tmp_path / "cache", {manifest.name})

    def test_repairs_another_byte_on_a_disk(self, tmp_path):
        folder, manifest = make_release(tmp_path)
        root = open_storage(str(tmp_path / "root"))
        publish(root, folder, replaces=None)
        damaged = root.path(f"releases/{manifest.name}/index/index.faiss")
        damaged.write_bytes(damaged.read_bytes()[::-1])
        with pytest.raises(ReleaseError, match=r"index\.faiss: missing or corrupted; publish the release again"):
            promote(root, manifest.name)
        publish(root, folder, replaces=None)
        assert_sound(root.url, tmp_path / "cache", {manifest.name})


def _publish_for_ever(url, made):
    root = open_storage(url)
    while True:
        for folder, manifest in made:
            root.delete([entry.key for entry in root.list("releases") if _is_old(root, entry.key, manifest.name)])
            publish(root, folder, replaces=None, forced_by="the test")


def _is_old(root, key, name):
    """Not of the live release; deleting the others makes every upload a real one. Manifests go first, as in prune."""
    live = read_live(root)
    return key.split("/")[1] == name and key.endswith("manifest.json") and (live is None or live.release != name)


class TestSeveralPublishers:
    def test_one_wins_and_the_others_are_told(self, tmp_path):
        made = [make_release(tmp_path, f"r{i}") for i in range(5)]
        url = str(tmp_path / "root")
        barrier, outcomes = threading.Barrier(len(made)), []

        def race(folder):
            root = open_storage(url)
            barrier.wait()
            try:
                publish(root, folder, replaces=None)
                outcomes.append("won")
            except StaleError as error:
                outcomes.append(str(error))

        threads = [threading.Thread(target=race, args=(folder,)) for folder, _ in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count("won") == 1
        assert all("became live while" in outcome for outcome in outcomes if outcome != "won")
        assert_sound(url, tmp_path / "cache", {manifest.name for _, manifest in made})

    def test_a_comparison_with_yesterdays_live_release_is_not_enough(self, url, tmp_path):
        root = open_storage(url)
        made = [make_release(tmp_path, name) for name in ("one", "two", "three")]
        publish(root, made[0][0], replaces=None)
        publish(root, made[1][0], replaces=made[0][1].name)
        with pytest.raises(StaleError, match=f"release {made[1][1].name} became live while {made[2][1].name} was"):
            publish(root, made[2][0], replaces=made[0][1].name)
        assert read_live(root).release == made[1][1].name
        assert publish(root, made[2][0], replaces=made[0][1].name, forced_by="ada").forced_by == "ada"

    def test_a_swap_between_reading_and_writing_the_pointer_is_seen(self, url, tmp_path):
        made = [make_release(tmp_path, name) for name in ("one", "two", "three")]
        publish(open_storage(url), made[0][0], replaces=None)

        class Interrupted(Failing):
            def replace(self, key, data, version):
                publish(self.inner, made[1][0], replaces=made[0][1].name)  # someone else, in between
                super().replace(key, data, version)

        with pytest.raises(StaleError):
            publish(Interrupted(open_storage(url), at=0, after=False), made[2][0], replaces=made[0][1].name)
        assert read_live(open_storage(url)).release == made[1][1].name


class TestManage:
    @pytest.fixture
    def three(self, url, tmp_path):
        names, root = [], open_storage(url)
        for content in ("one", "two", "three"):
            folder, manifest = make_release(tmp_path, content)
            publish(root, folder, replaces=names[-1] if names else None)
            names.append(manifest.name)
        return root, names

    def test_list_shows_whole_releases(self, three):
        root, names = three
        root.write("releases/0123456789abcdef/index/index.faiss", b"an upload that was cut")
        root.write("releases/fedcba9876543210/manifest.json", b'{"schema_version": 9}')
        listed = list_releases(root)
        assert {one.name for one in listed} == {*names, "fedcba9876543210"}
        assert [one.name for one in listed if one.is_live] == [names[2]]
        assert [one.name for one in listed if one.is_previous] == [names[1]]
        other = next(one for one in listed if one.manifest is None)
        assert "the release has schema 9" in other.problem

    def test_find_by_the_start_of_a_name(self, three):
        root, names = three
        assert find(list_releases(root), names[0][:8], root.url).name == names[0]
        with pytest.raises(ReleaseError, match=f"there is no release 'zz'; there are: .*{names[0]}"):
            find(list_releases(root), "zz", root.url)
        root.write(f"releases/{names[0][:15]}X/manifest.json", root.read(f"releases/{names[0]}/manifest.json").data)
        with pytest.raises(ReleaseError, match="more than one release starts with"):
            find(list_releases(root), names[0][:15], root.url)

    def test_rollback_and_back(self, three):
        root, names = three
        live = rollback(root)
        assert (live.release, live.previous) == (names[1], names[2])
        assert rollback(root).release == names[2]

    def test_promote_an_old_one(self, three):
        root, names = three
        assert promote(root, names[0], forced_by="ada").release == names[0]
        assert read_live(root).forced_by == "ada"
        with pytest.raises(ReleaseError, match="there is no release 0123"):
            promote(root, "0123")

    def test_promote_refuses_what_is_not_whole(self, three):
        root, names = three
        root.delete([f"releases/{names[0]}/recipe.yaml"])
        with pytest.raises(ReleaseError, match=r"recipe\.yaml: missing or corrupted"):
            promote(root, names[0])
        assert read_live(root).release == names[2]

    def test_a_broken_pointer_is_mended_by_promoting(self, three):
        root, names = three
        root.write("live.json", b"{")
        assert len(list_releases(root)) == 3
        assert promote(root, names[0]).release == names[0]
        assert read_live(root).release == names[0]

    def test_prune_keeps_the_live_the_previous_and_the_newest(self, three, tmp_path):
        root, names = three
        promote(root, names[0])  # live: the oldest; previous: the newest
        root.write("releases/0123456789abcdef/index/index.faiss", b"being uploaded right now")
        kept = {names[0], names[2], list_releases(root)[0].name}  # a bucket's clock has seconds: any may be the newest
        assert prune(root, 1) == [name for name in names if name not in kept]
        assert {one.name for one in list_releases(root)} == kept
        assert root.list("releases/0123456789abcdef")
        assert {entry.key.split("/")[1] for entry in root.list("releases")} == {*kept, "0123456789abcdef"}
        assert prune(root, 1) == []
        with pytest.raises(ValueError, match="keep at least 1"):
            prune(root, 0)

    def test_prune_sweeps_what_was_given_up_long_ago(self, tmp_path):
        root = open_storage(str(tmp_path / "root"))
        publish(root, make_release(tmp_path)[0], replaces=None)
        root.write("releases/0123456789abcdef/a", b"")
        litter = tmp_path / "root/.partial/dead"
        litter.write_text("half")
        for path in (litter, tmp_path / "root/releases/0123456789abcdef/a"):
            os.utime(path, (0, 0))
        assert prune(root, 1) == ["0123456789abcdef"]
        assert not litter.exists()

    def test_nothing_to_roll_back_to(self, url, tmp_path):
        with pytest.raises(ReleaseError, match="no earlier release"):
            rollback(open_storage(url))
        publish(open_storage(url), make_release(tmp_path)[0], replaces=None)
        with pytest.raises(ReleaseError, match="no earlier release"):
            rollback(open_storage(url))


class TestStep:
    def run(self, tmp_path, url, content="one", judged=None, forced_by=None, text=RECIPE):
        recipe, steps = recipe_to(url, text), write_steps(tmp_path / "steps" / content, content, judged)
        result = publish_step(recipe, *steps.values(), tmp_path / "out", forced_by)
        decision = json.loads((tmp_path / "out/decision.json").read_text())
        assert result.metrics["published"] == decision["published"]
        assert result.details["decision"] == decision
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
        return decision

    def test_the_first(self, tmp_path, url):
        decision = self.run(tmp_path, url)
        assert decision["published"]
        assert decision["live"] == decision["release"]
        root = release_root(recipe_to(url))
        assert root.url == f"{url}/shop"
        assert read_live(root).release == decision["release"]
        assert (
            fetch_live(recipe_to(url), tmp_path / "into") / "ranking/ranker.safetensors"
        ).read_text() == "one ranker"

    def test_a_worse_one_is_refused_and_nothing_changes(self, tmp_path, url):
        first = self.run(tmp_path, url)["release"]
        before = open_storage(url).list()
        decision = self.run(tmp_path, url, "two", evaluation(live=compared(first, -0.05)))
        assert not decision["published"]
        assert decision["live"] == first
        assert "-0.0500 [-0.0600, -0.0400]" in decision["reason"]
        assert "--force" in decision["reason"]
        assert open_storage(url).list() == before

    def test_forcing_is_recorded(self, tmp_path, url):
        first = self.run(tmp_path, url)["release"]
        decision = self.run(tmp_path, url, "two", evaluation(live=compared(first, -0.05)), forced_by="ada")
        assert decision["published"]
        assert decision["forced_by"] == "ada"
        assert not decision["verdict"]["accepted"]
        assert read_live(release_root(recipe_to(url))).forced_by == "ada"

    def test_forcing_what_the_gate_accepts_overrules_nobody(self, tmp_path, url):
        assert self.run(tmp_path, url, forced_by="ada")["forced_by"] is None

    def test_the_same_input_again(self, tmp_path, url):
        first = self.run(tmp_path, url)
        again = self.run(tmp_path, url, judged=evaluation(live=compared(first["release"], 0.0, 0.0)))
        assert again["release"] == first["release"]
        assert again["published"]
        assert again["reason"] == "this release is already live"

    def test_someone_else_was_faster(self, tmp_path, url):
        first = self.run(tmp_path, url)["release"]
        decision = self.run(tmp_path, url, "two")  # judged when nothing was live
        assert not decision["published"]
        assert f"release {first} became live while" in decision["reason"]
        assert self.run(tmp_path, url, "two", forced_by="ada")["published"]

    def test_a_recipe_that_does_not_rank(self, tmp_path, url):
        text = RECIPE + "ranking: {enabled: false}\n"
        self.run(tmp_path, url, text=text)
        assert not (fetch_live(recipe_to(url, text), tmp_path / "into") / "ranking").exists()

    def test_a_ranker_that_does_not_earn_its_place_is_not_released(self, tmp_path, url):
        text = RECIPE + "gate: {ranker: if_better}\n"
        decision = self.run(tmp_path, url, judged=evaluation(ranker_brings=0.0), text=text)
        assert decision["verdict"]["serves"] == "retrieval"
        folder = fetch_live(recipe_to(url, text), tmp_path / "into")
        assert not (folder / "ranking").exists()
        kept = self.run(tmp_path, url, "two", judged=evaluation(ranker_brings=0.05), text=text, forced_by="ada")
        assert kept["verdict"]["serves"] == "path"
        assert (fetch_live(recipe_to(url, text), tmp_path / "into") / "ranking").is_dir()

    def test_the_metrics_of_a_release_are_of_what_it_serves(self, tmp_path, url):
        text = RECIPE + "gate: {ranker: if_better}\n"
        judged = evaluation(ranker_brings=-0.05)
        self.run(tmp_path, url, judged=judged, text=text)
        manifest = verify(fetch_live(recipe_to(url, text), tmp_path / "into"))
        assert manifest.metrics["ndcg_at_10"].mean == pytest.approx(0.25), "retrieval's, which has no ranker"

    def test_nothing_is_live(self, tmp_path, url):
        assert fetch_live(recipe_to(url), tmp_path) is None

    def test_a_damaged_live_release_does_not_stand_in_the_way(self, tmp_path, url, capsys):
        first = self.run(tmp_path, url)["release"]
        root = release_root(recipe_to(url))
        root.write(f"releases/{first}/index/index.faiss", b"damaged")
        folder = fetch_live(recipe_to(url), tmp_path / "into")
        assert folder.name == first
        assert [path.name for path in folder.iterdir()] == ["manifest.json"]
        assert "warning: the live release cannot be used" in capsys.readouterr().out
        live = {"release": first, "metrics": {}, "difference": {}, "skipped": "damaged"}
        assert self.run(tmp_path, url, "two", evaluation(live=live))["published"]

    def test_an_unreachable_bucket_fails_with_one_message(self, tmp_path, monkeypatch, moto):
        for name, value in moto.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StorageError, match="has no bucket 'never-made'"):
            self.run(tmp_path, "s3://never-made/x")
        assert not (tmp_path / "out/decision.json").exists()
