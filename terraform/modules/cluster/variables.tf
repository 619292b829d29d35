variable "name" {
  type = string
}

variable "kubernetes_version" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "api_cidrs" {
  type = list(string)
}

variable "cpu_nodes" {
  type = object({ instance_types = list(string), min = number, max = number, disk_gb = number })
}

variable "gpu_nodes" {
  type = object({ instance_types = list(string), max = number, disk_gb = number, spot = bool })
}
