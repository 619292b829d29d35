#!/usr/bin/env bash
# The whole path on the cluster of KUBECONFIG: the recipe's pipeline by Kubeflow Pipelines, the overlay `kind`, the
# service on the pipeline's release, one answer. `run.sh RECIPE`; OVERLAY is another overlay than kind, SHORTLIST the
# command line, PIPELINE_IMAGE another image of the steps; REPLACE=1 does not keep a live release that cannot be loaded.
set -euo pipefail
recipe=$1 overlay=${OVERLAY:-$(dirname "$0")/overlays/kind} shortlist=${SHORTLIST:-shortlist}
# What this machine asks, it asks through the API server.
forward() { # NAMESPACE SERVICE LOCAL:REMOTE
  kubectl -n "$1" port-forward "service/$2" "$3" >/dev/null &
  forwards+=($!)
}
forwards=()
trap 'kill "${forwards[@]}" 2>/dev/null' EXIT
answers() { for _ in $(seq 60); do curl -s -o /dev/null "$1" && return; sleep 1; done; echo "$1 does not answer" >&2; return 1; }

forward kubeflow ml-pipeline 18888:8888
forward kubeflow minio-service 19000:9000
answers http://127.0.0.1:18888/apis/v2beta1/healthz
answers http://127.0.0.1:19000
export AWS_ENDPOINT_URL=http://127.0.0.1:19000 AWS_DEFAULT_REGION=us-east-1
AWS_ACCESS_KEY_ID=$(kubectl -n kubeflow get secret mlpipeline-minio-artifact -o jsonpath='{.data.accesskey}' | base64 -d)
AWS_SECRET_ACCESS_KEY=$(kubectl -n kubeflow get secret mlpipeline-minio-artifact -o jsonpath='{.data.secretkey}' | base64 -d)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
"${PYTHON:-python}" -c 'import boto3; s3 = boto3.client("s3"); s3.create_bucket(Bucket="shortlist")' 2>/dev/null || true

$shortlist submit "$recipe" --host http://127.0.0.1:18888 ${PIPELINE_IMAGE:+--image "$PIPELINE_IMAGE"}
kubectl apply -k "$overlay"
# A service that a deploy has pinned to a release of another root gets ready only by the next deploy.
pinned=$(kubectl -n shortlist get inferenceservice shortlist -o jsonpath='{.spec.transformer.annotations.shortlist/release}')
[ -n "$pinned" ] || kubectl -n shortlist wait --for=condition=Ready inferenceservice/shortlist --timeout=600s
$shortlist deploy "$recipe" ${REPLACE:+--replace} || {
  echo "run.sh: $pinned is pinned; REPLACE=1 deploys without keeping it (docs/cluster.md)" >&2
  exit 1
}
forward shortlist shortlist-transformer 18080:80
answers http://127.0.0.1:18080/v2/health/ready
curl -sf http://127.0.0.1:18080/v1/models/shortlist:predict -H 'Content-Type: application/json' -d '{"instances": [{"k": 5}]}'
echo
