"""The cloud's description: formatted, valid, true to its rules, really applied to and destroyed in an AWS twin."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest

from shortlist.serving.ports import free_ports

ROOT = Path(__file__).parents[2] / "terraform"
# moto knows neither EKS add-ons nor pod identities, which are all that module.workloads has.
APPLIED = ["module.network", "module.storage", "module.registry", "module.cluster", "module.identity"]
PATH_STYLE = 'provider "aws" {\n  s3_use_path_style = true\n}\n'

pytestmark = [
    pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed"),
    pytest.mark.timeout(900),
]


def _plugins() -> list[str]:
    """Where an offline machine keeps providers, as the argument of `init`; nothing where the registry is asked."""
    found = [path.parent for base in ("/opt", "/usr/share") for path in Path(base).glob("*/registry.terraform.io")]
    return [f"-plugin-dir={found[0]}"] if found else []


def _terraform(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "TF_CLI_CONFIG_FILE"}
    return subprocess.run(
        ["terraform", f"-chdir={folder}", *arguments],
        env=clean | {"TF_IN_AUTOMATION": "1", "TF_CLI_ARGS": "-no-color"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _done(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with its provider, so that nothing is written into the checkout."""
    folder = tmp_path_factory.mktemp("terraform") / "terraform"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    init = _terraform(folder, "init", "-backend=false", "-input=false", *_plugins())
    if init.returncode:
        pytest.skip(f"the AWS provider cannot be had here: {init.stderr.strip().splitlines()[-1:]}")
    return folder


@pytest.fixture
def aws() -> Iterator[str]:
    """A moto server of its own process, since in this one others may have made its accounts already."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    # AWS's own policies, which the roles of EKS take.
    environment = os.environ | {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        retries = httpx.HTTPTransport(retries=20)  # by ever longer pauses
        httpx.Client(transport=retries, trust_env=False).get(f"{url}/moto-api/").raise_for_status()
        yield url
        server.terminate()


def test_it_is_formatted() -> None:
    run = _terraform(ROOT, "fmt", "-check", "-recursive", "-diff")
    assert run.returncode == 0, run.stdout


def test_it_is_valid(root: Path) -> None:
    assert "The configuration is valid" in _done(_terraform(root, "validate"))


def test_its_rules_hold(root: Path) -> None:
    assert " 0 failed" in _done(_terraform(root, "test"))


def test_it_is_applied_and_destroyed(root: Path, aws: str) -> None:
    environment = "prod"
    session = boto3.Session("test", "test", region_name="eu-central-1")
    s3, eks = session.client("s3", endpoint_url=aws), session.client("eks", endpoint_url=aws)
    s3.create_bucket(
        Bucket="my-company-terraform-state", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    (root / "twin_override.tf").write_text(PATH_STYLE)
    here = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": aws}
    state = [f"-backend-config=environments/{environment}.s3.tfbackend", "-backend-config=use_path_style=true"]
    _done(_terraform(root, "init", "-reconfigure", "-input=false", *state, *_plugins(), **here))
    what = [f"-var-file=environments/{environment}.tfvars", "-auto-approve", "-input=false"]
    what += [f"-target={module}" for module in APPLIED]
    _done(_terraform(root, "apply", *what, **here))

    bucket = f"shortlist-{environment}-123456789012"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    pools = eks.list_nodegroups(clusterName=f"shortlist-{environment}")["nodegroups"]
    assert sorted(pools) == ["cpu", "gpu"]
    gpu = eks.describe_nodegroup(clusterName=f"shortlist-{environment}", nodegroupName="gpu")["nodegroup"]
    assert gpu["scalingConfig"]["minSize"] == 0
    assert gpu["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    # Of node groups and launch templates moto tells things that nobody said, so they would be changed for ever.
    settled = [f"-target={module}" for module in APPLIED if module != "module.cluster"]
    again = _terraform(root, "plan", "-detailed-exitcode", "-input=false", what[0], *settled, **here)
    assert again.returncode == 0, "applied twice, it would change something:\n" + again.stdout[-3000:]
    _done(_terraform(root, "plan", "-var-file=environments/dev.tfvars", "-input=false", **here))

    _done(_terraform(root, "destroy", *what, **here))
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["my-company-terraform-state"]
    assert eks.list_clusters()["clusters"] == []
