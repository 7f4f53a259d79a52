"""What operators see of a running Banyan: metrics and logs."""
