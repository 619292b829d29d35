"""One Kubeflow component per step: an image, imports in the body, and one call into the library."""
