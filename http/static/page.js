// The page: live tallies over /events, votes with an id so that trying again is safe, lines for a terminal.

import { offerArchived } from "./archive.js";
import { ask, hasToken, isTokenWanted, origin, tokenGiven } from "./asking.js";
import { change } from "./changing.js";
import { chart, chartsLive } from "./charts.js";
import { showCluster } from "./cluster.js";
import { drawActions, manage } from "./managing.js";
import { operate } from "./members.js";
import { suspect, watchNode } from "./moving.js";
import { put, watchNodes } from "./nodes.js";
import { OPTIONS_SHOWN, askMore, pickOptions, plain } from "./options.js";
import { learnAgain, learnRights, mayVote } from "./rights.js";
import { follow, followAnew, followFromStart } from "./stream.js";
import { count, number, percent } from "./words.js";

const POLLS_STEP = 50; // so many are shown, and so many more at each wish, but never more than the most
const POLLS_MOST = 300;
const OLDER_LOOKS = 3; // a leader that was elected just now may not have applied everything yet
const SEARCH_FROM = 9; // polls, for which a search is offered
const RECONNECT_MS = 2000;
const RANKS = ["open", "draft", "closed", "archived"]; // in this order they stand on the page

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
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

// id -> {tally, writeIns, places (null: not known yet), fetching, again, card, rows, limit and sought of its options, isDrawn}
const polls = new Map();
let drawing = false;
let pollsShown = POLLS_STEP;
let sought = "";
let newest = 0; // version that was heard of

function onTally(tally) {
  newest = Math.max(newest, tally.version);
  const known = polls.get(tally.id);
  if (known && known.tally.version > tally.version) return;
  if (known) Object.assign(known, { tally, isDrawn: false });
  else polls.set(tally.id, { tally, writeIns: false, places: null, card: null, rows: new Map(), limit: OPTIONS_SHOWN, sought: "", isDrawn: false });
  drawSoon();
}

function onDeleted({ id, version = Infinity }) {
  const known = polls.get(id);
  if (!known || known.tally.version > version) return; // a new poll has the name
  if (known.card) putAway(known);
  polls.delete(id);
  drawSoon();
}

// A poll may have been deleted while nothing was heard of it.
function onOpened() {
  linked({ follows: true });
  for (const [id, { card }] of polls) if (card) fetchDefinition(id);
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
  const { version } = poll.tally;
  try {
    const answer = await ask(`/polls/${encodeURIComponent(id)}?level=none`);
    if (answer.status === 404 || answer.status === 410) {
      poll.fetching = false;
      return onDeleted({ id, version }); // of what was heard since, the stream tells
    }
    const { write_ins: writeIns, options } = await answer.json();
    // The keys of a tally do not keep their order: JavaScript puts those first that look like numbers.
    const places = new Map(options.slice(0, OPTIONS_SHOWN).map((name, place) => [name, place]));
    Object.assign(poll, { writeIns, places, isDrawn: false });
    drawSoon();
  } catch { // no answer, or a refusal, which has no options; until there is one, nobody can write in
    await tokenGiven();
    await sleep(RECONNECT_MS);
    poll.again = true;
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
    const found = [...polls.values()].filter(isSought).sort((a, b) => rank(a) - rank(b));
    const shown = new Set(found.slice(0, pollsShown));
    for (const poll of polls.values()) if (poll.card && !shown.has(poll)) putAway(poll);
    [...shown].forEach((poll, place) => {
      if (!poll.isDrawn) draw(poll);
      put($("polls"), poll.card, place);
    });
    drawRest(found.length);
    drawLines(found[0]?.tally);
  });
}

const isSought = ({ tally }) => sought === "" || plain(`${tally.title} ${tally.id}`).includes(sought);

function putAway(poll) {
  poll.card.remove();
  Object.assign(poll, { card: null, rows: new Map(), isDrawn: false });
}

function drawRest(found) {
  $("none").hidden = polls.size > 0;
  $("search").hidden = polls.size < SEARCH_FROM && sought === "";
  const rest = Math.max(0, found - pollsShown);
  const isFull = pollsShown >= POLLS_MOST;
  const words = sought && !found ? "No poll has that in its title or its name." : rest ? `and ${count(rest, "more poll")}${isFull ? ": search for them" : ""}` : "";
  if ($("more").textContent !== words) $("more").textContent = words;
  $("more-polls").hidden = rest === 0 || isFull;
}

function drawAll() {
  for (const poll of polls.values()) poll.isDrawn = false;
  drawSoon();
}

$("search").querySelector("input").addEventListener("input", (event) => {
  sought = plain(event.target.value.trim());
  pollsShown = POLLS_STEP;
  drawSoon();
});
$("more-polls").addEventListener("click", () => {
  pollsShown = Math.min(POLLS_MOST, pollsShown + POLLS_STEP);
  drawSoon();
});

function draw(poll) {
  const { tally } = poll;
  poll.isDrawn = true;
  if (hasNewOption(poll)) fetchDefinition(tally.id);
  if (!poll.card) {
    poll.card = make("poll");
    poll.card.querySelector("form").addEventListener("submit", (event) => writeIn(event, poll));
    askMore(poll, drawSoon);
  }
  const find = (selector) => poll.card.querySelector(selector);
  find("h3").textContent = tally.title;
  find(".state").textContent = tally.state;
  find(".state").className = `state ${tally.state}`;
  find(".total").textContent = count(tally.total, "vote");
  find("form").hidden = !(poll.writeIns && tally.state === "open" && mayVote());
  drawActions(find(".actions"), tally);
  const shown = pickOptions(poll);
  const most = Object.values(tally.results).reduce((highest, votes) => Math.max(highest, votes), 1);
  const names = new Set(shown.map(([name]) => name));
  for (const [name, row] of poll.rows) {
    if (names.has(name)) continue;
    row.remove();
    poll.rows.delete(name);
  }
  shown.forEach(([name, count], place) => drawOption(poll, name, count, most, place));
  chart(poll.card, tally);
}

function drawOption(poll, name, count, most, place) {
  const { tally, rows } = poll;
  let row = rows.get(name);
  if (!row) {
    row = make("option");
    row.querySelector("bdi").textContent = name;
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

// Versions only grow, but for a new cluster that has the addresses, or one that goes on from an older state. The leader
// is asked after `heard`, so it has that version, or a higher one.
const looks = { heard: 0, older: 0 };

function compare({ nodes, leader }) {
  const version = nodes.find(({ id }) => id === leader)?.version;
  const older = version < looks.heard ? looks.older + 1 : 0;
  Object.assign(looks, { heard: newest, older });
  if (older < OLDER_LOOKS) return;
  newest = looks.heard = looks.older = 0;
  for (const id of [...polls.keys()]) onDeleted({ id });
  followFromStart();
}

const link = { follows: null, answers: null }; // null: not known yet

function linked(news) {
  Object.assign(link, news);
  const lost = link.follows === false || link.answers === false;
  chartsLive(link.follows === true && !lost);
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
  rested: () => linked({ follows: null }),
  lost: () => {
    linked({ follows: false });
    suspect();
  },
  told: { results: onTally, deleted: onDeleted },
});
manage(say);
offerArchived(onTally, say);
operate(say);
learnRights(drawAll);
watchNode(onMoved);
watchNodes(linked, (view) => {
  if (view) compare(view);
  showCluster(view);
});
showVersion();
