variable "cluster_name" {
  type = string
}

variable "accounts" {
  description = "Service accounts and the role that each of them takes."
  type        = map(object({ namespace = string, account = string, role_arn = string }))
}
