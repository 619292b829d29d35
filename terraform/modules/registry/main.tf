# A repository an image. A tag is a build and never moves: what runs is what was tested.
resource "aws_ecr_repository" "this" {
  for_each = toset(var.images)
  #checkov:skip=CKV_AWS_136:Images hold no data and no secret; the registry's own encryption (AES-256) is enough.

  name                 = "${var.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "AES256"
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "the last thirty builds"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 30 }
      action       = { type = "expire" }
    }]
  })
}
