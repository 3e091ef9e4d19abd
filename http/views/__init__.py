"""The Flask routes, by what they are about. A view reads, has the loop act, and answers."""

from quorate.http.handlers import admin, cluster, health, page
from quorate.http.views import polls, votes

BLUEPRINTS = (votes.routes, polls.routes, cluster.routes, admin.routes, health.routes, page.routes)
