variable "name" {
  type = string
}

variable "cidr" {
  type = string
}

variable "single_nat" {
  type = bool
}

variable "zones" {
  type = list(string)
}
