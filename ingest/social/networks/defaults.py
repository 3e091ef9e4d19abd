"""What holds for each network unless people say otherwise: its servers, its limits, and how long it may be silent.

The commands, the settings and the networks all take it from here. It imports nothing, so that a command is quick.
"""

from __future__ import annotations

TWITTER_URL = "https://stream.twitter.com/1.1/statuses/filter.json"
TWITTER_SILENCE_S = 90.0  # three times a keep-alive
TWITTER_PHRASES, TWITTER_PHRASE_BYTES = 400, 60  # those of most accounts

X_URL = "https://api.x.com"
X_SILENCE_S = 22.0  # a sign of life comes every 20 s, and now and then a little later
X_DOLLARS_PER_POST = 0.005
X_POSTS_PER_DAY = 1_000  # if nobody says anything of a budget
X_RULES, X_RULE_CHARACTERS = 1_000, 1_024
X_TAG = "quorate"

BLUESKY_URLS = ("wss://jetstream.us-east.bsky.network", "wss://jetstream.us-west.bsky.network")
BLUESKY_SILENCE_S = 60.0  # thousands of posts come in that time

WIKIMEDIA_URL = "https://stream.wikimedia.org/v2/stream/recentchange"
WIKIMEDIA_SILENCE_S = 60.0  # hundreds of changes come in that time

MASTODON_TOKEN = "SP_MASTODON_TOKEN"
MASTODON_SILENCE_S = 60.0  # a heartbeat comes every 15 s
MASTODON_TAGS = 40  # connections; an instance's limits are its own

NOSTR_URLS = ("wss://relay.damus.io", "wss://nos.lol", "wss://relay.primal.net")
