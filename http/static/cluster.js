// The cluster in detail, as each node says of itself, and what is broken, since when, and what to do.

import { ask, askMember } from "./asking.js";
import { drawMembers } from "./members.js";
import { may } from "./rights.js";
import { troublesOf } from "./troubles.js";
import { bytes, clock, count, number, span } from "./words.js";

const $ = (id) => document.getElementById(id);

const OF_NODES = /^(leader|away|behind)/; // keys of what /nodes alone says

const statuses = new Map(); // id -> what the node said of itself last
const since = new Map(); // key of a trouble -> since when, in ms; null: since before the page was opened
let view = null; // as /nodes had it last
let isAsking = false;
let views = 0; // how often the nodes were looked at, and how often what each says
let rounds = 0;

// `seen` has what /nodes said, and `asked`: the node that said it. Null: no node answers, so nothing is known.
export async function showCluster(seen) {
  if (!seen) {
    $("health").textContent = "";
    $("troubles").hidden = true;
    return;
  }
  view = seen;
  views += 1;
  draw();
  if (isAsking || !(may("manage") || $("cluster").open)) return;
  isAsking = true;
  await Promise.all(view.nodes.map(askOne));
  isAsking = false;
  rounds += 1;
  draw();
}

async function askOne({ id, http, reachable }) {
  try {
    if (reachable === false) throw new Error("away");
    const answer = await (id === view.asked ? ask("/status") : askMember(http, "/status"));
    if (!answer.ok) throw new Error("refused");
    statuses.set(id, await answer.json());
  } catch {
    statuses.delete(id);
  }
}

$("cluster").addEventListener("toggle", () => view && showCluster(view));

function draw() {
  for (const id of statuses.keys()) if (!view.nodes.some((node) => node.id === id)) statuses.delete(id);
  drawTroubles(troublesOf(view, statuses));
  if (!$("cluster").open) return;
  drawNodes();
  drawSinks();
  drawSources();
  drawMembers(view);
}

// ---- what is broken ----

function drawTroubles(found) {
  const keys = new Set(found.map(({ key }) => key));
  for (const key of since.keys()) if (!keys.has(key)) since.delete(key);
  const asked = view.nodes.filter(({ id }) => statuses.has(id)).length;
  const here = view.nodes.filter(({ reachable }) => reachable !== false).length;
  const words = found.length ? `${count(found.length, "thing is", "things are")} not as it should be`
    : rounds && asked === here ? `all is well · ${count(here, "node answers", "nodes answer")}` : "";
  if ($("health").textContent !== words) $("health").textContent = words; // it is read aloud at each change
  $("health").classList.toggle("warn", found.length > 0);
  const list = $("troubles");
  list.hidden = found.length === 0;
  found.forEach((trouble, place) => drawTrouble(list.children[place] ?? list.appendChild($("trouble").content.firstElementChild.cloneNode(true)), trouble));
  while (list.children.length > found.length) list.lastElementChild.remove();
}

function drawTrouble(item, { key, words, advice, ageS }) {
  if (ageS !== undefined) since.set(key, Math.min(since.get(key) ?? Infinity, Date.now() - ageS * 1000));
  else if (!since.has(key)) since.set(key, (OF_NODES.test(key) ? views : rounds) < 2 ? null : Date.now());
  const at = since.get(key);
  put(item.querySelector(".what"), words);
  put(item.querySelector(".since"), at === null ? "since before this page was opened" : `since ${clock(at)}`);
  put(item.querySelector(".advice"), advice);
}

function put(place, words) {
  if (place.textContent !== words) place.textContent = words; // a reader may have marked a part of it
}

// ---- tables ----

function fill(table, rows) {
  const body = table.tBodies[0];
  table.closest("section").hidden = rows.length === 0;
  rows.forEach((cells, place) => {
    const row = body.rows[place] ?? body.insertRow();
    cells.forEach((words, column) => {
      const cell = row.cells[column] ?? row.appendChild(document.createElement(column ? "td" : "th"));
      if (!column) cell.scope = "row";
      cell.dir = "auto";
      put(cell, words);
    });
  });
  while (body.rows.length > rows.length) body.deleteRow(-1);
}

const shown = (value) => (typeof value === "number" ? number.format(value) : "–");

function drawNodes() {
  const first = view.nodes.find(({ id }) => id === view.leader);
  fill($("cluster-nodes"), view.nodes.map((node) => {
    const status = statuses.get(node.id);
    const isLearner = statuses.get(view.leader)?.raft.members?.[node.id] === "learner";
    const role = node.reachable === false ? "not reachable" : node.id === view.leader ? "leader" : isLearner ? "learner" : node.role ?? "–";
    const behind = first && node.log_index !== undefined ? Math.max(0, first.log_index - (node.log_index - node.lag)) : undefined;
    return [
      node.id, role, shown(node.term), shown(node.log_index), shown(behind), shown(node.version),
      status?.raft.log_bytes === undefined ? "–" : bytes(status.raft.log_bytes), status ? span(status.uptime_s) : "–", linksOf(status),
    ];
  }));
}

function linksOf(status) {
  const links = Object.entries(status?.raft.links ?? {});
  if (!links.length) return "–";
  return links.map(([peer, { open, refused }]) => (open ? peer : `${peer}: ${refused ? "refused" : "not connected"}`)).join(", ");
}

function drawSinks() {
  const status = statuses.get(view.leader);
  fill($("cluster-sinks"), Object.entries(status?.sinks ?? {}).map(([name, sink]) => [
    name, `${sink.phase}, by ${view.leader}`, shown(sink.lag_versions), shown(sink.pending_polls),
    sink.last_success_age_s === null ? "not yet" : `${span(sink.last_success_age_s)} ago, in ${span(sink.last_success_took_s)}`,
    shown(sink.failures),
  ]));
}

function drawSources() {
  fill($("cluster-sources"), [...statuses].flatMap(([id, { sources = {} }]) => Object.entries(sources).map(([name, source]) => [
    `${name} at ${id}`, shown(source.connections), shown(source.depth), shown(source.in_flight), shown(source.applied),
    shown(source.duplicates), shown(source.dead_letters),
  ])));
}
