"""Kubeflow pipelines: the DAG and its compiled form."""
