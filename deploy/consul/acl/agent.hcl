# What each agent's own token may do: keep its host in the catalog, and answer DNS for quorate.
#   consul acl set-agent-token agent TOKEN; consul acl set-agent-token default TOKEN

node_prefix "" {
  policy = "write"
}

service_prefix "" {
  policy = "read"
}
