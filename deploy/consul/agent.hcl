# A Consul client agent, for a host that runs a node but no Consul server. A node talks to the agent of its own host:
# the agent checks its health, and takes it off the list when the whole host is gone.

server      = false
data_dir    = "/var/lib/consul"
client_addr = "127.0.0.1"

# The servers. A name that resolves to all of them will do.
retry_join = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]

acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_persistence = true
}
