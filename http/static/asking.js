// Requests to a node, with the reader's token if there is one. Where one is needed, the page asks for it. The node is the
// one that served the page, until moving.js has it go on at another.

import { fetchAt } from "./reaching.js";

const ANSWER_MS = 4000; // a node that is stopped in its tracks keeps connections open and says nothing
const KEY = "token"; // of this tab and this page's address alone; gone when the tab is closed

const $ = (id) => document.getElementById(id);

let token = kept();
let given = null; // while the page asks for a token: what is waited for
let isGiven = null;
let isReadable = false; // without a token, so the reader may do without one

let base = ""; // of the node that is asked; empty: the one that served the page
let dead = new AbortController(); // ends what waits for a node that the page has given up

export const hasToken = () => token !== "";
export const isTokenWanted = () => given !== null;
export const tokenGiven = () => given ?? Promise.resolve();
export const isAway = () => base !== "";
export const origin = () => base || location.origin;

// From now on another node is asked. What still waits for a node that is given up is asked there, too, by whoever asked.
export function askAt(url, isGivenUp) {
  base = url;
  if (!isGivenUp) return;
  dead.abort();
  dead = new AbortController();
}

// A stream has no deadline: it brings a signal of its own.
export async function ask(path, more = {}, waitMs = ANSWER_MS) {
  const sent = token;
  const headers = sent ? { ...more.headers, Authorization: `Bearer ${sent}` } : more.headers;
  const signal = AbortSignal.any([more.signal ?? AbortSignal.timeout(waitMs), dead.signal]);
  const answer = await (base ? fetchAt : fetch)(base + path, { ...more, headers, signal, credentials: "omit" });
  if (answer.ok && !sent) isReadable = true;
  if (answer.status === 401 && sent === token) wantToken(sent ? "This token is not known here, or was revoked." : "");
  return answer;
}

// The same of another member, at the address that it is known by.
export function askMember(url, path, waitMs = ANSWER_MS) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  return fetchAt(new URL(path, url), { headers, credentials: "omit", signal: AbortSignal.timeout(waitMs) });
}

export function wantToken(why, isNeeded = true) {
  $("token-label").textContent = isNeeded ? "A token is needed" : "Your token";
  $("token-why").textContent = why;
  $("token-cancel").hidden = !isReadable;
  if (given) return;
  given = new Promise((done) => { isGiven = done; });
  $("token").hidden = false;
  $("token").elements.token.focus();
}

$("token").addEventListener("submit", (event) => {
  event.preventDefault();
  take($("token").elements.token.value);
});

$("token-cancel").addEventListener("click", () => take(""));

function take(value) {
  keep(value);
  $("token").elements.token.value = "";
  $("token").hidden = true;
  given = null;
  isGiven();
}

$("forget").addEventListener("click", () => {
  keep("");
  location.reload();
});

// A browser that keeps nothing still has the token until the page is left.
function kept() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

function keep(value) {
  token = value;
  $("forget").hidden = !value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch { /* it is asked for again after a reload */ }
}

$("forget").hidden = !token;
