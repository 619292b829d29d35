"""The pod of a rehearsal is the live one's in everything but what leads users to it."""

from shortlist.serving.deploy.rehearsal import pod_of

TEMPLATE = {
    "metadata": {
        "labels": {
            "app": "isvc.shortlist-transformer",
            "component": "transformer",
            "app.kubernetes.io/component": "transformer",
            "serving.kserve.io/inferenceservice": "shortlist",
        },
        "annotations": {"shortlist/release": "releases/old", "prometheus.io/port": "8080"},
    },
    "spec": {
        "containers": [{"name": "kserve-container"}],
        "restartPolicy": "Always",
        "serviceAccountName": "transformer",
    },
}


def test_no_service_leads_to_it_but_it_may_ask_the_predictor() -> None:
    pod = pod_of(TEMPLATE, "shortlist", "releases/new")
    labels = pod["metadata"]["labels"]
    # KServe's Service, Deployment and our disruption budget select by `app`; its webhook by the other one.
    assert "app" not in labels
    assert "serving.kserve.io/inferenceservice" not in labels
    # The network policy of the predictor lets this one in.
    assert labels["app.kubernetes.io/component"] == "transformer"


def test_it_is_of_the_new_release_and_ends_by_itself() -> None:
    pod = pod_of(TEMPLATE, "shortlist", "releases/new")
    assert pod["metadata"]["annotations"] == {"shortlist/release": "releases/new", "prometheus.io/port": "8080"}
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["activeDeadlineSeconds"] > 0
    assert pod["spec"]["serviceAccountName"] == "transformer"
    assert TEMPLATE["metadata"]["annotations"]["shortlist/release"] == "releases/old", "the template was changed"
