"""Builds and drops lists, dicts and byte strings of mixed sizes, as a program that parses its input does."""

import random

ROUNDS = 120

random.seed(1)
kept = []
for number in range(ROUNDS):
    records = [{"id": i, "name": f"record {i}", "tags": [i, i + 1]} for i in range(5_000)]
    by_name = {record["name"]: record for record in records}
    blocks = [bytes(random.randrange(1 << 10, 1 << 20)) for _ in range(60)]
    joined = bytearray()
    for block in blocks:
        joined += block
    # A little outlives its round, so that what is dropped leaves holes.
    kept.append((by_name["record 7"], blocks[number % 60], bytes(joined[: number << 10])))
    if len(kept) > 20:
        del kept[random.randrange(len(kept))]
