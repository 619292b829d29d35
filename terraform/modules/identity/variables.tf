variable "name" {
  type = string
}

variable "bucket_arn" {
  type = string
}

variable "key_arn" {
  type = string
}
