# Threads, children, new images and the ends of processes.
where-supported /tests/live_processes
