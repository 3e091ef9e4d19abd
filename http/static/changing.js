// Has the cluster change something, and says what became of it. What got no answer is sent again, as it was.

import { ask } from "./asking.js";

const OUTCOME_MS = 7000; // the node itself waits 5 s for an outcome
const TRY_FOR_MS = 15000;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

let underWay = 0;

export const isChanging = () => underWay > 0;

// `again` is called before each further try. After a try without a clear answer, a refusal may only tell that the change
// was made by then: `isMade` looks at it. `why` is in the node's own words, and `field` says what they are about.
// What takes longer brings its own deadline, and what must not be done twice is tried once (`isOnce`).
export async function change(method, path, body, { again = () => {}, isMade = () => false, waitMs = OUTCOME_MS, isOnce = false } = {}) {
  underWay += 1;
  try {
    return await tried(method, path, body, { again, isMade, waitMs, isOnce });
  } finally {
    underWay -= 1;
  }
}

async function tried(method, path, body, { again, isMade, waitMs, isOnce }) {
  const sent = { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const end = performance.now() + TRY_FOR_MS; // the reader's clock may be set meanwhile
  let isUnknown = false; // a try that got no clear answer may have had its effect, whatever the later ones say
  for (let tries = 1; ; tries++) {
    let why = "this node does not answer";
    try {
      const answer = await ask(path, sent, waitMs);
      const said = await answer.json();
      if (answer.ok || (isUnknown && isMade(said))) return { isDone: true, said };
      if (answer.status === 401) return { why: "a token is needed", kind: said.type };
      if (said.retry === "no") return { why: said.detail, kind: said.type, field: said.field };
      isUnknown ||= !said.definite;
      why = said.detail;
    } catch {
      isUnknown = true;
    }
    if (isOnce || performance.now() > end) return { why, isUnknown };
    again();
    await sleep(Math.min(300 * tries, 2000));
  }
}
