"use strict";
// The chat's page. Text from others only ever becomes text: textContent, never markup.

const RETRY_FIRST = 500; // milliseconds until the first attempt to reconnect; doubled each time
const RETRY_LAST = 15000;

const find = (id) => document.getElementById(id);
const lines = find("lines");

let socket = null;
let name = "";
let attempts = 0;

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/ws`);
  socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "join", text: name })));
  socket.addEventListener("message", (event) => hear(JSON.parse(event.data)));
  socket.addEventListener("close", retry);
  showStatus("connecting");
}

function retry() {
  // Half of the delay is drawn at random, so that a restarted server is not met by all pages at once.
  const delay = Math.min(RETRY_LAST, RETRY_FIRST * 2 ** attempts) * (0.5 + Math.random() / 2);
  attempts += 1;
  showStatus("reconnecting");
  setTimeout(connect, delay);
}

function hear(news) {
  const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
  switch (news.type) {
    case "welcome":
      attempts = 0;
      name = news.name;
      showStatus("open");
      lines.replaceChildren();
      news.history.forEach(showSaid);
      showNotice(`You are ${name}`);
      break;
    case "joined":
      showNotice(`${news.name} joined`);
      break;
    case "left":
      showNotice(`${news.name} left`);
      break;
    case "said":
      showSaid(news);
      break;
  }
  if (news.people) showPeople(news.people);
  if (atEnd || news.type === "welcome") lines.scrollTop = lines.scrollHeight;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function showSaid({ name: by, text }) {
  const line = element("li", by === name ? "said mine" : "said", "");
  line.append(element("b", "", by), element("p", "", text));
  lines.append(line);
}

function showNotice(text) {
  lines.append(element("li", "notice", text));
}

function showPeople(people) {
  find("count").textContent = people.length;
  find("people").replaceChildren(...people.map((each) => element("li", each === name ? "me" : "", each)));
}

function showStatus(state) {
  find("status").dataset.state = state;
  find("status").textContent = state === "open" ? "connected" : state;
  find("say-form").querySelector("button").disabled = state !== "open";
}

find("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  name = find("name").value.trim();
  if (!name) return;
  localStorage.setItem("name", name);
  find("name-form").hidden = true;
  find("say-form").hidden = false;
  find("text").focus();
  connect();
});

find("say-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = find("text").value;
  if (!text.trim() || socket.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ type: "say", text }));
  find("text").value = "";
});

find("name").value = localStorage.getItem("name") ?? "";
find("status").textContent = "not joined";
