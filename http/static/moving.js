// When the node that is asked does not answer any more, the page goes on at another one, in its place and with its token,
// and says so. It returns when the node that served it is ready again: only there it can be loaded again.

import { ask, askAt, isAway, origin } from "./asking.js";
import { fetchAt, reach } from "./reaching.js";
import { clock } from "./words.js";

const PROBE_MS = 2000; // a node that is stopped in its tracks says nothing
const AGAIN_MS = 1000;
const RETURN_MS = 4000;
const PATIENT_MS = 8000; // with a node that answers, but knows no leader: most often it soon does

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

let home = null; // the node that served the page, as it was first told
let others = []; // the members, as they were last told
let now = null; // where the page went
let left = null; // what it left the node for that served it, and since when
let isLooking = false;
let isHomeSeen = true; // by the other members
let moved = () => {};

export const homeId = () => home;

// `changed` is called when the page has gone elsewhere, and when it is back.
export function watchNode(changed) {
  moved = changed;
}

export function knowNodes(nodes, served) {
  if (!isAway()) home = served;
  others = nodes.filter(({ id, http }) => id !== home && isOfThisKind(http));
  if (!isAway()) reach(others.map(({ http }) => http));
  isHomeSeen = nodes.some(({ id, reachable }) => id === home && reachable !== false);
}

// A page that came over https may ask no node over http.
const isOfThisKind = (url) => URL.canParse(url) && new URL(url).protocol === location.protocol;

// Called whenever something speaks against the node that is asked. Whether it is gone is looked at here.
export async function suspect() {
  if (isLooking) return;
  isLooking = true;
  try {
    await look(Date.now());
  } finally {
    isLooking = false;
  }
}

async function look(since) {
  const begun = performance.now(); // the reader's clock may be set meanwhile
  for (;;) {
    const asked = origin();
    const places = [{ id: home, url: location.origin }, ...others.map(({ id, http }) => ({ id, url: new URL(http).origin }))];
    const here = state(asked);
    const found = firstReady(places.filter(({ url }) => url !== asked));
    const isHere = await here;
    if (isHere === "ready") return tellPlace();
    const ready = await found;
    const isPatient = isHere === "answers" && performance.now() - begun < PATIENT_MS;
    if (ready && !isPatient) return go(ready, isHere, since);
    if (isHere === "answers" && !isPatient) return tellPlace(); // no node does better
    if (isHere === "silent") {
      tell(`${others.length ? "None of the nodes that this page knows is ready" : `${home ?? location.host} has not answered`} ` +
        `since ${clock(since)}. What is shown is from before. The page tries again each second.`);
    }
    await sleep(AGAIN_MS);
  }
}

async function state(url) {
  try {
    const answer = await (url === location.origin ? fetch : fetchAt)(`${url}/readyz`, { credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(PROBE_MS) });
    return answer.ok ? "ready" : "answers";
  } catch {
    return "silent";
  }
}

const firstReady = (places) => Promise.any(places.map(async (place) => {
  if (await state(place.url) !== "ready") throw new Error("not ready");
  return place;
})).catch(() => null);

function go(place, isHere, since) {
  const isBack = place.url === location.origin;
  const isGivenUp = isHere === "silent";
  if (!isAway()) left = { what: isGivenUp ? "has not answered" : "has known no leader", since };
  now = place;
  askAt(isBack ? "" : place.url, isGivenUp);
  tellPlace();
  if (!isBack) waitForHome();
  moved();
}

function tellPlace() {
  if (!isAway()) return tell("");
  tell(`${home ?? location.host}, which served this page, ${left.what} since ${clock(left.since)}. ` +
    `The page goes on at ${now.id}, and returns when ${home ?? "it"} is back.`, now);
}

function tell(words, other) {
  $("moved").hidden = words === "";
  if ($("moved-words").textContent !== words) $("moved-words").textContent = words; // it is read aloud at each change
  $("moved-link").hidden = !other;
  if (!other) return;
  $("moved-link").textContent = `Open it at ${other.id}`;
  $("moved-link").href = other.url;
}

let isWaiting = false;

async function waitForHome() {
  if (isWaiting) return;
  isWaiting = true;
  while (isAway()) {
    await sleep(RETURN_MS);
    if (isAway() && isHomeSeen && await state(location.origin) === "ready") go({ id: home, url: location.origin }, "ready", 0);
  }
  isWaiting = false;
}
