# Three roles: the pipeline writes releases and artifacts, the services read releases, the autoscaler moves the size of
# this cluster's pools. Nobody may delete the bucket's past.
locals {
  trusted = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]

    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "pipeline" {
  name               = "${var.name}-pipeline"
  assume_role_policy = local.trusted
}

resource "aws_iam_role_policy" "pipeline" {
  name   = "bucket"
  role   = aws_iam_role.pipeline.id
  policy = data.aws_iam_policy_document.pipeline.json
}

data "aws_iam_policy_document" "pipeline" {
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [var.bucket_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["releases/*", "artifacts/*"]
    }
  }

  statement {
    sid       = "ReadAndWrite"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${var.bucket_arn}/releases/*", "${var.bucket_arn}/artifacts/*"]
  }

  # `shortlist releases prune` hides an old release; its versions stay until the lifecycle takes them.
  statement {
    sid       = "Prune"
    actions   = ["s3:DeleteObject"]
    resources = ["${var.bucket_arn}/releases/*"]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arn]
  }
}

resource "aws_iam_role" "serving" {
  name               = "${var.name}-serving"
  assume_role_policy = local.trusted
}

resource "aws_iam_role_policy" "serving" {
  name   = "releases"
  role   = aws_iam_role.serving.id
  policy = data.aws_iam_policy_document.serving.json
}

data "aws_iam_policy_document" "serving" {
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [var.bucket_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["releases/*"]
    }
  }

  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = ["${var.bucket_arn}/releases/*"]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt"]
    resources = [var.key_arn]
  }
}

resource "aws_iam_role" "autoscaler" {
  name               = "${var.name}-autoscaler"
  assume_role_policy = local.trusted
}

resource "aws_iam_role_policy" "autoscaler" {
  name   = "pools"
  role   = aws_iam_role.autoscaler.id
  policy = data.aws_iam_policy_document.autoscaler.json
}

data "aws_iam_policy_document" "autoscaler" {
  #checkov:skip=CKV_AWS_356:The Describe actions of EC2 and Auto Scaling take no resource; what changes a group is bound to this cluster's.
  statement {
    sid = "Look"
    actions = [
      "autoscaling:DescribeAutoScalingGroups",
      "autoscaling:DescribeAutoScalingInstances",
      "autoscaling:DescribeLaunchConfigurations",
      "autoscaling:DescribeScalingActivities",
      "ec2:DescribeImages",
      "ec2:DescribeInstanceTypes",
      "ec2:DescribeLaunchTemplateVersions",
      "ec2:GetInstanceTypesFromInstanceRequirements",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "LookAtPools"
    actions   = ["eks:DescribeNodegroup"]
    resources = ["arn:aws:eks:*:*:nodegroup/${var.name}/*"]
  }

  statement {
    sid       = "Scale"
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/kubernetes.io/cluster/${var.name}"
      values   = ["owned"]
    }
  }
}
