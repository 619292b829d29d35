# From the outside in: the network, the cluster in it, the bucket and the registry that it uses, and who may do what.
locals {
  name = "shortlist-${var.environment}"
}

module "network" {
  source = "./modules/network"

  name       = local.name
  cidr       = var.cidr
  zones      = var.zones
  single_nat = var.single_nat
}

module "storage" {
  source = "./modules/storage"

  name              = local.name
  old_releases_days = var.old_releases_days
  artifacts_days    = var.artifacts_days
}

module "registry" {
  source = "./modules/registry"

  name   = local.name
  images = ["pipeline", "transformer", "predictor"]
}

module "cluster" {
  source = "./modules/cluster"

  name               = local.name
  kubernetes_version = var.kubernetes_version
  vpc_id             = module.network.vpc_id
  subnet_ids         = module.network.private_subnet_ids
  api_cidrs          = var.api_cidrs
  cpu_nodes          = var.cpu_nodes
  gpu_nodes          = var.gpu_nodes
}

module "identity" {
  source = "./modules/identity"

  name       = local.name
  bucket_arn = module.storage.bucket_arn
  key_arn    = module.storage.key_arn
}

module "workloads" {
  source = "./modules/workloads"

  cluster_name = module.cluster.name
  accounts = {
    pipeline    = { namespace = var.namespaces.pipeline, account = "pipeline-runner", role_arn = module.identity.role_arns.pipeline }
    transformer = { namespace = var.namespaces.serving, account = "shortlist-transformer", role_arn = module.identity.role_arns.serving }
    predictor   = { namespace = var.namespaces.serving, account = "shortlist-predictor", role_arn = module.identity.role_arns.serving }
    autoscaler  = { namespace = "kube-system", account = "cluster-autoscaler", role_arn = module.identity.role_arns.autoscaler }
  }
}
