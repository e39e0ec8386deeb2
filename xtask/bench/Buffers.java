// Fills lists, strings and buffers of mixed sizes and leaves them to the garbage collector, as a server does.

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Random;

class Buffers {
    static final int ROUNDS = 250;

    public static void main(String[] arguments) {
        var random = new Random(1);
        var kept = new ArrayList<Object>();
        for (int round = 0; round < ROUNDS; round++) {
            var rows = new HashMap<String, int[]>();
            for (int i = 0; i < 5_000; i++) rows.put("row " + i, new int[] {i, round});
            var buffers = new ArrayList<Object>();
            for (int i = 0; i < 20; i++) {
                buffers.add(new byte[1024 + random.nextInt(1 << 19)]);
                buffers.add(ByteBuffer.allocateDirect(1024 + random.nextInt(1 << 19)));
            }
            // A little outlives its round, so that what is dropped leaves holes.
            kept.add(buffers.get(round % buffers.size()));
            kept.add(rows.get("row 7"));
            if (kept.size() > 100) kept.remove(random.nextInt(kept.size()));
        }
    }
}
