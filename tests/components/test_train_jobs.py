"""TrainJobs by an API that is away for a while, or has forgotten the job."""

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client, config
from urllib3.exceptions import HTTPError

from shortlist.components import train_jobs

POD = SimpleNamespace(
    metadata=SimpleNamespace(name="step", uid="1"),
    spec=SimpleNamespace(
        containers=[SimpleNamespace(name="wait", image="argo"), SimpleNamespace(name="main", image="ours")]
    ),
)


class Api:
    """Answers with what it is given, one after the other, and remembers what it is sent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.created: list[dict[str, Any]] = []

    def _answer(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def create_namespaced_custom_object(self, body: dict[str, Any], **_: str) -> Any:
        self.created.append(body)
        return self._answer()

    def get_namespaced_custom_object(self, **_: str) -> Any:
        return self._answer()

    def delete_namespaced_custom_object(self, **_: str) -> Any:
        return self._answer()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def connect(*answers: Any) -> tuple[train_jobs.TrainJobs, Api]:
        api = Api(*answers)
        core = SimpleNamespace(read_namespaced_pod=lambda name, namespace: POD)
        monkeypatch.setattr(config, "load_incluster_config", lambda: None)
        monkeypatch.setattr(client, "CustomObjectsApi", lambda: api)
        monkeypatch.setattr(client, "CoreV1Api", lambda: core)
        monkeypatch.setattr(train_jobs, "_NAMESPACE", SimpleNamespace(read_text=lambda: "runs\n"))
        monkeypatch.setenv("KFP_POD_NAME", "step")
        return train_jobs.TrainJobs(), api

    return connect


def test_a_job_belongs_to_the_pod_of_its_step_and_has_its_image(connect: Any) -> None:
    jobs, api = connect({})
    assert jobs.image == "ours"
    assert jobs.create({"metadata": {"name": "towers"}})
    (owner,) = api.created[0]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "step", "1")


def test_a_cluster_without_the_kind_is_told_from_one_that_refuses(connect: Any) -> None:
    jobs, _ = connect(client.ApiException(404), client.ApiException(422, "Invalid"))
    assert not jobs.create({"metadata": {}})
    with pytest.raises(ValueError, match="the TrainJob was refused \\(422 Invalid\\)"):
        jobs.create({"metadata": {}})


def test_an_api_that_is_away_does_not_end_the_training(connect: Any, capsys: pytest.CaptureFixture[str]) -> None:
    complete = [{"type": "Complete", "status": "True"}]
    away = [client.ApiException(503, "Unavailable"), HTTPError("refused")]
    jobs, _ = connect(*away, {}, {"status": {"conditions": complete}})
    assert [jobs.conditions("towers") for _ in range(4)] == [[], [], [], complete]
    assert capsys.readouterr().out.count("warning: ") == 2


def test_a_job_that_was_deleted_is_no_riddle(connect: Any) -> None:
    jobs, _ = connect(client.ApiException(404), client.ApiException(404), client.ApiException(403))
    with pytest.raises(ValueError, match="TrainJob towers was deleted while it was running"):
        jobs.conditions("towers")
    jobs.delete("towers")
    with pytest.raises(client.ApiException):
        jobs.delete("towers")
