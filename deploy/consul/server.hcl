# A Consul server. Three of them survive the loss of one. Start: consul agent -config-file=server.hcl -config-file=HOST.hcl
# where HOST.hcl says what differs from host to host (three-hosts/ has examples).

server           = true
bootstrap_expect = 3
data_dir         = "/var/lib/consul"

# Nodes and commands on this host use the agent by loopback; nothing else should reach its HTTP and DNS.
client_addr = "127.0.0.1"

# The default, 5, suits the smallest machines: a new Consul leader then takes 5 to 10 s. 1 is what production wants.
performance {
  raft_multiplier = 1
}

# Who may do what: see acl/. Leave this block out, and consul.token empty, where everyone on the network is trusted.
acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_persistence = true
}
