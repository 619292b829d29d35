# Cheap: one NAT gateway, small nodes, a spot GPU.
environment = "dev"
region      = "eu-central-1"
zones       = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
single_nat  = true
cpu_nodes   = { instance_types = ["m7i.large"], min = 1, max = 3 }
gpu_nodes   = { instance_types = ["g6.xlarge", "g5.xlarge"], max = 1, spot = true }

old_releases_days = 14
artifacts_days    = 7
