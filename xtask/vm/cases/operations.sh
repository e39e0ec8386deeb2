# Every operation that changes mappings, of a 64-bit and of a 32-bit program.
where-supported /tests/live_operations
