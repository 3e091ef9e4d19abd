# What a node's token (consul.token) may do: register itself, and agree with others on who forms the cluster.

service "quorate" {
  policy = "write"
}

# Where candidates stand and the set of members is kept: quorate/CLUSTER/…
key_prefix "quorate/" {
  policy = "write"
}

# A candidate's key lives as long as its session. Sessions belong to an agent; narrow this to yours if you like.
session_prefix "" {
  policy = "write"
}

# Consul shows a service only together with the host it runs on.
node_prefix "" {
  policy = "read"
}
