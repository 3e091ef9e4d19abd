// For those who manage polls: make one, edit it, move it along, delete it. What the node refuses stands in its own words
// beside the field that it is about.

import { ask } from "./asking.js";
import { change } from "./changing.js";

const ACTIONS = { // of a poll in this state: what the button says, and what the poll becomes
  draft: [["Open", "open"], ["Edit", "edit"], ["Archive", "archived"], ["Delete", "deleted"]],
  open: [["Close", "closed"], ["Edit", "edit"]],
  closed: [["Open again", "open"], ["Edit", "edit"], ["Archive", "archived"]],
  archived: [["Delete", "deleted"]],
};
const SURE = { // what cannot be taken back is asked first
  archived: (title) => [`Archive “${title}”?`, "It keeps its results and never changes again: it cannot be opened any more.", "Archive"],
  deleted: (title) => [`Delete “${title}”?`, "Its options and its results are gone for good.", "Delete"],
};

const $ = (id) => document.getElementById(id);
const form = $("edit").querySelector("form");
const fields = form.elements;
const address = (id) => `/polls/${encodeURIComponent(id)}`;

let edited = null; // the poll as it was when its form was opened; null: the form makes a new one
let isIdOwn = false; // the reader wrote the id, so it does not follow the title
let isSending = false;
let tell = () => {};

export function manage(say) {
  tell = say;
}

// ---- a poll's buttons ----

export function drawActions(place, { id, title, state }) {
  if (place.dataset.state === state && place.dataset.title === title) return;
  const wasFocused = place.contains(document.activeElement);
  Object.assign(place.dataset, { state, title });
  place.replaceChildren(...(ACTIONS[state] ?? []).map(([words, wanted]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.setAttribute("aria-label", `${words}: ${title}`);
    button.classList.toggle("grave", wanted in SURE);
    button.addEventListener("click", () => act(id, title, wanted));
    return button;
  }));
  if (wasFocused) place.querySelector("button")?.focus();
}

async function act(id, title, wanted) {
  if (wanted === "edit") return openEdit(id);
  if (wanted in SURE && !(await sure(...SURE[wanted](title)))) return;
  const again = () => tell(`no answer yet, trying again: ${title}`);
  const got = wanted === "deleted" ? await remove(id, again) : await move(id, wanted, again);
  tell(got.isDone ? `${wanted}: ${title}` : refusal(got));
}

const move = (id, state, again) =>
  change("POST", `${address(id)}/state`, { state }, { again, isMade: (said) => said.state === state });

// Its number is sent along, so that a second try never deletes a new poll of the same name.
async function remove(id, again) {
  const found = await definition(id);
  if (found.why) return found;
  const gone = ({ type }) => type === "deleted" || type === "unknown-poll";
  return change("DELETE", `${address(id)}?creation=${found.creation}`, undefined, { again, isMade: gone });
}

async function definition(id) {
  try {
    const answer = await ask(address(id));
    const said = await answer.json();
    return answer.ok ? said : { why: said.detail };
  } catch {
    return { why: "this node does not answer" };
  }
}

const refusal = ({ why, isUnknown }) => `${isUnknown ? "may or may not have been done" : "not done"}: ${why}`;

// ---- asking first ----

let decided = () => {};

export function sure(question, meaning, yes) {
  $("sure-question").textContent = question;
  $("sure-meaning").textContent = meaning;
  $("sure-yes").textContent = yes;
  $("sure").returnValue = "";
  $("sure").showModal();
  $("sure-no").focus();
  return new Promise((done) => { decided = done; });
}

$("sure-yes").addEventListener("click", () => $("sure").close("yes"));
$("sure-no").addEventListener("click", () => $("sure").close());
$("sure").addEventListener("close", () => decided($("sure").returnValue === "yes"));

// ---- the form ----

$("new").addEventListener("click", () => openForm(null));

async function openEdit(id) {
  const found = await definition(id);
  if (found.why) return tell(found.why);
  openForm(found);
}

function openForm(poll) {
  form.reset();
  edited = poll;
  isIdOwn = false;
  for (const part of form.querySelectorAll("[data-only]")) part.hidden = part.dataset.only !== (poll ? "edit" : "new");
  $("edit-title").textContent = poll ? `Edit “${poll.title}”` : "New poll";
  $("options-label").textContent = poll ? "More options, one a line" : "Options, one a line";
  if (poll) {
    fields.title.value = poll.title;
    fields.closes_at.value = local(poll.closes_at);
    const { length } = poll.options;
    $("has").textContent = `It has ${new Intl.NumberFormat().format(length)} ${length === 1 ? "option" : "options"}. ` +
      "Options are only added, since their votes would be lost.";
  }
  complain({});
  $("edit").showModal();
  fields.title.focus();
}

fields.title.addEventListener("input", () => {
  if (!edited && !isIdOwn) fields.id.value = idOf(fields.title.value);
});
fields.id.addEventListener("input", () => { isIdOwn = fields.id.value !== ""; });
$("edit-cancel").addEventListener("click", () => $("edit").close());

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (isSending) return;
  isSending = true;
  const body = edited ? edits() : newPoll(event.submitter?.value === "draft" ? "draft" : "open");
  const again = () => complain({ why: "no answer yet, trying again" });
  complain({});
  const got = edited ? await change("PATCH", address(edited.id), body, { again }) : await change("POST", "/polls", body, { again });
  isSending = false;
  if (!got.isDone) return complain(got);
  $("edit").close();
  tell(edited ? `changed: ${got.said.title ?? edited.title}` : `made: ${got.said.title ?? body.title}`);
});

function newPoll(state) {
  const { title, id } = { title: fields.title.value.trim(), id: fields.id.value.trim() };
  return { id, title, options: lines(), state, closes_at: moment(), write_ins: fields.write_ins.checked };
}

// Only what was changed here is sent: another tab may have changed the rest.
function edits() {
  const title = fields.title.value.trim();
  const renaming = title === edited.title.trim() ? {} : { title };
  const closing = fields.closes_at.value === local(edited.closes_at) ? {} : { closes_at: moment() };
  return { ...renaming, add_options: lines(), ...closing };
}

const lines = () => fields.options.value.split("\n").map((line) => line.trim()).filter(Boolean);
const moment = () => (fields.closes_at.value ? new Date(fields.closes_at.value).toISOString() : null);

// The field of a time knows no zone and no seconds.
function local(time) {
  if (!time) return "";
  const at = new Date(time);
  return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

const idOf = (title) => title.normalize("NFKD").toLowerCase().replace(/\p{M}/gu, "").replace(/[^a-z0-9]+/g, "-")
  .replace(/^-+|-+$/g, "").slice(0, 60);

function complain({ why = "", field, kind, isUnknown }) {
  const about = field ?? (kind === "conflict" ? "id" : null);
  const words = isUnknown ? `This may or may not have been done: ${why}. Sending it again does no harm.` : why;
  const place = about && form.querySelector(`[data-about="${CSS.escape(about)}"]:not([hidden] *)`);
  for (const each of form.querySelectorAll(".why")) {
    each.textContent = each === (place ?? $("edit-why")) ? words : "";
    fields[each.dataset.about]?.setAttribute("aria-invalid", String(each === place));
  }
  if (place) fields[about].focus();
}
