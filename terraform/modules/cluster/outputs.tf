output "name" {
  value = aws_eks_cluster.this.name
}

output "rules" {
  description = "What the tests hold this module to."
  value = {
    gpu_taints      = [for taint in aws_eks_node_group.gpu.taint : "${taint.key}:${taint.effect}"]
    gpu_min         = aws_eks_node_group.gpu.scaling_config[0].min_size
    disks_encrypted = [for one in aws_launch_template.node : tobool(one.block_device_mappings[0].ebs[0].encrypted)]
    tokens          = [for one in aws_launch_template.node : one.metadata_options[0].http_tokens]
    public_api      = aws_eks_cluster.this.vpc_config[0].endpoint_public_access
  }
}
