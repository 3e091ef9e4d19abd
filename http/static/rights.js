// What the reader may do here, by their token or without one. The page shows no more than that; the node decides.

import { ask, hasToken, tokenGiven, wantToken } from "./asking.js";

const ROLES = ["read", "vote", "manage", "operate"]; // each may do what those before it may
const AGAIN_MS = 3000;
const RENEW_MS = 60000; // other tokens may hold by then

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

let role = null; // not known yet

// Nobody is kept from a click that may work: without a token, the node's answer to a vote asks for one.
export const mayVote = () => role !== "read" || !hasToken();
export const may = (needed) => ROLES.indexOf(role) >= ROLES.indexOf(needed);

export async function learnRights(changed) {
  for (;;) {
    let restMs = RENEW_MS;
    try {
      const { caller, auth } = await (await ask("/status")).json();
      const words = caller ? `signed in as ${caller.token} (${caller.role})` : "";
      if ($("who").textContent !== words) $("who").textContent = words;
      $("who").hidden = !caller;
      take(caller?.role ?? auth.anonymous, auth.tokens > 0, changed);
    } catch { // no answer, or a refusal
      restMs = AGAIN_MS;
    }
    await tokenGiven();
    await Promise.race([sleep(restMs), renewed()]);
  }
}

let renew = () => {};
export const learnAgain = () => renew();
const renewed = () => new Promise((done) => { renew = done; });

function take(told, areTokens, changed) {
  $("sign-in").hidden = hasToken() || !areTokens || told === "operate";
  if (role === told) return;
  role = told;
  document.body.dataset.may = ROLES.slice(0, ROLES.indexOf(role) + 1).join(" ");
  changed();
}

$("sign-in").addEventListener("click", () => wantToken("", false));
$("token").addEventListener("submit", () => renew());
$("token-cancel").addEventListener("click", () => renew());
