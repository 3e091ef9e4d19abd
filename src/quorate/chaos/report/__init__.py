"""The page of a run: `gather` reads a history into a `RunStory` of bounded size, `draw` makes one HTML file of it."""
