"""The Kubeflow pipeline: the DAG, its compiled form, and its submission to a cluster."""
