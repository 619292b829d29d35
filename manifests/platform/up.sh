#!/usr/bin/env bash
# Everything that our app stands on, for a bare cluster of KUBECONFIG: cert-manager, KServe, Kubeflow Pipelines.
# Others' manifests are fetched at the versions that the kustomizations beside this file name. May be run again.
set -euo pipefail
cd "$(dirname "$0")"
apply() { kubectl apply --server-side --force-conflicts -k "$1"; }
rolled_out() { kubectl -n "$1" rollout status deployment --timeout=600s; }

apply cert-manager
rolled_out cert-manager
# A webhook answers a little after its pod is ready, and kinds must be known before objects of them are sent.
for _ in 1 2 3 4 5; do apply kserve && break || sleep 15; done
rolled_out kserve
apply kfp/kinds
kubectl wait --for=condition=Established crd/applications.app.k8s.io --timeout=60s
apply kfp
rolled_out kubeflow
