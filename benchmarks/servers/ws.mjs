// npm's `ws`:  node ws.mjs WORK [CERTIFICATE KEY]  prints its port and serves, as the servers in Python do.

import { readFileSync } from "node:fs";
import { createServer as createPlain } from "node:http";
import { createServer as createSecure } from "node:https";
import { createRequire } from "node:module";

const installed = createRequire(new URL("../../tests/interop/node/", import.meta.url));
const { WebSocketServer } = installed("ws");

const [, , work, certificate, key] = process.argv;
const server = certificate
  ? createSecure({ cert: readFileSync(certificate), key: readFileSync(key) })
  : createPlain();
const acceptor = new WebSocketServer({ server, perMessageDeflate: work === "deflate" });

acceptor.on("connection", (socket) => {
  socket.on("error", (error) => process.stderr.write(`${error.stack}\n`));
  socket.on("message", (data, binary) => {
    for (const each of work === "broadcast" ? acceptor.clients : [socket]) each.send(data, { binary });
  });
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 }, () => process.stdout.write(`${server.address().port}\n`));
