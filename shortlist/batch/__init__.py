"""Lists for many users at once, without a service."""
