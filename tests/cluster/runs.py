"""Runs of a tiny recipe on a real Kubeflow Pipelines, whose API is KF_PIPELINES_ENDPOINT; its nodes have the image.

Where its artifacts and our releases lie is an S3, which pods and this machine may know by different addresses:

    SHORTLIST_PIPELINE_IMAGE   by default the released one
    SHORTLIST_S3               in pods, http://minio-service.kubeflow:9000 by default
    SHORTLIST_S3_SECRET        with the keys `accesskey` and `secretkey`; by default that of Kubeflow Pipelines itself
    SHORTLIST_BUCKET           one that is there; by default mlpipeline
    SHORTLIST_CLAIM            a persistent volume claim for tests of volumes; by default one on a folder of the node
"""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from shortlist.components.image import PIPELINE_IMAGE

HOST = os.environ.get("KF_PIPELINES_ENDPOINT", "")
IMAGE = os.environ.get("SHORTLIST_PIPELINE_IMAGE", PIPELINE_IMAGE)
NAMESPACE = "kubeflow"
MARKS = [
    pytest.mark.cluster,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not HOST, reason="KF_PIPELINES_ENDPOINT is not set; these tests need Kubeflow Pipelines"),
]


def recipe(more: str = "") -> str:
    secret = os.environ.get("SHORTLIST_S3_SECRET", "mlpipeline-minio-artifact")
    address = os.environ.get("SHORTLIST_S3", "http://minio-service.kubeflow:9000")
    bucket = os.environ.get("SHORTLIST_BUCKET", "mlpipeline")
    return f"""
name: tiny
source: {{kind: synthetic, users: 60, items: 200, events: 6000, days: 30}}
split: {{kind: temporal, test: 3d, valid: 3d}}
interactions: {{positive: played_ratio_pct >= 50}}
features: {{item: {{id_dim: 16, title: title}}}}
retrieval: {{dim: 16, hidden: [], training: {{epochs: 1}}}}
ranking: {{training: {{epochs: 1}}}}
publish: {{to: "s3://{bucket}/test-{uuid.uuid4().hex[:8]}"}}
resources:
  cpu: 0.1
  memory_gb: 1
  memory_limit_gb: 3
  node_selector: {{kubernetes.io/os: linux}}
  tolerations: [{{key: shortlist, operator: Exists, effect: NoSchedule}}]
  env: {{AWS_ENDPOINT_URL: "{address}", AWS_REGION: us-east-1}}
  secrets: [{{name: {secret}, env: {{AWS_ACCESS_KEY_ID: accesskey, AWS_SECRET_ACCESS_KEY: secretkey}}}}]
{more}
"""


def submit(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "tiny.yaml").write_text(text)
    command = [sys.executable, "-m", "shortlist.cli", "submit", "tiny.yaml", "--host", HOST, "--image", IMAGE, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=3000, check=False)
