"""Reading a table, typing its columns, the task, the split, built-in sets."""
