// Follows /events by fetch, since EventSource can send no token. It reads what a Quorate node writes: lines end with \n.

import { ask, tokenGiven } from "./asking.js";

const RECONNECT_MS = 1000;
const REST_MS = 10000;
const SILENT_MS = 40000; // a node that has nothing to tell says so every 15 s

let leaving = new AbortController();
let seen = ""; // the last version whose tallies were all shown: what comes next is never older

// The stream of the node that is asked now, which may be another one than before.
export const followAnew = () => leaving.abort();

// What was seen does not hold any more.
export function followFromStart() {
  seen = "";
  leaving.abort();
}

// A browser has six connections to a node, for all its tabs together. One that is not seen gives its own back.
let resting;
document.addEventListener("visibilitychange", () => {
  clearTimeout(resting);
  if (document.hidden) resting = setTimeout(() => leaving.abort(), REST_MS);
});

async function shown() {
  while (document.hidden) await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// `opened`, `rested` and `lost` are called as these things happen, for as long as the page is there, and `told` for each
// event by its name.
export async function follow({ opened, rested, lost, told }) {
  for (;;) {
    if (document.hidden) {
      rested();
      await shown();
    }
    leaving = new AbortController();
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => leaving.abort(), SILENT_MS);
    };
    let isRefused = false;
    try {
      heard();
      const headers = { Accept: "text/event-stream", ...(seen && { "Last-Event-ID": seen }) };
      const answer = await ask("/events", { headers, signal: leaving.signal, cache: "no-store" });
      isRefused = answer.status === 401;
      if (answer.ok) {
        opened();
        for await (const event of eventsIn(answer.body, heard)) {
          told[event.event]?.(JSON.parse(event.data));
          seen = event.id ?? seen;
        }
      }
    } catch { /* it broke off; what was shown stays */ }
    clearTimeout(silence);
    const isMoved = leaving.signal.aborted;
    leaving.abort();
    if (document.hidden) continue;
    lost();
    if (isRefused) await tokenGiven();
    else if (!isMoved) await sleep(RECONNECT_MS);
  }
}

async function* eventsIn(body, heard) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const blocks = (text + decoder.decode(value, { stream: true })).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) yield fieldsOf(block);
  }
}

function fieldsOf(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":"); // first in a line, it makes it a comment
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
  }
  return fields;
}
