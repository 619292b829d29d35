"""One Kubeflow component a step: an image, imports in the body, one call into the library."""
