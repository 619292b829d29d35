output "accounts" {
  description = "Who got a role, as namespace/account."
  value       = [for one in aws_eks_pod_identity_association.this : "${one.namespace}/${one.service_account}"]
}
