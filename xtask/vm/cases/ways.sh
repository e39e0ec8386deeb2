# Every way of reading mappings that this kernel allows gives the same stream.
where-supported /tests/live_ways --nocapture
