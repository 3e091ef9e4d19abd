"""The Flask routes, by what they are about. A view reads, has the loop act, and answers."""

from quorate.http.views import cluster, health, operating, page, polls, votes

BLUEPRINTS = (votes.routes, polls.routes, cluster.routes, operating.routes, health.routes, page.routes)
