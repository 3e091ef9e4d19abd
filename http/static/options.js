// Which options of a poll are shown: all in their order, if they are few; else those that lead, and those that are sought.

import { count } from "./words.js";

export const OPTIONS_SHOWN = 10;
const STEP = 50;
const MOST = 500;

// As letters are compared: without marks and case.
export const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

// The names and counts to show. Says in the card how many there are besides.
export function pickOptions({ card, tally, places, limit, sought }) {
  const all = Object.entries(tally.results);
  const isMany = all.length > OPTIONS_SHOWN;
  card.querySelector(".many").hidden = !isMany;
  if (!isMany) {
    const place = ([name]) => places?.get(name) ?? OPTIONS_SHOWN;
    return all.sort((a, b) => place(a) - place(b));
  }
  const found = sought ? all.filter(([name]) => plain(name).includes(sought)) : all;
  const rest = Math.max(0, found.length - limit);
  const isFull = limit >= MOST;
  const words = sought && !found.length ? "No option has that in its name."
    : rest ? `and ${count(rest, "more option")}${isFull ? ": search for them" : ""}` : "";
  const place = card.querySelector(".rest");
  if (place.textContent !== words) place.textContent = words;
  card.querySelector(".more").hidden = rest === 0 || isFull;
  return leading(found, limit);
}

// The search and the button of a new card. `changed` is called when others are to be shown.
export function askMore(poll, changed) {
  const input = poll.card.querySelector(".many input");
  input.value = poll.sought;
  const show = (more) => {
    Object.assign(poll, more, { isDrawn: false });
    changed();
  };
  input.addEventListener("input", () => show({ sought: plain(input.value.trim()), limit: OPTIONS_SHOWN }));
  poll.card.querySelector(".more").addEventListener("click", () => show({ limit: Math.min(MOST, poll.limit + STEP) }));
}

// The first of those with the highest counts. A whole sort of 100,000 options would hold the page up.
function leading(entries, most) {
  const best = [];
  for (const entry of entries) {
    if (best.length === most && entry[1] <= best[most - 1][1]) continue;
    let [low, high] = [0, best.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (best[middle][1] >= entry[1]) low = middle + 1;
      else high = middle;
    }
    best.splice(low, 0, entry);
    if (best.length > most) best.pop();
  }
  return best;
}
