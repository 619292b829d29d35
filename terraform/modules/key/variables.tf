variable "description" {
  type = string
}

variable "deletion_days" {
  description = "How long a deleted key can be called back."
  type        = number
  default     = 30
}

variable "more" {
  description = "Policy documents, as JSON, of who may use it beside its own account."
  type        = list(string)
  default     = []
}
