// The nodes, asked every two seconds. What the node that is asked cannot tell any more is not shown as if it held.

import { ask, tokenGiven } from "./asking.js";
import { homeId, knowNodes, suspect } from "./moving.js";
import { clock, number } from "./words.js";

const EVERY_MS = 2000;

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const members = new Map(); // id -> {item, awaySince}: the time since when it is away, if that was seen here
let asked = null; // the node that answered last
let seenAt = null; // when that was
let lostSince = null;

// Moving an element takes the focus from what is in it: a reader on the keyboard would lose their place.
export function put(list, item, place) {
  if (list.children[place] === item) return;
  const focused = document.activeElement;
  list.insertBefore(item, list.children[place] ?? null);
  if (focused !== document.activeElement) focused.focus({ preventScroll: true });
}

// `linked` is told each time whether the node answers, and `seen` what it said.
export async function watchNodes(linked, seen) {
  for (;;) {
    try {
      const answer = await ask("/nodes");
      const said = await answer.json();
      show(said, answer.headers.get("X-Quorate-Node"));
      seen({ ...said, asked });
      linked({ answers: true });
    } catch {
      showLost();
      seen(null);
      linked({ answers: false });
      suspect();
      await tokenGiven();
    }
    await sleep(EVERY_MS);
  }
}

function show({ nodes, leader, term }, served) {
  knowNodes(nodes, served);
  if (!leader) suspect();
  $("served").textContent = `answered by ${served} · ` +
    (leader ? `${leader} leads in term ${term}` : "no leader is known, so nothing is counted");
  $("served").classList.toggle("warn", !leader);
  for (const [id, { item }] of members) {
    if (nodes.some((node) => node.id === id)) continue;
    item.remove();
    members.delete(id);
  }
  asked = served;
  lostSince = null;
  nodes.forEach((node, place) => put($("nodes"), showNode(node, node.id === leader), place));
  seenAt = Date.now();
}

// The node that was asked is what is known to be away; of the others nothing is known.
function showLost() {
  if (lostSince) return;
  lostSince = Date.now();
  $("served").textContent = seenAt ? `the nodes as they were last seen, at ${clock(seenAt)}` : "no node has answered yet";
  for (const [id, member] of members) {
    if (id !== asked) draw(member.item, "unknown", "not known", "");
    else draw(member.item, "away", "does not answer", sinceWords(member));
  }
}

function showNode(node, leads) {
  const member = members.get(node.id) ?? { item: document.getElementById("node").content.firstElementChild.cloneNode(true), awaySince: null };
  members.set(node.id, member);
  const name = member.item.querySelector("a");
  name.textContent = node.id;
  if (!node.http || node.id === homeId()) name.removeAttribute("href");
  else if (name.href !== new URL(node.http).href) name.href = node.http;
  if (node.reachable === false) {
    draw(member.item, "away", "not reachable", sinceWords(member));
  } else {
    member.awaySince = null;
    const lag = node.lag > 0 ? ` · ${number.format(node.lag)} behind` : "";
    const facts = node.version === undefined ? node.http ?? "" : `version ${number.format(node.version)}${lag}`;
    draw(member.item, leads ? "leader" : "", leads ? "leader" : node.role ?? "", facts);
  }
  return member.item;
}

// A node that was away when the page was opened has been so for longer than the page knows.
function sinceWords(member) {
  member.awaySince ??= seenAt ? Date.now() : Infinity;
  return member.awaySince === Infinity ? "" : `since ${clock(member.awaySince)}`;
}

function draw(item, state, role, facts) {
  item.className = state;
  item.querySelector(".role").textContent = role;
  item.querySelector(".facts").textContent = facts;
}
