# Host n3: what differs from the others. The rest is ../server.hcl.

node_name  = "n3"
bind_addr  = "10.0.0.3"
retry_join = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
