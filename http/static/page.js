// The page: live tallies over /events, votes with an id so that trying again is safe, lines for a terminal.

import { ask, hasToken, isTokenWanted, origin, tokenGiven } from "./asking.js";
import { change } from "./changing.js";
import { showCluster } from "./cluster.js";
import { drawActions, manage } from "./managing.js";
import { operate } from "./members.js";
import { suspect, watchNode } from "./moving.js";
import { put, watchNodes } from "./nodes.js";
import { learnAgain, learnRights, mayVote } from "./rights.js";
import { follow, followAnew } from "./stream.js";
import { number, percent } from "./words.js";

const POLLS_SHOWN = 50;
const OPTIONS_SHOWN = 10;
const RECONNECT_MS = 2000;
const RANKS = ["open", "draft", "closed", "archived"]; // in this order they stand on the page

const $ = (id) => document.getElementById(id);
const make = (id) => $(id).content.firstElementChild.cloneNode(true);

// randomUUID is only there on https and localhost; the page is also read by a bare address.
const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

function say(words) {
  const toast = $("toast");
  toast.textContent = words;
  toast.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => toast.classList.remove("shown"), 4000);
}

// ---- polls ----

const polls = new Map(); // id -> {tally, writeIns, places (null: not known yet), fetching, card, rows}
let drawing = false;

function onTally(tally) {
  const known = polls.get(tally.id);
  if (known && known.tally.version > tally.version) return;
  if (known) known.tally = tally;
  else polls.set(tally.id, { tally, writeIns: false, places: null, card: null, rows: new Map() });
  if (hasNewOption(polls.get(tally.id))) fetchDefinition(tally.id);
  drawSoon();
}

function onDeleted({ id, version = Infinity }) {
  const known = polls.get(id);
  if (!known || known.tally.version > version) return; // a new poll has the name
  known.card?.remove();
  polls.delete(id);
  drawSoon();
}

// A poll may have been deleted while nothing was heard of it.
function onOpened() {
  linked({ follows: true });
  for (const [id, { card }] of polls) if (card?.isConnected) fetchDefinition(id);
}

// Options are added, and written in. Their order matters only as long as all of them are shown.
function hasNewOption({ places, tally }) {
  const names = Object.keys(tally.results);
  return !places || (names.length <= OPTIONS_SHOWN && names.some((name) => !places.has(name)));
}

async function fetchDefinition(id) {
  const poll = polls.get(id);
  if (!poll) return;
  poll.again = poll.fetching; // what is on its way may be older than what asked for it now
  if (poll.fetching) return;
  poll.fetching = true;
  try {
    const answer = await ask(`/polls/${encodeURIComponent(id)}?level=none`);
    if (answer.status === 404 || answer.status === 410) return onDeleted({ id });
    const { write_ins: writeIns, options } = await answer.json();
    // The keys of a tally do not keep their order: JavaScript puts those first that look like numbers.
    const places = new Map(options.slice(0, OPTIONS_SHOWN).map((name, place) => [name, place]));
    Object.assign(poll, { writeIns, places });
    drawSoon();
  } catch { // no answer, or a refusal, which has no options; until there is one, nobody can write in
    await tokenGiven();
    poll.again = false;
    setTimeout(fetchDefinition, RECONNECT_MS, id);
  }
  poll.fetching = false;
  if (poll.again) fetchDefinition(id);
}

function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const rank = (poll) => RANKS.indexOf(poll.tally.state);
    const all = [...polls.values()].sort((a, b) => rank(a) - rank(b));
    all.slice(0, POLLS_SHOWN).forEach((poll, place) => {
      draw(poll);
      put($("polls"), poll.card, place);
    });
    for (const { card } of all.slice(POLLS_SHOWN)) card?.remove();
    $("none").hidden = all.length > 0;
    $("more").hidden = all.length <= POLLS_SHOWN;
    $("more").textContent = `and ${number.format(all.length - POLLS_SHOWN)} more: GET /polls`;
    drawLines(all[0]?.tally);
  });
}

function draw(poll) {
  const { tally } = poll;
  if (!poll.card) {
    poll.card = make("poll");
    poll.card.querySelector("form").addEventListener("submit", (event) => writeIn(event, poll));
  }
  const find = (selector) => poll.card.querySelector(selector);
  find("h3").textContent = tally.title;
  find(".state").textContent = tally.state;
  find(".state").className = `state ${tally.state}`;
  find(".total").textContent = `${number.format(tally.total)} ${tally.total === 1 ? "vote" : "votes"}`;
  find("form").hidden = !(poll.writeIns && tally.state === "open" && mayVote());
  drawActions(find(".actions"), tally);
  const options = Object.entries(tally.results);
  const many = options.length > OPTIONS_SHOWN;
  const place = ([name]) => poll.places?.get(name) ?? OPTIONS_SHOWN;
  options.sort(many ? (a, b) => b[1] - a[1] : (a, b) => place(a) - place(b));
  const shown = options.slice(0, OPTIONS_SHOWN);
  const most = Math.max(1, ...shown.map(([, count]) => count));
  for (const [name, row] of poll.rows) {
    if (shown.some(([option]) => option === name)) continue;
    row.remove();
    poll.rows.delete(name);
  }
  shown.forEach(([name, count], place) => drawOption(poll, name, count, most, place));
  find(".rest").hidden = !many;
  const rest = options.length - OPTIONS_SHOWN;
  find(".rest").textContent = `and ${number.format(rest)} more ${rest === 1 ? "option" : "options"}`;
}

function drawOption(poll, name, count, most, place) {
  const { tally, rows } = poll;
  let row = rows.get(name);
  if (!row) {
    row = make("option");
    row.querySelector(".name").textContent = name;
    row.querySelector("button").addEventListener("click", () => vote(tally.id, name));
    rows.set(name, row);
  }
  put(poll.card.querySelector(".options"), row, place);
  const share = tally.total ? count / tally.total : 0;
  row.classList.toggle("most", count > 0 && count === most);
  row.querySelector(".bar").style.transform = `scaleX(${share})`;
  row.querySelector(".share").textContent = tally.total ? percent.format(share) : "";
  row.querySelector(".count").textContent = number.format(count);
  const button = row.querySelector("button");
  button.disabled = tally.state !== "open" || !mayVote();
  button.setAttribute("aria-label", `${name}: ${number.format(count)}, ${percent.format(share)}. Vote for it`);
}

// ---- votes ----

async function vote(poll, option) {
  const again = () => say(`no answer yet, trying again: ${option}`); // with the same id: it counts once
  const got = await change("POST", "/votes", { option, poll, id: newId() }, { again });
  say(got.isDone ? `counted: ${option}` : `${got.isUnknown ? "may or may not have been counted" : "not counted"}: ${got.why}`);
}

function writeIn(event, poll) {
  event.preventDefault();
  const input = event.target.elements.option;
  vote(poll.tally.id, input.value.trim());
  input.value = "";
}

// ---- the stream ----

function onMoved() {
  followAnew();
  learnAgain();
  drawSoon();
  for (const place of document.querySelectorAll("footer a")) place.href = origin() + place.pathname + place.search;
}

const link = { follows: null, answers: null }; // null: not known yet

function linked(news) {
  Object.assign(link, news);
  const lost = link.follows === false || link.answers === false;
  const [name, words] = isTokenWanted() && lost ? ["lost", "a token is needed"] : lost ? ["lost", "this node does not answer; trying again"]
    : link.follows ? ["live", "live"] : ["", "connecting"];
  if ($("link").textContent === words) return; // it is read aloud at each change
  $("link").className = name;
  $("link").textContent = words;
}

// ---- lines for a terminal ----

const quoted = (value) => `'${JSON.stringify(value).replaceAll("'", "'\\''")}'`;

function drawLines(tally) {
  const poll = tally?.id ?? "mood";
  const option = tally ? Object.keys(tally.results)[0] ?? "anything" : "happy";
  const vote = { option, poll, id: "me-1" };
  const curl = hasToken() ? 'curl -H "Authorization: Bearer $TOKEN"' : "curl";
  const lines = [
    ...(tally ? [] : [`${curl} ${origin()}/polls -d ${quoted({ id: "mood", title: "How are you?", options: ["happy", "sad"] })}`]),
    `${curl} ${origin()}/votes -d ${quoted(vote)}`,
    `${curl} ${origin()}/polls/${encodeURIComponent(poll)}/results`,
    `${curl} -N '${origin()}/events?poll=${encodeURIComponent(poll)}'`, // zsh would take the ? for a pattern,
  ];
  if (drawLines.drawn === lines.join("\n")) return;
  drawLines.drawn = lines.join("\n");
  $("lines").replaceChildren(...lines.map((text) => {
    const line = make("line");
    line.querySelector("code").textContent = text;
    line.querySelector("button").setAttribute("aria-label", `Copy: ${text}`);
    line.querySelector("button").addEventListener("click", () => copy(text));
    return line;
  }));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("copied");
  } catch {
    say("this browser copies only on https or localhost");
  }
}

async function showVersion() {
  try {
    const { version } = await (await ask("/version")).json();
    $("version").textContent = `Quorate ${version}`;
  } catch { /* of no consequence */ }
}

document.querySelector("main").hidden = false;
linked({});
drawSoon();
follow({
  opened: onOpened,
  lost: () => {
    linked({ follows: false });
    suspect();
  },
  told: { results: onTally, deleted: onDeleted },
});
manage(say);
operate(say);
learnRights(drawSoon);
watchNode(onMoved);
watchNodes(linked, showCluster);
showVersion();
