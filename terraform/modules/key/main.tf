# A key that turns every year, ruled by its own account and by whom the caller names.
resource "aws_kms_key" "this" {
  description             = var.description
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_days
  policy                  = data.aws_iam_policy_document.this.json
}

data "aws_caller_identity" "me" {}

data "aws_iam_policy_document" "this" {
  #checkov:skip=CKV_AWS_111:A key's own policy names no resource but the key it is attached to.
  #checkov:skip=CKV_AWS_356:A key's own policy names no resource but the key it is attached to.
  #checkov:skip=CKV_AWS_109:Without its account's root, nobody could change the key again.
  source_policy_documents = var.more

  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.me.account_id}:root"]
    }
  }
}
