"""Shortlist: from raw interaction logs to a live recommender.

The library knows nothing of Kubeflow, KServe, TorchServe or Kubernetes: those live in
`components/`, `pipelines/` and `serving/`, which are thin adapters around it.
"""
