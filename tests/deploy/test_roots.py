"""A swap when pods that start now look for releases elsewhere than those that answer."""

import pytest
from fake_cluster import NEW, OLD, FakeCluster

from shortlist.serving.deploy.cluster import BESIDE, RELEASE
from shortlist.serving.deploy.deploy import Options, deploy
from shortlist.serving.deploy.errors import RefusedError

_NAME = NEW.removeprefix("releases/")


def swap(cluster: FakeCluster, **options: object) -> list[str]:
    said: list[str] = []
    deploy(cluster, _NAME, Options(min_overlap=0, num_queries=2, **options), said.append)  # type: ignore[arg-type]
    return said


def test_the_live_release_is_kept_beside_the_new_one() -> None:
    cluster = FakeCluster()
    swap(cluster, root="s3://a/")
    assert cluster.written == [("predictor", {RELEASE: NEW, BESIDE: OLD}), ("transformer", {RELEASE: NEW})]


def test_a_live_release_below_another_root_is_told_before_anything_is_written() -> None:
    cluster = FakeCluster(root="s3://b", pods_root="s3://a")
    with pytest.raises(RefusedError, match=r"from s3://a, but new pods read releases below s3://b.*--replace"):
        swap(cluster)
    assert cluster.written == []


def test_replace_goes_over_without_it() -> None:
    cluster = FakeCluster(root="s3://b", pods_root="s3://a")
    swap(cluster, replace=True)
    assert cluster.written == [("predictor", {RELEASE: NEW, BESIDE: NEW}), ("transformer", {RELEASE: NEW})]


def test_replace_drops_a_live_release_that_the_predictor_was_told_to_keep() -> None:
    cluster = FakeCluster()
    cluster.there["predictor"][0].metadata.annotations = {RELEASE: NEW, BESIDE: OLD}
    swap(cluster, replace=True)
    assert cluster.written[0] == ("predictor", {RELEASE: NEW, BESIDE: NEW})


def test_after_replace_nothing_is_taken_back_to_what_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, said = FakeCluster(root="s3://b", pods_root="s3://a"), []
    monkeypatch.setattr(
        "shortlist.serving.deploy.deploy.check_comparison",
        lambda *_: (_ for _ in ()).throw(RefusedError("too different")),
    )
    with pytest.raises(RefusedError, match="too different"):
        deploy(cluster, _NAME, Options(replace=True, num_queries=2), said.append)
    assert cluster.written == [("predictor", {RELEASE: NEW, BESIDE: NEW})]
    assert said[-1].startswith("not rolled back: 00000000000000aa can no longer be loaded")


def test_a_release_of_another_root_than_the_pods_read_is_refused() -> None:
    cluster = FakeCluster()
    with pytest.raises(RefusedError, match=r"is below s3://c, but the pods of shortlist read s3://a; set RELEASES"):
        swap(cluster, root="s3://c")
    assert cluster.written == []
