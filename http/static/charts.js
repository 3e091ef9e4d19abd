// A chart for each poll on the page: all votes and the biggest options over time, and votes a minute. It is drawn only
// while it is on the screen. What it shows is there as words and as a table, too, and each moment by keyboard.

import { beginPlot, drawBars, drawCursor, drawHigh, drawLine, swatch, top } from "./plot.js";
import { RANGES, Series, isBroken, ratesOf } from "./series.js";

const LINES = 5; // of options
const ROWS = 12; // of the table
const TICK_MS = 1000;
const LEAST_MS = 60_000; // that a chart is wide

const number = new Intl.NumberFormat();
const votes = (n) => `${number.format(n)} ${n === 1 ? "vote" : "votes"}`;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const dayClock = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" });

const charts = new Map(); // the poll's card -> its chart
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) charts.get(target)?.show(isIntersecting);
});
let isLive = false;

// `card` is the element of the poll, and `tally` what it has now.
export function chart(card, tally) {
  const known = charts.get(card);
  if (known) return known.hear(tally);
  const made = new Chart(card, tally);
  charts.set(card, made);
  seen.observe(card);
}

// The stream of events is open, or not. When it opens again, what was missed is asked for.
export function chartsLive(live) {
  if (live && !isLive) for (const each of charts.values()) each.series.loadedMs = -Infinity;
  isLive = live;
}

class Chart {
  constructor(card, tally) {
    this.root = null; // until the card is first on the screen: there may be a hundred
    this.card = card;
    this.series = new Series(tally.id);
    this.tally = tally;
    this.isShown = false;
    this.cursor = null; // a moment; null: now
    this.points = [];
    this.find = (selector) => this.root.querySelector(selector);
  }

  begin() {
    this.root = document.getElementById("chart").content.firstElementChild.cloneNode(true);
    this.root.hidden = true; // until something is known
    this.card.insertBefore(this.root, this.card.querySelector(".actions"));
    this.drawRanges();
    this.listen();
  }

  listen() {
    const cursor = this.find(".cursor");
    cursor.addEventListener("input", () => this.lookAt(Number(cursor.value)));
    const plot = this.find(".plot");
    plot.addEventListener("pointermove", ({ clientX, pointerType }) => {
      if (pointerType !== "mouse") return; // a finger moves the cursor itself
      const { left, width } = plot.getBoundingClientRect();
      this.lookAt(this.nearest((clientX - left) / width));
    });
    plot.addEventListener("pointerleave", () => { if (document.activeElement !== cursor) this.lookAt(Infinity); });
    cursor.addEventListener("blur", () => this.lookAt(Infinity));
    this.root.addEventListener("toggle", () => this.draw());
    this.find(".numbers").addEventListener("toggle", () => this.drawTable());
    new ResizeObserver(() => this.draw()).observe(plot);
  }

  drawRanges() {
    this.find(".ranges").replaceChildren(...RANGES.map((range) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = range.name;
      button.setAttribute("aria-pressed", String(range === this.series.range));
      button.addEventListener("click", () => this.choose(range, button));
      return button;
    }));
  }

  async choose(range, button) {
    for (const each of this.find(".ranges").children) each.setAttribute("aria-pressed", String(each === button));
    this.cursor = null;
    await this.load(range);
  }

  show(isShown) {
    this.isShown = isShown;
    this.tick();
  }

  hear(tally) {
    const isOther = tally.total < this.tally.total; // a new poll of this name, or other initial results
    this.tally = tally;
    if (isOther) this.series.loadedMs = -Infinity;
  }

  tick() {
    if (!this.card.isConnected) {
      seen.unobserve(this.card);
      charts.delete(this.card);
      return;
    }
    if (!this.isShown || document.hidden) return;
    if (!this.root) this.begin();
    if (this.tally.state === "draft") {
      this.root.hidden = true;
      return;
    }
    if (this.series.isOld) this.load();
    else if (isLive) this.series.hear(this.tally);
    this.draw();
  }

  async load(range) {
    const isThere = await this.series.load(range);
    this.root.hidden = !isThere || (this.root.hidden && !this.series.isKnown);
    this.draw();
    this.drawTable();
  }

  nearest(share) {
    if (!this.points.length) return 0;
    const at = this.beginMs + share * (this.endMs - this.beginMs);
    return this.points.reduce((best, point, i) => Math.abs(point.at - at) < Math.abs(this.points[best].at - at) ? i : best, 0);
  }

  lookAt(place) {
    this.cursor = place >= this.points.length - 1 ? null : this.points[place]?.at ?? null;
    this.draw();
  }

  // ---- drawing ----

  draw() {
    if (this.root.hidden || !this.root.open || !this.isShown) return;
    const { series } = this;
    const points = this.points = series.points();
    this.endMs = series.now;
    this.beginMs = beginOf(points, this.endMs, series.range);
    this.names = biggest(points);
    this.gaps = series.gaps().filter(([, to]) => to > this.beginMs);
    this.rates = ratesOf(points, this.gaps, series.range.longMs);
    const place = this.cursor === null ? points.length - 1 : this.nearest((this.cursor - this.beginMs) / (this.endMs - this.beginMs));
    this.drawTotals(points[place]);
    this.drawRates(points[place]);
    this.drawMoment(points[place], place);
    this.say(this.find(".summary"), this.summary());
  }

  drawTotals(point) {
    const high = top(Math.max(1, ...this.points.map(({ total }) => total ?? 0)));
    const plot = beginPlot(this.find(".totals"), { begin: this.beginMs, end: this.endMs, high, gaps: this.gaps, words: true });
    const breaks = (before, at) => isBroken(this.gaps, before, at);
    drawLine(plot, this.points.map(({ at, total }) => [at, total]), "all", breaks);
    this.names.forEach((name, i) => {
      drawLine(plot, this.points.map(({ at, options }) => [at, options.get(name)]), `of${i + 1}`, breaks);
    });
    drawHigh(plot, high, votes);
    if (this.cursor !== null && point) drawCursor(plot, point.at);
  }

  drawRates(point) {
    const high = top(Math.max(1, ...this.rates.map(({ rate }) => rate)));
    const plot = beginPlot(this.find(".rates"), { begin: this.beginMs, end: this.endMs, high, gaps: this.gaps, names: true });
    drawBars(plot, this.rates);
    drawHigh(plot, high, (n) => `${number.format(n)} a minute`);
    if (this.cursor !== null && point) drawCursor(plot, point.at);
  }

  drawMoment(point, place) {
    const when = this.cursor === null || !point ? "now" : this.when(point.at);
    const rate = point && this.rates.find(({ from, to }) => from < point.at && point.at <= to)?.rate;
    const known = point && point.total !== null;
    const words = !known ? "not known" : rate === undefined ? votes(point.total) : `${votes(point.total)}, ${number.format(Math.round(rate))} a minute`;
    this.say(this.find(".moment"), `${when}: ${words}`);
    const cursor = this.find(".cursor");
    cursor.max = Math.max(0, this.points.length - 1);
    cursor.value = place;
    const each = known ? this.names.map((name) => `${name} ${number.format(point.options.get(name) ?? 0)}`) : [];
    cursor.setAttribute("aria-valuetext", [`${when}: ${words}`, ...each].join("; "));
    this.drawLegend(known ? point : null);
  }

  drawLegend(point) {
    const legend = this.find(".legend");
    const kinds = [["all", "all votes", point?.total], ...this.names.map((name, i) => [`of${i + 1}`, name, point?.options.get(name)])];
    if (legend.dataset.of !== JSON.stringify(this.names)) {
      legend.dataset.of = JSON.stringify(this.names);
      legend.replaceChildren(...kinds.map(([kind, name]) => {
        const item = document.createElement("span");
        const label = document.createElement("bdi");
        label.textContent = name;
        item.append(swatch(kind), label, document.createElement("b"));
        return item;
      }));
    }
    kinds.forEach(([, , value], i) => this.say(legend.children[i].lastChild, value === undefined || value === null ? "" : number.format(value)));
  }

  drawTable() {
    const numbers = this.find(".numbers");
    if (!numbers.open || this.root.hidden) return;
    const points = this.series.points().filter(({ at }) => at >= this.beginMs);
    const share = Math.max(1, Math.ceil(points.length / ROWS));
    const rows = points.filter((_, i) => (points.length - 1 - i) % share === 0);
    numbers.querySelector("tbody").replaceChildren(...rows.map(({ at, total }, i) => {
      const before = rows[i - 1];
      const isKnown = before && before.total !== null && total !== null;
      const rate = isKnown ? number.format(Math.round((total - before.total) * 60_000 / (at - before.at))) : "";
      return row([this.when(at), total === null ? "not known" : number.format(total), rate]);
    }));
  }

  // ---- words ----

  when(at) {
    return (this.series.range.longMs > 3_600_000 ? dayClock : clock).format(at);
  }

  summary() {
    const known = this.points.filter(({ total }) => total !== null);
    if (!known.length) return `Of ${this.series.range.words} this node has recorded nothing.`;
    const isYoung = this.beginMs > this.endMs - this.series.range.longMs;
    const since = isYoung ? `Since ${this.when(known[0].at)}, when recording began` : `In ${this.series.range.words}`;
    const most = this.rates.reduce((best, bin) => (bin.rate > (best?.rate ?? 0) ? bin : best), null);
    const peak = most ? `, at most ${number.format(Math.round(most.rate))} a minute at ${this.when(most.to)}` : "";
    const gaps = this.gaps.slice(-3).map(([from, to]) => `${this.when(from)} to ${this.when(to)}`).join(", ");
    return `${since}: ${votes(known.at(-1).total - known[0].total)} more${peak}.${gaps ? ` Not known by this node: ${gaps}.` : ""}`;
  }

  // What stays the same is not read aloud again, and not laid out again.
  say(element, words) {
    if (element.textContent !== words) element.textContent = words;
  }
}

function row(cells) {
  const made = document.createElement("tr");
  made.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return made;
}

// A poll that is younger than what is asked for is not drawn at the edge of nothing.
function beginOf(points, end, { longMs }) {
  const first = points.find(({ total }) => total !== null)?.at ?? 0;
  const begin = end - longMs;
  return first - begin > longMs / 20 ? Math.min(first, end - LEAST_MS) : begin;
}

// The options with most votes at the last moment that is known, if there are few enough to tell apart.
function biggest(points) {
  const last = points.findLast(({ total }) => total !== null);
  const all = [...(last?.options ?? [])].filter(([, count]) => count !== null);
  return all.sort((a, b) => b[1] - a[1]).slice(0, LINES).map(([name]) => name);
}

setInterval(() => { for (const each of [...charts.values()]) each.tick(); }, TICK_MS);
