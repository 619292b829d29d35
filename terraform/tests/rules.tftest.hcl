# What must hold in every environment, whatever its tfvars say. Nothing is created: the provider is mocked.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:mock" }
  }

  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::mock" }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-00000000000000000", latest_version = 1 }
  }
}

variables {
  environment = "test"
  region      = "eu-central-1"
  zones       = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

run "the_bucket_is_private" {
  assert {
    condition = alltrue([
      module.storage.rules.public_access.block_public_acls,
      module.storage.rules.public_access.block_public_policy,
      module.storage.rules.public_access.ignore_public_acls,
      module.storage.rules.public_access.restrict_public_buckets,
    ])
    error_message = "The bucket can be made public."
  }
}

run "the_bucket_is_versioned_and_encrypted" {
  assert {
    condition     = module.storage.rules.versioning == "Enabled"
    error_message = "A release that is overwritten would be lost."
  }

  assert {
    condition     = module.storage.rules.encryption == "aws:kms"
    error_message = "The bucket is not encrypted with a key of ours."
  }
}

run "old_releases_go_live_ones_stay" {
  assert {
    condition     = module.storage.rules.expires["old-releases"] == null
    error_message = "The lifecycle deletes current objects under releases/: the live release would vanish."
  }

  assert {
    condition     = module.storage.rules.expires["artifacts"] == 30
    error_message = "Artifacts are never deleted."
  }
}

run "gpu_nodes_are_tainted_and_scale_from_zero" {
  assert {
    condition     = module.cluster.rules.gpu_taints == ["nvidia.com/gpu:NO_SCHEDULE"]
    error_message = "Pods without a toleration would fill the GPU nodes."
  }

  assert {
    condition     = module.cluster.rules.gpu_min == 0
    error_message = "The GPU pool does not scale to zero."
  }

  assert {
    condition     = contains(module.workloads.accounts, "kube-system/cluster-autoscaler")
    error_message = "Nobody may start a node of the empty pool."
  }
}

run "nodes_are_encrypted_and_keep_their_credentials" {
  assert {
    condition     = alltrue(module.cluster.rules.disks_encrypted) && alltrue([for tokens in module.cluster.rules.tokens : tokens == "required"])
    error_message = "A disk is not encrypted, or a pod can take its node's credentials."
  }
}

run "the_api_is_closed_unless_ranges_are_named" {
  assert {
    condition     = module.cluster.rules.public_api == false
    error_message = "The cluster's API can be reached from the internet."
  }
}

run "the_api_is_never_open_to_everybody" {
  command = plan

  variables {
    api_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.api_cidrs]
}

run "a_bad_name_is_refused" {
  command = plan

  variables {
    environment = "Production!"
  }

  expect_failures = [var.environment]
}

run "images_are_scanned_and_their_tags_never_move" {
  assert {
    condition     = alltrue([for one in module.registry.rules : one == "IMMUTABLE scanned"])
    error_message = "A tag can be pushed again, or an image is not scanned."
  }
}

run "the_overlay_names_every_image" {
  assert {
    condition     = toset([for one in yamldecode(output.overlay).images : one.name]) == toset(["shortlist/pipeline", "shortlist/transformer", "shortlist/predictor"])
    error_message = "The overlay would leave an image where it cannot be pulled."
  }
}
