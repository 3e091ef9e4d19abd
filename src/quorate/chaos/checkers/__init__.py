"""The checkers: a file a property, each of which finds violations in a history that lies in a temporary database."""
