output "repositories" {
  value = { for image, repository in aws_ecr_repository.this : image => repository.repository_url }
}

output "rules" {
  description = "What the tests hold this module to."
  value = [
    for one in aws_ecr_repository.this :
    "${one.image_tag_mutability} ${one.image_scanning_configuration[0].scan_on_push ? "scanned" : "not scanned"}"
  ]
}
