// For those who operate: the members as the log has them, adding, removing, replacing and moving them, and the hand-over.

import { ask } from "./asking.js";
import { change } from "./changing.js";
import { sure } from "./managing.js";
import { may } from "./rights.js";
import { count } from "./words.js";

const OPERATION_MS = 35000; // the cluster itself gives an operator's change half a minute
const EVERY_MS = 4000;

const $ = (id) => document.getElementById(id);
const form = $("member-edit").querySelector("form");
const fields = form.elements;

const KINDS = { // of the form: its title, what it means, its button
  add: ["Add a member", "Start it first, with raft.bootstrap = false and this cluster's key. It is a learner until it has caught up, and then votes.", "Add it"],
  replace: ["Replace the disk of a member", "Start it on a new, empty data folder first: nothing changes unless it answers with another disk.", "Replace it"],
  update: ["Change the address of a member", "For a node, with the disk it has, that nobody finds any more. It has to answer there.", "Change it"],
};
const DONE = { add: "added", remove: "removed", replace: "replaced", update: "moved" };

let tell = () => {};
let members = []; // as the log has them
let askedAt = -Infinity; // by a clock that nobody sets
let kind = "add";
let isSending = false;

export function operate(say) {
  tell = say;
}

export async function drawMembers({ leader }) {
  if (!may("operate")) return;
  $("hand-over").disabled = !leader;
  if (performance.now() - askedAt < EVERY_MS) return;
  askedAt = performance.now();
  try {
    const answer = await ask("/members");
    if (answer.ok) draw((await answer.json()).members);
  } catch { /* what was shown stays */ }
}

function draw(found) {
  members = found;
  const drawn = JSON.stringify(found);
  if (draw.drawn === drawn) return; // the focus stays where it is
  draw.drawn = drawn;
  $("members").tBodies[0].replaceChildren(...found.map(row));
}

function row({ id, raft, voter }) {
  const made = $("member").content.firstElementChild.cloneNode(true);
  made.cells[0].textContent = id;
  made.cells[1].textContent = voter ? "voter" : "learner";
  made.cells[2].textContent = raft === "***" ? "–" : raft;
  for (const button of made.querySelectorAll("button")) {
    button.setAttribute("aria-label", `${button.textContent}: ${id}`);
    button.addEventListener("click", () => (button.value === "remove" ? remove(id) : open(button.value, id)));
  }
  return made;
}

// ---- changes ----

const send = (body, isMade) => change("POST", "/members", body, { waitMs: OPERATION_MS, isMade, again: () => tell("no answer yet, trying again") });

async function remove(id) {
  const voters = members.filter((member) => member.voter && member.id !== id).length;
  const rest = `${count(voters, "voter remains", "voters remain")}, of which ${Math.floor((voters - 1) / 2) || "none"} may fail.`;
  if (!(await sure(`Remove ${id} for good?`, `It stops, and cannot come back with the disk that it has. ${rest}`, "Remove"))) return;
  tell(`removing ${id} …`);
  conclude("remove", id, await send({ action: "remove", id }, ({ detail }) => detail?.startsWith(`${id} is no member`)));
}

function conclude(action, id, got) {
  askedAt = -Infinity;
  if (got.isDone) draw(got.said.members ?? members);
  tell(got.isDone ? `${DONE[action]}: ${id}` : refusal(got));
}

const refusal = ({ why, isUnknown }) => (isUnknown ? `It may or may not have been done: ${why}. Look at the members.` : `not done: ${why}`);

$("hand-over").addEventListener("click", async () => {
  const meaning = "The most caught-up voter leads next. Votes wait for a moment, and none is lost.";
  if (!(await sure("Hand the leadership over?", meaning, "Hand it over"))) return;
  tell("handing over …");
  $("hand-over").disabled = true;
  const got = await change("POST", "/leader/transfer", undefined, { waitMs: OPERATION_MS, isOnce: true }); // each would hand over once more
  $("hand-over").disabled = false;
  tell(got.isDone ? `${got.said.leader} leads now` : refusal(got));
});

// ---- the form ----

$("member-new").addEventListener("click", () => open("add", ""));

function open(wanted, id) {
  kind = wanted;
  form.reset();
  const [title, meaning, button] = KINDS[kind];
  $("member-title").textContent = title;
  $("member-meaning").textContent = meaning;
  $("member-do").textContent = button;
  $("member-why").textContent = "";
  fields.id.value = id;
  fields.id.readOnly = kind !== "add";
  fields.raft.required = kind !== "replace";
  fields.raft.placeholder = kind === "replace" ? "where it was" : "";
  $("member-edit").showModal();
  (id ? fields.raft : fields.id).focus();
}

$("member-cancel").addEventListener("click", () => $("member-edit").close());

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (isSending) return;
  isSending = true;
  $("member-do").disabled = true;
  $("member-why").textContent = "";
  const id = fields.id.value.trim();
  const lost = kind === "replace" ? members.find((member) => member.id === id)?.incarnation : undefined;
  const raft = fields.raft.value.trim() || undefined;
  const got = await send({ action: kind, id, raft, incarnation: lost });
  isSending = false;
  $("member-do").disabled = false;
  if (!got.isDone) {
    $("member-why").textContent = refusal(got);
    return;
  }
  $("member-edit").close();
  conclude(kind, id, got);
});
