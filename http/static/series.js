// What a poll had over time: the steps that the node has recorded, and behind them what the page has heard since. A moment
// that nobody knows has no total. It is a gap, and stays one: nothing here guesses.

import { ask } from "./asking.js";

export const RANGES = [
  { name: "15 min", words: "the last 15 minutes", from: "15m", stepMs: 5_000, longMs: 900_000, againMs: 15_000 },
  { name: "1 hour", words: "the last hour", from: "1h", stepMs: 15_000, longMs: 3_600_000, againMs: 15_000 },
  { name: "1 day", words: "the last day", from: "1d", stepMs: 300_000, longMs: 86_400_000, againMs: 60_000 },
  { name: "1 week", words: "the last week", from: "7d", stepMs: 1_800_000, longMs: 604_800_000, againMs: 60_000 },
];
const BINS = 60; // or fewer, for votes a minute
const MINUTE_MS = 60_000;
const SOON_MS = 2000;
const HEARD_A_STEP = 5; // so many moments are kept of what is heard in the time of a step: more could not be told apart

export class Series {
  constructor(id) {
    this.id = id;
    this.range = RANGES[0];
    this.recorded = null; // null: not known yet
    this.recordedGaps = [];
    this.heard = [];
    this.aheadMs = performance.timeOrigin; // of a clock that nobody sets, that of the node
    this.loadedMs = -Infinity;
    this.isRefused = false; // the last time; then what time it is may not be known
    this.asked = 0;
  }

  get now() {
    return performance.now() + this.aheadMs;
  }

  get isKnown() {
    return (this.recorded ?? []).some(({ total }) => total !== null);
  }

  // A new poll has no history for a moment.
  get isOld() {
    return performance.now() - this.loadedMs >= (this.isKnown ? this.range.againMs : SOON_MS);
  }

  // Steps are at the same moments each time, so that the chart does not tremble; the first answer says what time it is.
  get from() {
    const stepMs = this.range.stepMs;
    return this.recorded && !this.isRefused ? new Date(Math.floor((this.now - this.range.longMs) / stepMs) * stepMs).toISOString() : this.range.from;
  }

  // Whether there is a history. Without an answer what was known before stays.
  async load(range = this.range) {
    this.loadedMs = performance.now();
    this.range = range;
    const turn = ++this.asked;
    let answer;
    try {
      answer = await ask(`/polls/${encodeURIComponent(this.id)}/history?from=${this.from}&step=${range.stepMs / 1000}s`);
      this.isRefused = !answer.ok;
      if (!answer.ok) return answer.status !== 404;
      answer = await answer.json();
    } catch {
      return true;
    }
    if (turn === this.asked) this.take(answer);
    return true;
  }

  take(answer) {
    const begin = Date.parse(answer.from);
    const options = Object.entries(answer.options);
    this.recorded = answer.totals.map((total, i) => ({
      at: begin + i * answer.step_s * 1000,
      total,
      options: new Map(options.map(([name, votes]) => [name, votes[i]])),
    }));
    this.recordedGaps = answer.gaps.map(({ from, to }) => [Date.parse(from), Date.parse(to)]);
    this.aheadMs = Date.parse(answer.now) - performance.now();
    const last = this.recorded.at(-1);
    // A node that does not know what is counted now is not told better by its own events.
    this.heard = !last || last.total === null ? [] : this.heard.filter(({ at }) => at > last.at && at <= this.now);
  }

  // The stream is open, so the poll has this now.
  hear({ total, results }) {
    const last = this.recorded?.at(-1);
    if (!last || last.total === null || this.now <= last.at) return;
    const { longMs, stepMs } = this.range;
    const options = new Map([...last.options.keys()].map((name) => [name, results[name] ?? null]));
    const isClose = this.heard.length > 1 && this.now - this.heard.at(-2).at < stepMs / HEARD_A_STEP;
    if (isClose) this.heard.pop();
    this.heard.push({ at: this.now, total, options });
    if (this.heard[0].at < this.now - longMs) this.heard.shift();
  }

  gaps() {
    return merged([...this.recordedGaps, ...gapsOf(this.points())]);
  }

  points() {
    const begin = this.now - this.range.longMs;
    const all = [...(this.recorded ?? []), ...this.heard];
    return all.filter(({ at }) => at >= begin);
  }
}

// Runs of moments that nobody knows, between or behind others that somebody does: [from, to] in ms.
export function gapsOf(points) {
  const gaps = [];
  let known = null; // the last moment that is known
  let gap = null;
  for (const { at, total } of points) {
    if (total === null && known !== null) {
      if (!gap) gaps.push(gap = [known, at]);
      gap[1] = at;
    } else if (total !== null) {
      if (gap) gap[1] = at;
      [known, gap] = [at, null];
    }
  }
  return gaps;
}

// Those that meet become one.
export function merged(gaps) {
  const made = [];
  for (const [from, to] of gaps.toSorted((a, b) => a[0] - b[0])) {
    if (made.length && from <= made.at(-1)[1]) made.at(-1)[1] = Math.max(made.at(-1)[1], to);
    else made.push([from, to]);
  }
  return made;
}

// Whether something between two moments is not known.
export const isBroken = (gaps, before, at) => gaps.some(([from, to]) => from < at && to > before);

// Votes a minute, in bins that stay where they are as time goes on: {from, to, rate}. A bin begins where what is known
// without a gap begins.
export function ratesOf(points, gaps, longMs) {
  const binMs = longMs / BINS;
  const bins = [];
  let run = null; // the first point of this bin's run
  let before = null;
  for (const point of points) {
    const isNew = !before || Math.floor(point.at / binMs) !== Math.floor(before.at / binMs);
    if (point.total === null) [run, before] = [null, null];
    else {
      if (!before || isBroken(gaps, before.at, point.at)) run = point;
      else if (isNew) run = before;
      const rate = Math.max(0, (point.total - run.total) * MINUTE_MS / (point.at - run.at));
      if (bins.at(-1)?.from === run.at) bins.pop();
      if (point !== run) bins.push({ from: run.at, to: point.at, rate });
      before = point;
    }
  }
  return bins;
}
