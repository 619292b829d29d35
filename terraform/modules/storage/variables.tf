variable "name" {
  type = string
}

variable "old_releases_days" {
  type = number
}

variable "artifacts_days" {
  type = number
}
