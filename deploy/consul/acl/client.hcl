# What `quorate … --consul ADDRESS` may do: find the nodes. The token comes from CONSUL_HTTP_TOKEN.

service "quorate" {
  policy = "read"
}

node_prefix "" {
  policy = "read"
}
