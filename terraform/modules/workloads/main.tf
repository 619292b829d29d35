# EKS Pod Identity: a service account gets a role without a secret, and without an annotation that a manifest must carry.
resource "aws_eks_addon" "pod_identity" {
  cluster_name = var.cluster_name
  addon_name   = "eks-pod-identity-agent"
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = var.accounts

  cluster_name    = var.cluster_name
  namespace       = each.value.namespace
  service_account = each.value.account
  role_arn        = each.value.role_arn
}
