output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = module.cluster.name
}

output "bucket" {
  description = "Releases lie under releases/, the pipeline's artifacts under artifacts/."
  value       = module.storage.bucket
}

output "publish_to" {
  description = "The recipe's publish.to."
  value       = "s3://${module.storage.bucket}/releases"
}

output "pipeline_root" {
  description = "Where Kubeflow Pipelines keeps artifacts."
  value       = "s3://${module.storage.bucket}/artifacts"
}

output "repositories" {
  description = "Image -> where it is pushed."
  value       = module.registry.repositories
}

output "overlay" {
  description = "The `images:` of a kustomize overlay: terraform output -raw overlay > manifests/overlays/mine/images.yaml"
  value = yamlencode({
    apiVersion = "kustomize.config.k8s.io/v1alpha1"
    kind       = "Component"
    images     = [for image, url in module.registry.repositories : { name = "shortlist/${image}", newName = url }]
  })
}
