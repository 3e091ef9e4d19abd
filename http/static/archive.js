// Archived polls change no more, so no event tells of them. They are asked for at the reader's wish, some at a time.

import { ask } from "./asking.js";

const STEP = 50;

const button = document.getElementById("archived");

let next = ""; // where the next page of them begins
let isAsking = false;

// `shown` takes the tally of each, and `say` what is not as hoped.
export function offerArchived(shown, say) {
  button.addEventListener("click", async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      await askSome(shown, say);
    } catch {
      say("no answer; try again");
    }
    isAsking = false;
  });
}

async function askSome(shown, say) {
  const answer = await ask(`/polls?state=archived&limit=${STEP}&level=none${next && `&cursor=${encodeURIComponent(next)}`}`);
  const page = await answer.json();
  if (!answer.ok) return say(page.detail);
  for (const { id, title } of page.polls) {
    const found = await ask(`/polls/${encodeURIComponent(id)}/results?level=none`);
    if (found.ok) shown({ ...await found.json(), title });
  }
  if (!page.polls.length) say("No poll is archived.");
  else button.hidden = !page.next;
  next = page.next ?? "";
}
