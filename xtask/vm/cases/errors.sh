# What goes wrong, and how it ends.
where-supported /tests/live_errors
