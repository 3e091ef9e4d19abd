// What is broken in the cluster, in words, and what to do: from what the nodes say of themselves. Nothing is asked here.

import { count, number, span } from "./words.js";

const BEHIND_MAX = 1000; // entries, as for /readyz
const BEHIND_MS_MAX = 5000;
const CLOCK_MS_MAX = 1000;
const FULL = 0.9;
const CERTIFICATE_DAYS = 14;
const DEVIATION_S = 3600; // what was put right longer ago is shown no more
const MASK = "***"; // what a caller without a token is told of texts

const SINKS = { // by the phase of the leader's flush
  retrying: "No vote is lost: the totals stand in the log, and are written when the sink takes them again.",
  foreign: "It holds another cluster's documents, which are not touched. If they are to become this one's: quorate sink adopt.",
  outranked: "Something newer has written there. If this cluster is to have it: quorate sink adopt.",
  stopped: "Its flush ended. See the log of the leader; a hand-over of the leadership starts it anew.",
};

const told = (text) => (text && text !== MASK ? `: ${text}` : "");

// Each trouble: `key`, `words`, `advice`, and `ageS`, for how long it has been there, where a node says so.
// `nodes` as /nodes has them; `statuses` by id, as /status has them, of those nodes that could be asked.
export function troublesOf({ nodes, leader }, statuses) {
  const kinds = [...statuses.values()].map(({ raft }) => raft.members).find((members) => members && Object.keys(members).length);
  const voters = nodes.filter(({ id }) => kinds?.[id] !== "learner");
  return [
    ...ofLeader(voters, leader, statuses),
    ...nodes.flatMap((node) => ofNode(node, nodes, voters, leader)),
    ...[...statuses].flatMap(([id, status]) => [...ofRaft(id, status.raft, nodes), ...ofRest(id, status)]),
    ...ofLinks(nodes, statuses),
    ...ofClocks(statuses.get(leader)),
    ...ofSinks(statuses.get(leader)),
    ...ofLimits(statuses.get(leader)),
  ];
}

const isThere = (node) => node.reachable !== false;

function ofLeader(voters, leader, statuses) {
  if (leader) return [];
  const heard = [...statuses.values()].map(({ raft }) => raft.leader_heard_ms_ago).filter((ms) => typeof ms === "number");
  const needed = Math.floor(voters.length / 2) + 1;
  return [{
    key: "leader",
    words: "No node leads, so nothing is counted.",
    advice: `${number.format(needed)} of ${number.format(voters.length)} voters must be up and connected. Start those ` +
      "that are away. If their disks are lost for ever: quorate recover.",
    ageS: heard.length ? Math.min(...heard) / 1000 : undefined,
  }];
}

function ofNode(node, nodes, voters, leader) {
  if (!isThere(node)) return [{ key: `away ${node.id}`, words: `${node.id} does not answer the other nodes.`, advice: awayAdvice(node, voters, leader) }];
  const first = nodes.find(({ id }) => id === leader);
  const behind = first ? first.log_index - (node.log_index - node.lag) : node.lag;
  if (!(behind > BEHIND_MAX)) return [];
  return [{
    key: `behind ${node.id}`,
    words: `${node.id} is ${count(behind, "entry", "entries")} behind.`,
    advice: "It catches up by itself. If the number grows, its disk or its link is too slow.",
  }];
}

function awayAdvice(node, voters, leader) {
  const spare = voters.filter(isThere).length - (Math.floor(voters.length / 2) + 1);
  const rest = !leader ? "" : spare > 0 ? ` Counting goes on; ${count(spare, "more node")} may fail.`
    : " Counting goes on, and stops if one more node fails.";
  return `Start it again; its log says why it stopped. If its disk is lost: quorate members replace ${node.id}.${rest}`;
}

function ofRaft(id, raft, nodes) {
  const found = [];
  const add = (key, words, advice, ageS) => found.push({ key: `${key} ${id}`, words, advice, ageS });
  if (raft.role === "halted") add("halted", `${id} has stopped taking part.`, "Its log says why. It counts nothing until it is started again.");
  if (raft.role === "starting") add("starting", `${id} reads its log.`, "It takes part when that is done.");
  if (raft.forgotten) add("forgotten", `The disk of ${id} does not count${told(raft.forgotten)}.`, `quorate members replace ${id}, or remove ${id}.`);
  if (raft.stranger_to) add("stranger", `The disk of ${id} is new to the cluster.`, `quorate members add ${id} HOST:PORT, or quorate members replace ${id} if its disk was lost.`);
  for (const [peer, why] of Object.entries(raft.other_histories ?? {})) {
    add(`history ${peer}`, `${id} and ${peer} have different histories${told(why)}.`, "One of them has another cluster's data: look which, and replace that one.");
  }
  if (raft.leader_via) add("via", `${id} reaches the leader over ${raft.leader_via} only.`, `Look at the network between ${id} and ${raft.leader}.`);
  if (raft.lag_ms > BEHIND_MS_MAX) add("waits", `${id} has waited ${span(raft.lag_ms / 1000)} for an entry.`, "Its disk or its link is too slow.", raft.lag_ms / 1000);
  return found;
}

// Of the links between nodes that both answer: of the others it is said that they are away.
function ofLinks(nodes, statuses) {
  const found = [];
  const up = new Set(nodes.filter(isThere).map(({ id }) => id));
  for (const [id, { raft }] of statuses) {
    for (const [peer, link] of Object.entries(raft.links ?? {})) {
      const key = `link ${[id, peer].sort().join(" ")}`;
      if (link.refused) found.push({ key, words: `${id} and ${peer} refuse each other${told(link.refused)}.`, advice: "Look at the keys and certificates of both (raft.key, raft.tls_*)." });
      else if (!link.open && up.has(peer) && !found.some((other) => other.key === key)) {
        found.push({ key, words: `${id} and ${peer} are not connected.`, advice: `Look at the network between them${told(link.address)}.` });
      }
    }
  }
  return found;
}

const ofClocks = (status) => Object.entries(status?.raft.clock_offsets_ms ?? {})
  .filter(([, ms]) => Math.abs(ms) > CLOCK_MS_MAX)
  .map(([id, ms]) => ({
    key: `clock ${id}`,
    words: `The clock of ${id} is ${span(Math.abs(ms) / 1000)} ${ms > 0 ? "ahead" : "late"}.`,
    advice: "Have it set by NTP. Polls that close by themselves go by the leader's clock.",
  }));

const ofSinks = (status) => Object.entries(status?.sinks ?? {}).flatMap(([name, sink]) => {
  const found = [];
  if (sink.phase in SINKS) {
    found.push({
      key: `sink ${name}`,
      words: `Nothing is written to ${name}${told(sink.last_error)}.`,
      advice: SINKS[sink.phase],
      ageS: sink.last_success_age_s ?? undefined,
    });
  }
  if (sink.deviations?.last && !(sink.deviations.last_age_s > DEVIATION_S)) found.push({
    key: `edited ${name}`,
    words: `What stood in ${name} was not what had been written${told(sink.deviations.last)}.`,
    advice: "quorate audit compares all of it.",
    ageS: sink.deviations.last_age_s,
  });
  return found;
});

function ofRest(id, { sources = {}, auth, tls, consul }) {
  const found = [];
  const add = (key, words, advice) => found.push({ key: `${key} ${id}`, words, advice });
  for (const [name, source] of Object.entries(sources)) {
    if (source.connections === 0) add(`source ${name}`, `${id} takes no votes from ${name}: it is connected to none of its servers${told(source.last_error)}.`, `Look at ${name} and its addresses in the settings. Votes wait there.`);
    if (source.throttled) add(`throttled ${name}`, `${id} takes votes from ${name} slowly.`, "The cluster cannot count them as fast as they come; they wait in the queue.");
  }
  if (auth?.file_good === false) add("tokens", `${id} cannot take its file of tokens${told(auth.problem)}.`, "The last good tokens hold. Mend auth.file; it is read again by itself.");
  if (tls?.files_good === false) add("tls", `${id} cannot take its certificate${told(tls.problem)}.`, "The one before goes on. Mend the files; they are read again by themselves.");
  if (tls?.days_left < CERTIFICATE_DAYS) add("certificate", `The certificate of ${id} ends in ${count(Math.max(0, Math.floor(tls.days_left)), "day")}.`, "Put a new one in its place; it is read by itself.");
  if (consul?.registered === false) add("consul", `${id} is not registered in Consul${told(consul.detail)}.`, "Clients that look there do not find it. Look at its agent and consul.address.");
  return found;
}

const ofLimits = (status) => ["polls", "options", "producers"]
  .filter((name) => status?.state && status.state[name] > FULL * status.limits[name])
  .map((name) => ({
    key: `limit ${name}`,
    words: `${number.format(status.state[name])} of ${number.format(status.limits[name])} ${name} are used.`,
    advice: name === "producers" ? "Forget those that come no more: quorate producers." : "Archive and delete polls that are not needed.",
  }));
