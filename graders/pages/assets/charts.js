import { make, visible } from "./dom.js";

// Pictures of rates and of curves, and figures in words.
export const count = n => n.toLocaleString("en");
export const percent = part => (part * 100).toFixed(1) + " %";
const points = part => (part * 100).toFixed(0);

export function when(seconds) {
  return seconds ? new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "–";
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;
}

// A rate with its interval, as [value, low, high] or null.
export function rateOf(rate, { picture = true } = {}) {
  if (!rate) return make("span", { class: "soft" }, "–");
  const [value, low, high] = rate;
  return make("span", { class: "rate" }, make("b", {}, percent(value)),
    make("span", { class: "soft small" }, ` ${points(low)}–${points(high)}`), picture ? scale(rate) : null);
}

function scale([value, low, high]) {
  return make("svg", { class: "scale", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    make("rect", { class: "track", y: 3, width: 100, height: 4 }),
    make("rect", { class: "between", x: low * 100, y: 3, width: Math.max(0.5, (high - low) * 100), height: 4 }),
    make("line", { class: "at", x1: value * 100, x2: value * 100, y1: 0, y2: 10 }));
}

// Rates of runs, the oldest first; null leaves a gap.
export function trend(rates) {
  const known = rates.filter(rate => rate !== null);
  if (known.length < 2) return make("span", { class: "soft" }, "–");
  const across = n => rates.length < 2 ? 50 : 4 + n / (rates.length - 1) * 92;
  const spots = rates.map((rate, n) => rate === null ? null : `${across(n)},${28 - rate * 24}`).filter(Boolean);
  const [x, y] = spots.at(-1).split(",");
  return make("svg", { class: "strip", viewBox: "0 0 100 32", role: "img", "aria-label": `pass rates of the last ${known.length} runs, from ${percent(known[0])} to ${percent(known.at(-1))}` },
    make("line", { class: "base", x1: 0, x2: 100, y1: 28, y2: 28 }), make("polyline", { class: "line", points: spots.join(" ") }),
    make("circle", { class: "last", cx: x, cy: y, r: 2.5 }));
}

const PLURALS = { item: "items", run: "runs", error: "errors" };
export const plural = (n, noun) => `${count(n)} ${n === 1 ? noun : PLURALS[noun] ?? noun + "s"}`;

// Errors, which are never left out of sight.
export function errorsOf(n) {
  return n ? make("span", { class: "chip failed" }, plural(n, "error")) : null;
}

// What was found out about a grader, a line each; none where nothing is known.
export const claimsOf = claims => claims.map(one => make("span", { class: "claim small below " + (one.expired ? "bad" : "soft") }, visible(`${one.name}: ${one.text}`)));

const STATUS_CLASS = { pass: "met", completed: "met", succeeded: "met", fail: "missed", error: "failed", failed: "failed", in_progress: "busy", running: "busy" };
export function statusOf(status) {
  return make("span", { class: "chip " + (STATUS_CLASS[status] ?? "") }, status.replaceAll("_", " "));
}
