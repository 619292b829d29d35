output "role_arns" {
  value = {
    pipeline   = aws_iam_role.pipeline.arn
    serving    = aws_iam_role.serving.arn
    autoscaler = aws_iam_role.autoscaler.arn
  }
}
