// Fills arrays, strings and buffers of mixed sizes and leaves them to the garbage collector, as a server does.

'use strict';

const ROUNDS = 200;

const kept = [];
let seed = 1;
const below = (limit) => (seed = (seed * 48271) % 2147483647) % limit;

for (let round = 0; round < ROUNDS; round++) {
  const rows = Array.from({ length: 5000 }, (_, i) => ({ id: i, name: `row ${i}`, cells: [i, round] }));
  const text = JSON.stringify(rows);
  const buffers = Array.from({ length: 40 }, () => Buffer.alloc(1024 + below(1 << 19), 1));
  // A little outlives its round, so that what is dropped leaves holes.
  kept.push([JSON.parse(text)[round], buffers[round % buffers.length]]);
  if (kept.length > 50) kept.splice(below(kept.length), 1);
}
