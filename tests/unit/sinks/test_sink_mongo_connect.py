"""How the sink connects to MongoDB, whatever the URL says."""

from __future__ import annotations

from quorate.sinks.mongo.connect import connect


def test_documents_are_read_from_the_primary_and_written_to_a_majority() -> None:
    """A secondary lags: what was written a moment ago would look as if an older copy had been put back."""
    with connect("mongodb://127.0.0.1:1/?readPreference=secondaryPreferred&w=1&journal=false") as client:
        assert "Primary()" == repr(client.read_preference)
        assert {"w": "majority", "j": True} == client.write_concern.document
