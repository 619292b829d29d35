terraform {
  required_version = ">= 1.9"

  # Where the state lies is each environment's: terraform init -backend-config=environments/dev.s3.tfbackend
  backend "s3" {
    use_lockfile = true
    encrypt      = true
  }

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

# Credentials and a test's endpoint come from the environment (AWS_PROFILE, AWS_ENDPOINT_URL), never from files here.
provider "aws" {
  region = var.region

  default_tags {
    tags = {
      project     = "shortlist"
      environment = var.environment
      managed-by  = "terraform"
    }
  }
}
