"""What the operator of a random history does, by name. The functions are in `operator_tasks.py`."""

OPERATIONS = ("add", "add and regret", "remove", "replace", "old disk", "old disk", "move", "move all")
