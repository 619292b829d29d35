"""One contract that a folder and a bucket keep alike, and what they say when they cannot."""

import os
import threading
import time
from pathlib import Path

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3_server import REAL, moto_endpoint, real_endpoint
from tiny_disk import tiny_disk

from shortlist.storage import ChangedError, MissingError, Storage, StorageError, open_storage
from shortlist.storage.base import check_key


@pytest.fixture(scope="module")
def moto():
    with moto_endpoint() as endpoint:
        yield endpoint


@pytest.fixture(
    params=[
        "folder",
        "file",
        "moto",
        pytest.param("real", marks=pytest.mark.skipif(not REAL, reason="SHORTLIST_TEST_S3 is not set")),
    ]
)
def storage(request, tmp_path, monkeypatch) -> Storage:
    if request.param == "folder":
        return open_storage(str(tmp_path / "root"))
    if request.param == "file":
        return open_storage(f"file://{tmp_path}/a%20root")
    endpoint = real_endpoint() if request.param == "real" else request.getfixturevalue("moto")
    for name, value in endpoint.environment.items():
        monkeypatch.setenv(name, value)
    return open_storage(f"s3://{endpoint.new_bucket()}/some/prefix")


class TestContract:
    def test_what_is_written_is_read(self, storage):
        storage.write("a/b.json", b"one")
        storage.write("a/b.json", b"two")
        assert storage.read("a/b.json").data == b"two"

    def test_a_missing_key_says_so(self, storage):
        with pytest.raises(MissingError, match=r"a/b\.json: there is nothing here"):
            storage.read("a/b.json")

    def test_a_stamp_tells_that_a_value_was_replaced(self, storage):
        with pytest.raises(MissingError, match="there is nothing here"):
            storage.stamp("k")
        storage.write("k", b"one")
        first = storage.stamp("k")
        assert storage.stamp("k") == first
        storage.write("k", b"two")
        assert storage.stamp("k") != first

    def test_versions_differ_when_contents_do(self, storage):
        storage.write("k", b"one")
        first = storage.read("k").version
        assert storage.read("k").version == first
        storage.write("k", b"two")
        assert storage.read("k").version != first

    def test_replace_only_what_was_read(self, storage):
        storage.replace("live.json", b"1", None)
        seen = storage.read("live.json").version
        storage.replace("live.json", b"2", seen)
        with pytest.raises(ChangedError, match=r"live\.json: was changed by another process"):
            storage.replace("live.json", b"3", seen)
        assert storage.read("live.json").data == b"2"

    def test_replace_nothing_only_where_nothing_is(self, storage):
        storage.write("live.json", b"1")
        with pytest.raises(ChangedError):
            storage.replace("live.json", b"2", None)
        assert storage.read("live.json").data == b"1"

    def test_replace_what_is_gone_is_refused(self, storage):
        storage.write("live.json", b"1")
        seen = storage.read("live.json").version
        storage.delete(["live.json"])
        with pytest.raises(ChangedError):
            storage.replace("live.json", b"2", seen)
        with pytest.raises(MissingError):
            storage.read("live.json")

    def test_list_is_sorted_and_below_the_folder_only(self, storage):
        for key in ("b/2", "b/1/x", "bb/3", "a"):
            storage.write(key, key.encode())
        assert [entry.key for entry in storage.list("b")] == ["b/1/x", "b/2"]
        assert [(entry.key, entry.size) for entry in storage.list()] == [
            ("a", 1),
            ("b/1/x", 5),
            ("b/2", 3),
            ("bb/3", 4),
        ]
        assert abs(storage.list("b")[0].modified - time.time()) < 60
        assert storage.list("nothing") == []

    def test_trees_go_up_and_come_down(self, storage, tmp_path):
        files = {f"f{i // 5}/x{i}.bin": os.urandom(1000 + i) for i in range(23)} | {"empty": b""}
        for name, data in files.items():
            (tmp_path / "from" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "from" / name).write_bytes(data)
        storage.upload(tmp_path / "from", files, "releases/ab")
        storage.download("releases/ab", files, tmp_path / "to")
        assert {name: (tmp_path / "to" / name).read_bytes() for name in files} == files
        assert len(storage.list("releases/ab")) == len(files)

    def test_a_file_larger_than_a_part_survives(self, storage, tmp_path):
        data = os.urandom(9 << 20)  # above boto3's 8 MiB parts
        (tmp_path / "big").write_bytes(data)
        storage.put_file(tmp_path / "big", "big")
        storage.get_file("big", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == data

    def test_downloading_what_is_missing_says_which(self, storage, tmp_path):
        storage.write("r/a", b"")
        with pytest.raises(MissingError, match="r/b: there is nothing here"):
            storage.download("r", ["a", "b"], tmp_path / "to")

    def test_delete_many_and_the_missing(self, storage):
        storage.write("r/a", b"")
        storage.write("r/deep/b", b"")
        storage.delete(["r/a", "r/deep/b", "r/never"])
        assert storage.list() == []

    @pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "a\\b", "a/.hidden", "./a"])
    def test_no_key_leaves_the_root(self, storage, key, tmp_path):
        for work in (
            storage.read,
            lambda key: storage.write(key, b""),
            storage.path,
            lambda key: storage.delete([key]),
        ):
            with pytest.raises(ValueError, match="is not a key"):
                work(key)

    def test_only_a_folder_has_paths(self, storage):
        storage.write("a", b"x")
        path = storage.path("a")
        assert path is None if storage.url.startswith("s3:") else path.read_bytes() == b"x"


def test_what_others_put_into_a_bucket_is_not_listed(moto, monkeypatch):
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    bucket = moto.new_bucket()
    for key in ("root/a/b", "root/a//b", "root/a/../../b", "root/a\\b", "root/folder/"):
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [entry.key for entry in open_storage(f"s3://{bucket}/root").list()] == ["a/b"]


@given(st.text(max_size=12))
def test_a_key_is_refused_or_stays_below(text):
    try:
        key = check_key(text)
    except ValueError:
        return
    assert Path("/root", key).resolve().is_relative_to("/root")
    assert not any(part.startswith(".") for part in Path(key).parts)


@pytest.mark.parametrize("kind", ["folder", pytest.param("real", marks=pytest.mark.skipif(not REAL, reason="no S3"))])
def test_of_many_that_replace_at_once_one_wins(kind, tmp_path, monkeypatch):
    """moto compares and sets in two steps, so only the real thing can be asked this."""
    url = str(tmp_path)
    if kind == "real":
        for name, value in real_endpoint().environment.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{real_endpoint().new_bucket()}"
    rounds, writers = 5, 6
    for turn in range(rounds):
        key, won, lost = f"live{turn}", [], []
        barrier = threading.Barrier(writers)

        def race(writer, key=key, won=won, lost=lost, barrier=barrier):
            storage = open_storage(url)
            barrier.wait()
            try:
                storage.replace(key, str(writer).encode(), None)
                won.append(str(writer).encode())
            except ChangedError:
                lost.append(writer)

        threads = [threading.Thread(target=race, args=(i,)) for i in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert len(lost) == writers - 1
        assert open_storage(url).read(key).data == won[0]


class TestAddresses:
    @pytest.mark.parametrize("url", ["gs://bucket/x", "s3://", "file://relative/x", "", "http://x/y"])
    def test_others_are_refused(self, url):
        with pytest.raises(ValueError, match=r"s3://bucket/prefix|file address"):
            open_storage(url)

    def test_nothing_is_made_before_it_is_written(self, tmp_path):
        assert open_storage(str(tmp_path / "x")).list() == []
        assert not (tmp_path / "x").exists()


class TestFolderTrouble:
    def test_a_write_that_fails_leaves_the_old_and_no_litter(self, tmp_path, monkeypatch):
        storage = open_storage(str(tmp_path))
        storage.write("a", b"old")
        monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StorageError, match=r"a: no space left on the disk"):
            storage.write("a", b"new")
        assert storage.read("a").data == b"old"
        assert not list((tmp_path / ".partial").iterdir())

    def test_a_file_where_a_folder_should_be(self, tmp_path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(StorageError, match="file"):
            open_storage(str(tmp_path / "file")).write("a", b"")

    def test_a_lock_that_is_never_freed_is_not_waited_for_for_ever(self, tmp_path, monkeypatch):
        monkeypatch.setattr("shortlist.storage.folder._LOCK_SECONDS", 0.1)
        storage = open_storage(str(tmp_path))
        with storage._locked(), pytest.raises(StorageError, match=r"\.lock: held by another process"):
            storage.replace("a", b"", None)

    def test_a_full_disk_leaves_nothing_half_written(self, tmp_path):
        with tiny_disk(tmp_path / "disk") as disk:
            storage = open_storage(str(disk / "root"))
            storage.write("a", b"old")
            (tmp_path / "big").write_bytes(bytes(2 << 20))
            for work in (lambda: storage.put_file(tmp_path / "big", "a"), lambda: storage.write("a", bytes(2 << 20))):
                with pytest.raises(StorageError, match=r"a: no space left on the disk.*free some space"):
                    work()
                assert storage.read("a").data == b"old"
                assert [entry.key for entry in storage.list()] == ["a"]
                assert not list((disk / "root" / ".partial").iterdir())


class TestBucketTrouble:
    @pytest.fixture
    def environment(self, moto, monkeypatch):
        for name, value in moto.environment.items():
            monkeypatch.setenv(name, value)
        return monkeypatch

    def test_no_such_bucket(self, environment, tmp_path):
        (tmp_path / "a").write_text("x")
        storage = open_storage("s3://never-made/x")
        for work in (
            lambda: storage.read("a"),
            lambda: storage.write("a", b""),
            lambda: storage.replace("a", b"", None),
            storage.list,
            lambda: storage.put_file(tmp_path / "a", "a"),
        ):
            with pytest.raises(StorageError, match="has no bucket 'never-made'; create it, or fix the address"):
                work()

    def test_nobody_listens(self, environment):
        environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        start = time.monotonic()
        with pytest.raises(StorageError, match=r"http://127\.0\.0\.1:9 cannot be reached.*AWS_ENDPOINT_URL"):
            open_storage("s3://bucket/x").list()
        assert time.monotonic() - start < 20

    def test_access_denied(self, environment, tmp_path):
        (tmp_path / "a").write_text("x")
        storage = open_storage("s3://bucket/x")
        for name, work in {
            "GetObject": lambda: storage.read("a"),
            "ListObjectsV2": storage.list,
            "PutObject": lambda: storage.put_file(tmp_path / "a", "a"),
        }.items():
            storage._client.meta.events.register(
                f"before-call.s3.{name}", lambda **_: _answer(403, "AccessDenied"), unique_id=name
            )
            with pytest.raises(StorageError, match=r"s3://bucket/x.*access denied \(AccessDenied\); check AWS_"):
                work()

    def test_no_credentials(self, environment, tmp_path):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            environment.setenv(name, str(tmp_path / "none"))
        with pytest.raises(StorageError, match=r"no credentials.*AWS_ACCESS_KEY_ID"):
            open_storage("s3://bucket/x").read("a")

    @pytest.mark.skipif(not REAL, reason="SHORTLIST_TEST_S3 is not set")
    def test_wrong_password_at_a_real_one(self, monkeypatch):
        endpoint = real_endpoint()
        bucket = endpoint.new_bucket()
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-password")
        with pytest.raises(StorageError, match=r"access denied \(SignatureDoesNotMatch\)"):
            open_storage(f"s3://{bucket}").write("a", b"")

    def test_a_put_whose_answer_was_lost_is_no_conflict(self, moto, environment):
        storage = open_storage(f"s3://{moto.new_bucket()}")
        storage.write("live.json", b"mine")  # done, but the client never heard and asks again
        storage.replace("live.json", b"mine", None)
        boto3.client("s3").put_object(Bucket=storage._bucket, Key="live.json", Body=b"theirs")
        with pytest.raises(ChangedError):
            storage.replace("live.json", b"mine", None)


def _answer(status, code):
    class Answer:
        status_code, headers, content, raw = status, {}, b"", None

    return Answer(), {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
