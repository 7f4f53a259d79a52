"""Where endpoints come from, if they are not listed: DNS, Consul, Kubernetes."""
