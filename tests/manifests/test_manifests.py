"""What is applied: built by kustomize, checked against the schemas of its kinds, and by rules of ours. No cluster."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFESTS = Path("manifests")
OVERLAYS = sorted(path.parent.name for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))
COMPONENTS = sorted(path.parent.name for path in MANIFESTS.glob("components/*/kustomization.yaml"))
TOOLS = Path(".work/tools")
KUBECONFORM = shutil.which("kubeconform", path=f"{TOOLS}:{os.environ['PATH']}")
Document = dict[str, Any]

kustomizes = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not there: https://kubectl.docs.kubernetes.io/installation"
)
conforms = pytest.mark.skipif(
    KUBECONFORM is None or not (TOOLS / "schemas/.ready").exists(),
    reason="no kubeconform or no schemas: make manifest-tools",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifests, with the login that a person writes for the overlay `dev`."""
    tree = tmp_path_factory.mktemp("tree") / "manifests"
    shutil.copytree(MANIFESTS, tree)
    shutil.copy(tree / "overlays/dev/s3.env.example", tree / "overlays/dev/s3.env")
    return tree


def build(folder: Path) -> str:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(text: str) -> list[Document]:
    return [one for one in yaml.safe_load_all(text) if one]


def containers(found: Any, place: str = "") -> Iterator[tuple[str, Document]]:
    """Every container of a document, wherever its kind keeps them."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key in ("containers", "initContainers") and isinstance(value, list):
                yield from ((f"{place}.{key}.{one['name']}", one) for one in value)
            yield from containers(value, f"{place}.{key}")
    elif isinstance(found, list):
        for one in found:
            yield from containers(one, place)


@kustomizes
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_sound(tree: Path, overlay: str) -> None:
    found = documents(build(tree / "overlays" / overlay))
    assert {"InferenceService", "NetworkPolicy", "Role"} <= {one["kind"] for one in found}
    assert {one["metadata"].get("namespace", "shortlist") for one in found} == {"shortlist"}
    seen = [(f"{one['kind']}{place}", container) for one in found for place, container in containers(one)]
    assert len(seen) >= 2
    for place, container in seen:
        _, colon, tag = container["image"].rpartition(":")
        assert colon, f"{place}: {container['image']} names no version"
        assert tag != "latest", place
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert probe in container, f"{place} has no {probe}"
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), place
        assert "memory" in container["resources"]["limits"], place
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True, place
        assert security["allowPrivilegeEscalation"] is False, place
        assert security["capabilities"] == {"drop": ["ALL"]}, place


@kustomizes
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_nobody_and_are_given_time(tree: Path, overlay: str) -> None:
    (service,) = [one for one in documents(build(tree / "overlays" / overlay)) if one["kind"] == "InferenceService"]
    for name in ("transformer", "predictor"):
        spec = service["spec"][name]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["serviceAccountName"] == f"shortlist-{name}"
        assert spec["topologySpreadConstraints"]
        # The pod outlives its drain and the answers that are under way; deploy alone says which release.
        assert spec["terminationGracePeriodSeconds"] >= 30
        assert "annotations" not in spec


@kustomizes
def test_no_secret_lies_in_what_everybody_applies(tree: Path) -> None:
    shared = [tree / "base", *(tree / "components" / name for name in COMPONENTS)]
    for folder in shared:
        text = "\n".join(path.read_text() for path in folder.glob("*"))
        assert "kind: Secret\n" not in text, folder
        assert "secretGenerator" not in text, folder
    assert "Secret" not in {one["kind"] for one in documents(build(tree / "base"))}
    assert "Secret" not in {one["kind"] for one in documents(build(tree / "overlays/gpu"))}


def test_manifests_of_others_are_named_at_a_version() -> None:
    for path in MANIFESTS.glob("platform/*/kustomization.yaml"):
        for resource in yaml.safe_load(path.read_text())["resources"]:
            assert resource.startswith("https://github.com/"), path
            assert "/download/v" in resource or "?ref=" in resource, f"{path}: {resource} is at no version"


@kustomizes
def test_a_predictor_by_our_serving_runtime(tree: Path, by_runtime: Path) -> None:
    found = {one["kind"]: one for one in documents(build(by_runtime))}
    predictor, runtime = found["InferenceService"]["spec"]["predictor"], found["ServingRuntime"]["spec"]
    assert "containers" not in predictor
    assert predictor["model"]["modelFormat"]["name"] == runtime["supportedModelFormats"][0]["name"]
    (ours,) = runtime["containers"]
    (custom,) = next(
        one["spec"]["predictor"]["containers"]
        for one in documents(build(tree / "overlays/kind"))
        if one["kind"] == "InferenceService"
    )
    for same in ("image", "ports", "startupProbe", "readinessProbe", "livenessProbe", "resources", "securityContext"):
        assert ours[same] == custom[same], same


@pytest.fixture
def by_runtime(tree: Path) -> Path:
    """An overlay as docs/cluster.md has it."""
    folder = tree / "overlays/by-runtime"
    folder.mkdir(exist_ok=True)
    release = "releases/0123456789abcdef"
    patch = [
        {"op": "add", "path": "/spec/predictor/model/storageUri", "value": f"s3://shortlist/demo/{release}"},
        {"op": "add", "path": "/spec/transformer/annotations", "value": {"shortlist/release": release}},
    ]
    overlay = {
        "resources": ["../kind"],
        "components": ["../../components/serving-runtime"],
        "patches": [{"target": {"kind": "InferenceService"}, "patch": yaml.safe_dump(patch)}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return folder


@kustomizes
@conforms
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubeconform(tree: Path, overlay: str) -> None:
    conform(build(tree / "overlays" / overlay))


@kustomizes
@conforms
def test_kubeconform_of_the_serving_runtime(by_runtime: Path) -> None:
    conform(build(by_runtime))


def conform(text: str) -> None:
    assert KUBECONFORM is not None
    schemas = f"{TOOLS}/schemas/{{{{.ResourceKind}}}}_{{{{.Group}}}}_{{{{.ResourceAPIVersion}}}}.json"
    command = [KUBECONFORM, "-strict", "-schema-location", schemas]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # It does look: the same with a field that KServe does not have.
    wrong = text.replace("minReplicas:", "minReplica:")
    done = subprocess.run(command, input=wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "minReplica" in done.stdout


@kustomizes
def test_only_the_deployer_talks_to_the_api_server_and_to_no_more_than_it_needs(tree: Path) -> None:
    found = documents(build(tree / "base"))
    (binding,) = [one for one in found if one["kind"] == "RoleBinding"]
    assert [subject["name"] for subject in binding["subjects"]] == ["deployer"]
    assert not [one for one in found if one["kind"].startswith("ClusterRole")]
    (role,) = [one for one in found if one["kind"] == "Role"]
    for rule in role["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"]
        assert "secrets" not in rule["resources"]
