# Threads that change one address space as fast as they can.
where-supported /tests/live_races
