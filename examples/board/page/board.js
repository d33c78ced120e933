// The page of the board: notes are asked for once, and then follow as they change.

import { connect } from "/wsmash.js";

const find = (id) => document.getElementById(id);
const client = connect("/ws", { firstDelay: 1 });
let board = null;

function show(state) {
  find("status").textContent = find("status").dataset.state = state;
}

/** Put a note on the board, or take it off: text is all that it is, whatever it looks like. */
function put(number, text) {
  document.querySelector(`#notes li[data-number="${Number(number)}"]`)?.remove();
  if (text === null) return;
  const note = document.createElement("li");
  const remove = document.createElement("button");
  remove.textContent = "×";
  remove.title = "Take it off";
  remove.onclick = () => attempt(client.request("remove", Number(number)));
  note.dataset.number = number;
  note.append(remove, text);
  find("notes").append(note);
}

/** Begin with what there is, and go on with what comes after it. */
async function load() {
  const { notes, position } = await client.request("notes");
  find("notes").replaceChildren();
  for (const [number, text] of Object.entries(notes)) put(number, text);
  board?.unsubscribe();
  board = client.subscribe("board", ({ data }) => put(data.number, data.text), { since: position });
  board.on("gap", () => attempt(load())); // something was missed: what there is has to be asked for again
}

async function attempt(action) {
  find("error").textContent = "";
  try {
    return await action;
  } catch (error) {
    find("error").textContent = error.message;
  }
}

find("add").onsubmit = (event) => {
  event.preventDefault();
  const text = find("text").value;
  find("text").value = "";
  attempt(client.request("add", text));
};

client.on("open", () => show("connected"));
client.on("open", ({ reconnected }) => reconnected || attempt(load()));
client.on("reconnecting", () => show("reconnecting"));
client.on("close", () => show("closed"));
