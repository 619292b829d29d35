# Survives the loss of a zone; a GPU that is not taken away in mid-training.
environment = "prod"
region      = "eu-central-1"
zones       = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
single_nat  = false
cpu_nodes   = { instance_types = ["m7i.xlarge"], min = 3, max = 12 }
gpu_nodes   = { instance_types = ["g6e.2xlarge"], max = 4 }

old_releases_days = 180
artifacts_days    = 30
