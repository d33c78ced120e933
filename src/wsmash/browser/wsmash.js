/**
 * Topics, requests and ordinary messages over one WebSocket that connects again: the sub-protocol `wsmash.v1`.
 *
 * @typedef {any} Data  a string is text, buffers are binary (and come as Uint8Array), all else is JSON
 * @typedef {{ epoch: string, offset: number }} Position
 * @typedef {{ topic: string, data: Data, position?: Position }} Message
 */

const MARK = "\x1e"; // what an envelope begins with
const FATAL = [1002, 1003, 1007, 1008, 1010, 3000, 3003]; // close codes that would come again
const PATIENCE = 10; // seconds to open, to answer, and until the next outage counts as a new one

/** Its `code` is one of docs/protocol.md, "lost" or "closed". */
export class WsmashError extends Error {
  constructor(code, message = code) {
    super(message);
    this.name = "WsmashError";
    this.code = code;
  }
}

/**
 * Connect, and stay connected, with all subscriptions. Times are in seconds: the first retry comes within `firstDelay`,
 * at random, each later one within twice as long, `maxDelay` at most.
 *
 * Events: `open` ({reconnected}), `message` ({data}: an ordinary one), `reconnecting` ({attempt, delay, code, reason}),
 * `degraded`, `restored` (the server's broker is away, is back), `close` ({code, reason}).
 *
 * @param {string | URL} url  relative to the page
 */
export function connect(url = "/", { firstDelay = 5, maxDelay = 60 } = {}) {
  const address = new URL(url, location);
  address.protocol = address.protocol.replace("http", "ws");
  const subscriptions = new Map(); // by topic
  const pending = new Map(); // by id, in order
  let [ids, attempts, opened, ended] = [0, 0, 0, false];
  let socket, timer;
  const isOpen = () => socket?.readyState === 1;
  const write = (envelope) => socket.send(encode(envelope));

  const client = {
    isOpen,

    /**
     * Messages of a topic or a pattern, from now on or after the position `since`. Events: `message` (a Message),
     * `gap` ({topic, reason, position}: some were missed), `join`, `leave` ({topic, member}), `error` (it has ended).
     * `confirmed` is a Promise of its first position.
     */
    subscribe(topic, callback, { since } = {}) {
      named(topic);
      let found = subscriptions.get(topic);
      if (!found) {
        found = { topic, position: since };
        found.unsubscribe = () => {
          if (subscriptions.get(topic) !== found) return;
          subscriptions.delete(topic);
          found.settle(new WsmashError("cancelled"));
          if (isOpen()) write({ type: "unsubscribe", id: ++ids, topic });
        };
        found.fire = emitter(found);
        found.confirmed = new Promise((...both) => (found.settle = settler(...both)));
        found.confirmed.catch(() => {});
        subscriptions.set(topic, found);
        if (isOpen()) ask(found);
        if (ended) found.settle(new WsmashError("closed"));
      }
      return callback ? found.on("message", callback) : found;
    },

    /** @returns {Promise<Position>} sent until it is acknowledged, added once, thanks to its key */
    publish: (topic, data, { key = randomKey(), timeout = PATIENCE } = {}) =>
      call({ type: "publish", topic, key, ...content(data) }, { timeout, again: true }, position),

    /** @returns {Promise<Data>} what the method answers; it is called once */
    request: (method, data = null, { timeout = PATIENCE } = {}) =>
      call({ type: "request", method, timeout, ...content(data) }, { timeout }, dataOf),

    /** @returns {Promise<{ id: string, info?: any }[]>} who is on a topic */
    getPresence: (topic, { timeout = PATIENCE } = {}) =>
      call({ type: "presence", topic }, { timeout, again: true }, (reply) => reply.members),

    /** Send an ordinary message. */
    send(data) {
      if (!isOpen()) throw new WsmashError("lost");
      socket.send(isBytes(data) || typeof data === "string" ? data : JSON.stringify(data));
    },

    /** End it for good. */
    close(code = 1000, reason = "") {
      if (ended) return;
      socket?.close(code, reason);
      ended = true;
      if (!socket) lose({ code, reason });
    },
  };
  const fire = emitter(client);

  function dial() {
    clearTimeout(timer);
    const dialled = (socket = new WebSocket(address, "wsmash.v1"));
    socket.binaryType = "arraybuffer";
    timer = setTimeout(() => dialled.close(), 1000 * PATIENCE);
    socket.onmessage = ({ data }) => receive(data);
    socket.onclose = lose;
    socket.onopen = () => {
      clearTimeout(timer);
      timer = setTimeout(() => (attempts = 0), 1000 * PATIENCE);
      for (const each of subscriptions.values()) ask(each);
      for (const each of pending.values()) each.sent || transmit(each);
      fire("open", { reconnected: opened++ > 0 });
    };
  }

  function lose({ code, reason }) {
    clearTimeout(timer);
    socket = null;
    ended ||= FATAL.includes(code);
    for (const each of subscriptions.values()) each.live = false;
    for (const each of pending.values()) {
      if (each.sent && !each.again) each.settle(new WsmashError("lost"));
      each.sent = false;
    }
    if (!ended) {
      const delay = Math.random() * Math.min(maxDelay, firstDelay * 2 ** attempts++);
      timer = setTimeout(dial, 1000 * delay);
      return fire("reconnecting", { attempt: attempts, delay, code, reason });
    }
    removeEventListener("online", online);
    for (const each of [...pending.values(), ...subscriptions.values()]) each.settle(new WsmashError("closed"));
    fire("close", { code, reason });
  }

  function transmit(command) {
    command.repeated = command.tried; // it may have been done the first time
    command.sent = command.tried = true;
    socket.send(command.text);
  }

  function command(envelope, { timeout, again }, settle) {
    named(envelope.topic ?? envelope.method);
    if (ended) return settle(new WsmashError("closed"));
    const id = ++ids;
    const made = { text: encode({ ...envelope, id }), again };
    const giveUp = () => {
      if (made.sent && envelope.type === "request") write({ type: "cancel", id });
      const code = made.tried && envelope.type === "publish" ? "outcome_unknown" : "timeout";
      made.settle(new WsmashError(code, `no answer in ${timeout} s`));
    };
    const deadline = timeout && setTimeout(giveUp, 1000 * timeout);
    made.settle = (error, reply) => {
      if (error && made.repeated && envelope.type === "publish") error.code = "outcome_unknown";
      clearTimeout(deadline);
      pending.delete(id);
      settle(error, reply);
    };
    pending.set(id, made);
    if (isOpen()) transmit(made);
  }

  const call = (envelope, options, found) =>
    new Promise((...both) => command(envelope, options, settler(...both))).then(found);

  function ask(feed) {
    const { topic, position: since } = feed;
    command({ type: "subscribe", topic, since }, {}, (error, reply) => {
      if (subscriptions.get(topic) !== feed || !isOpen()) return;
      if (error) refuse(feed, error);
      else confirm(feed, reply);
    });
  }

  function confirm(feed, reply) {
    const { topic, known, position: since } = feed;
    const { recovered, degraded, reason = "reconnect" } = reply;
    const at = position(reply);
    feed.live = feed.known = true;
    feed.position = at ?? since;
    feed.settle(null, at);
    // A pattern has no position, and has missed what came in between.
    if (!recovered && !degraded && (known || since)) feed.fire("gap", { topic, reason, position: at });
  }

  function refuse(feed, error) {
    subscriptions.delete(feed.topic);
    feed.settle(error);
    feed.fire("error", error);
  }

  function receive(data) {
    if (typeof data !== "string") return fire("message", { data: new Uint8Array(data) });
    if (!data.startsWith(MARK)) return fire("message", { data });
    const envelope = JSON.parse(data.slice(1));
    const { type, id, topic, pattern, code, message } = envelope;
    const feed = subscriptions.get(pattern ?? topic);
    if (type === "reply") pending.get(id)?.settle(null, envelope);
    else if (type === "error") pending.get(id)?.settle(new WsmashError(code, message));
    else if (type === "degraded" || type === "restored") fire(type);
    else if (!feed?.live) return; // for one that has ended
    else if (type === "unsubscribed") refuse(feed, new WsmashError(code, message));
    else if (["message", "gap", "join", "leave"].includes(type)) deliver(feed, envelope);
  }

  function deliver(feed, envelope) {
    const { type, topic, pattern, reason, member } = envelope;
    const at = position({ epoch: feed.position?.epoch, ...envelope });
    if (!pattern && type === "message" && at?.offset <= feed.position?.offset) return; // a duplicate
    if (!pattern && at) feed.position = at;
    feed.fire(type, { topic, position: at, data: dataOf(envelope), reason, member });
  }

  const online = () => socket || dial();
  addEventListener("online", online);
  dial();
  return client;
}

/** Give an object `on` and `off`; what is returned calls the callbacks of an event. */
function emitter(target) {
  const all = new Map();
  const of = (event) => all.get(event) ?? all.set(event, new Set()).get(event);
  target.on = (event, callback) => of(event).add(callback) && target;
  target.off = (event, callback) => (of(event).delete(callback), target);
  return (event, detail = {}) => {
    for (const callback of [...of(event)]) {
      try {
        callback(detail);
      } catch (error) {
        reportError(error); // the others are called all the same
      }
    }
  };
}

const settler = (resolve, reject) => (error, result) => (error ? reject(error) : resolve(result));

/** What the server would end the connection for is refused at the call. */
function named(name) {
  if (typeof name !== "string") throw new TypeError(`a topic's or a method's name is a string, and not ${name}`);
}

const encode = (envelope) => MARK + JSON.stringify(envelope);

const isBytes = (data) => data instanceof ArrayBuffer || ArrayBuffer.isView(data);

function content(data) {
  if (typeof data === "string") return { text: data.toWellFormed?.() ?? data };
  if (!isBytes(data)) return { json: data ?? null };
  const bytes = new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
  return { binary: btoa(Array.from(bytes, (each) => String.fromCharCode(each)).join("")) };
}

function dataOf({ text, json, binary }) {
  return binary === undefined ? (text ?? json) : Uint8Array.from(atob(binary), (each) => each.charCodeAt(0));
}

const position = ({ epoch, offset }) => (epoch && offset !== undefined ? { epoch, offset } : undefined);

const randomKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join("");
