# Nodes register themselves (consul.address in quorate.toml), and that is the better way: only they can move the tag
# `leader`. This is for agents that take services from files alone; leave consul.address empty then, and ask any node
# for the leader (GET /leader). Put it into the agent's configuration folder.

service {
  id      = "quorate-quorate-n1"
  name    = "quorate"
  address = "10.0.0.1"
  port    = 8001
  tags    = ["http", "raft"]

  meta {
    node    = "n1"
    cluster = "quorate"
    http    = "http://10.0.0.1:8001"
    raft    = "10.0.0.1:9001"
  }

  check {
    http                              = "http://10.0.0.1:8001/readyz"
    interval                          = "1s"
    timeout                           = "2s"
    deregister_critical_service_after = "10m"
  }
}
