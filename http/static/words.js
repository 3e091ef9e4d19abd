// How numbers, times and sizes are said.

export const number = new Intl.NumberFormat();
export const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const tenths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const time = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

const SPANS = [[86400, "d"], [3600, "h"], [60, "min"]];
const SIZES = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]];

// `at` in milliseconds. Of what is not of today the day is said, too.
export const clock = (at) => (new Date(at).toDateString() === new Date().toDateString() ? time : dateAndTime).format(at);

export function span(seconds) {
  if (seconds < 1) return `${tenths.format(seconds * 1000)} ms`;
  const [size, unit] = SPANS.find(([least]) => seconds >= 2 * least) ?? [1, "s"];
  return `${unit === "s" ? tenths.format(seconds) : number.format(Math.floor(seconds / size))} ${unit}`;
}

export function bytes(count) {
  const [size, unit] = SIZES.find(([least]) => count >= least) ?? [1, "bytes"];
  return `${tenths.format(count / size)} ${unit}`;
}

export const count = (many, one, more = `${one}s`) => `${number.format(many)} ${many === 1 ? one : more}`;
