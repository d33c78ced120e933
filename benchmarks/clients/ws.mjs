// npm's `ws` as a client:  node ws.mjs URL SIZE SECONDS  prints its round trips, as the clients in Python do.

import { createRequire } from "node:module";

const installed = createRequire(new URL("../../tests/interop/node/", import.meta.url));
const { WebSocket } = installed("ws");

const WARM_UP = 0.25; // of the seconds that count, how many go before them
const [, , url, size, seconds] = process.argv;
const socket = new WebSocket(url, { perMessageDeflate: false });
let done = 0;

socket.on("open", () => {
  socket.send(Buffer.alloc(Number(size)));
  setTimeout(count, WARM_UP * seconds * 1000);
});
socket.on("message", (data) => {
  done += 1;
  socket.send(data);
});

function count() {
  const before = done;
  const began = performance.now();
  setTimeout(() => {
    const rate = ((done - before) * 1000) / (performance.now() - began);
    process.stdout.write(JSON.stringify({ trips_per_s: Math.round(rate * 10) / 10 }) + "\n");
    process.exit(0);
  }, seconds * 1000);
}
