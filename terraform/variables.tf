variable "environment" {
  description = "Names everything: dev, staging, prod. One tfvars each, in environments/."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.environment))
    error_message = "environment is 2 to 16 lower-case letters, digits and dashes, and begins with a letter, like `dev`."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "zones" {
  description = "Availability zones, in an order that stays: networks are numbered by it."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 8
    error_message = "EKS needs at least two zones, and the address plan has room for eight."
  }
}

variable "cidr" {
  description = "Address range of the VPC; a /16 gives each zone a public and a private /20."
  type        = string
  default     = "10.42.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && tonumber(split("/", var.cidr)[1]) <= 20
    error_message = "cidr is a range of at least /20, like 10.42.0.0/16."
  }
}

variable "single_nat" {
  description = "One NAT gateway for all zones: a third of the price, and a zone's failure takes the others' way out."
  type        = bool
  default     = false
}

variable "kubernetes_version" {
  description = "Of the control plane and the nodes."
  type        = string
  default     = "1.34"
}

variable "api_cidrs" {
  description = "Who may reach the cluster's API from outside; empty for the VPC alone."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.api_cidrs, "0.0.0.0/0")
    error_message = "api_cidrs must not open the cluster's API to everybody: name the ranges of your offices or your VPN."
  }
}

variable "cpu_nodes" {
  description = "The pool that serves, and runs all steps but training."
  type = object({
    instance_types = optional(list(string), ["m7i.xlarge"])
    min            = optional(number, 2)
    max            = optional(number, 6)
    disk_gb        = optional(number, 100)
  })
  default = {}
}

variable "gpu_nodes" {
  description = "The pool that trains: tainted, and empty until a step asks for a GPU."
  type = object({
    instance_types = optional(list(string), ["g6.2xlarge"])
    max            = optional(number, 2)
    disk_gb        = optional(number, 200)
    spot           = optional(bool, false)
  })
  default = {}
}

variable "old_releases_days" {
  description = "How long the bucket keeps what a newer version replaced, and what was deleted."
  type        = number
  default     = 90
}

variable "artifacts_days" {
  description = "How long the pipeline's artifacts (features, checkpoints) are kept; releases are kept until they are pruned."
  type        = number
  default     = 30
}

variable "namespaces" {
  description = "Where the pipeline's steps and the services run; roles are bound to service accounts there."
  type = object({
    pipeline = optional(string, "kubeflow")
    serving  = optional(string, "shortlist")
  })
  default = {}
}
