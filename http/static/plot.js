// Draws lines and bars over time into an SVG of its own size in pixels. Colours and dashes are those of charts.css.

const SVG = "http://www.w3.org/2000/svg";
const ABOVE = 15; // for the words at the top
const BELOW = 18; // for the names of moments
const LABEL_EVERY_PX = 84;
const HALF_LABEL_PX = 38;
const WORDS_PX = 64; // for the words in a gap
const HOUR_MS = 3_600_000;
const NICE_MS = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800].map((s) => s * 1000);

const seconds = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric" });

function add(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// A round number that is not below the highest value.
export function top(highest) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, highest)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((each) => each * power).find((each) => each >= highest) ?? highest;
}

// `begin` and `end` in ms, `high` is the value at the top. Returns the scales, and what the caller draws into.
export function beginPlot(svg, { begin, end, high, gaps, names, words }) {
  const width = svg.clientWidth || 300;
  const height = svg.clientHeight || 120;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const bottom = height - (names ? BELOW : 2);
  const x = (at) => (at - begin) / (end - begin) * width;
  const y = (value) => bottom - value / high * (bottom - ABOVE);
  for (const value of [0, high / 2, high]) add(svg, "line", { class: "grid", x1: 0, x2: width, y1: y(value), y2: y(value) });
  for (const [from, to] of gaps) drawGap(svg, x(Math.max(from, begin)), x(to), bottom, words);
  if (names) drawMoments(svg, begin, end, x, height);
  return { svg, x, y, width, bottom };
}

function drawGap(svg, from, to, bottom, words) {
  add(svg, "rect", { class: "gap", x: from, y: ABOVE, width: Math.max(1, to - from), height: bottom - ABOVE });
  if (words && to - from >= WORDS_PX) {
    add(svg, "text", { class: "axis", x: (from + to) / 2, y: (bottom + ABOVE) / 2 - 6, "text-anchor": "middle" }, "not known");
  }
}

function drawMoments(svg, begin, end, x, height) {
  const width = x(end);
  const everyMs = NICE_MS.find((each) => (end - begin) / each * LABEL_EVERY_PX <= width) ?? NICE_MS.at(-1);
  const shiftMs = offsetMs(end);
  for (let wall = Math.ceil((begin - shiftMs) / everyMs) * everyMs; wall <= end - shiftMs + HOUR_MS; wall += everyMs) {
    const at = wall + offsetMs(wall + shiftMs); // summer time may have begun or ended since
    const place = x(at);
    if (place < HALF_LABEL_PX || place > width - HALF_LABEL_PX) continue;
    add(svg, "text", { class: "axis", x: place, y: height - 4, "text-anchor": "middle" }, nameOf(at, everyMs));
  }
}

const offsetMs = (at) => new Date(at).getTimezoneOffset() * 60_000;

function nameOf(at, everyMs) {
  if (everyMs < 60_000) return seconds.format(at);
  const isMidnight = everyMs >= HOUR_MS && new Date(at).getHours() === 0;
  return (everyMs >= 86_400_000 || isMidnight ? day : clock).format(at);
}

export function drawHigh({ svg, y }, high, words) {
  add(svg, "text", { class: "axis high", x: 0, y: y(high) - 4 }, words(high));
}

// A line through what is known, in steps: between two moments nothing but the last value is known. `breaks` says whether
// not even that is.
export function drawLine({ svg, x, y }, values, kind, breaks) {
  let path = "";
  let before = null;
  for (const [at, value] of values) {
    if (value === null || value === undefined) before = null;
    else {
      const place = `${x(at).toFixed(1)},${y(value).toFixed(1)}`;
      const begins = before === null || breaks(before, at);
      path += begins ? `M${place}h.01` : `H${x(at).toFixed(1)}V${y(value).toFixed(1)}`; // a moment alone is a dot
      before = at;
    }
  }
  if (path) add(svg, "path", { class: `series ${kind}`, d: path });
}

export function drawBars({ svg, x, y, bottom }, bins) {
  for (const { from, to, rate } of bins) {
    const left = Math.max(0, x(from));
    const height = bottom - y(rate);
    if (height > 0) add(svg, "rect", { class: "rate", x: left, y: y(rate), width: Math.max(.5, x(to) - left - 1), height });
  }
}

export function drawCursor({ svg, x, bottom }, at) {
  add(svg, "line", { class: "at", x1: x(at), x2: x(at), y1: 0, y2: bottom });
}

// A short piece of the line, for the legend.
export function swatch(kind) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ width: 22, height: 8, viewBox: "0 0 22 8", "aria-hidden": "true" })) svg.setAttribute(key, value);
  add(svg, "path", { class: `series ${kind}`, d: "M1,4H21" });
  return svg;
}
