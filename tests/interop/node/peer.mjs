// npm's `ws`, remote-controlled: JSON lines on standard input are what to do, those on standard output what was heard.
//
//   node peer.mjs connect SETTING     opens SETTING.url
//   node peer.mjs serve SETTING       says {"port": ...} and takes one connection
//
// Standard input's end ends the process.

import { createServer as createPlain } from "node:http";
import { createServer as createSecure } from "node:https";
import { createInterface } from "node:readline";
import { WebSocket, WebSocketServer } from "ws";

const [, , role, json] = process.argv;
const setting = JSON.parse(json);
const say = (heard) => process.stdout.write(JSON.stringify(heard) + "\n");

function announce(socket) {
  say({ open: { subprotocol: socket.protocol || null, deflates: socket.extensions.includes("permessage-deflate") } });
}

function listen(socket) {
  socket.on("message", (data, isBinary) => say(isBinary ? { binary: data.toString("base64") } : { text: data.toString() }));
  socket.on("pong", (data) => say({ pong: data.toString("base64") }));
  socket.on("close", (code, reason) => say({ closed: [code, reason.toString()] }));
  socket.on("error", (error) => process.stderr.write(`${error.stack}\n`));
  const send = (data, fin = true) => socket.send(data, { fin, binary: Buffer.isBuffer(data) });
  const actions = {
    text: (text, fin) => send(text, fin),
    binary: (data, fin) => send(Buffer.from(data, "base64"), fin),
    ping: (data) => socket.ping(Buffer.from(data, "base64")),
    close: ([code, reason]) => socket.close(code, reason),
  };
  createInterface({ input: process.stdin }).on("line", (line) => {
    const { action, data, fin } = JSON.parse(line);
    actions[action](data, fin);
  });
}

process.stdin.on("end", () => process.exit(0));

if (role === "connect") {
  const socket = new WebSocket(setting.url, setting.offered, {
    perMessageDeflate: setting.deflate && { threshold: 0 },
    ca: setting.authority,
  });
  listen(socket);
  socket.on("open", () => announce(socket));
} else {
  const server = setting.key ? createSecure({ key: setting.key, cert: setting.certificate }) : createPlain();
  const acceptor = new WebSocketServer({
    server,
    perMessageDeflate: setting.deflate && { threshold: 0 },
    handleProtocols: (offered) => setting.spoken.find((name) => offered.has(name)) ?? false,
  });
  acceptor.on("connection", (socket) => {
    listen(socket);
    announce(socket);
  });
  server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
}
