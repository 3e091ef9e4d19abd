"""docs/commands.md and docs/http.md, made from the code: `make references`."""
