// Elements and figures. Every text of the data reaches a page through textContent; nothing makes HTML out of a string.
export const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "rect", "polyline", "line", "circle", "title", "g", "text", "path"]);

// An element with attributes (null: none, a function: a listener of that event) and what is inside (null: nothing).
export function make(name, attributes = {}, ...inside) {
  const element = DRAWN.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  for (const one of inside.flat(Infinity)) if (one !== null && one !== undefined) element.append(one);
  return element;
}

// Characters that would not be seen, or would turn the reading direction, are shown by name.
export const visible = text => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]/gu,
  c => c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : "⟨U+" + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩");
export const oneLine = text => visible(text.slice(0, 300).replace(/\s+/g, " "));

export function figure(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  const places = Math.max(0, 4 - Math.max(0, Math.floor(Math.log10(Math.abs(value) || 1))));
  return value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
}

// A text in a box of its own, with a heading.
export function block(title, text, bad) {
  const box = make("pre", { class: bad ? "text bad" : "text", tabindex: "0", dir: "auto" }, text);
  return make("div", {}, make("h3", {}, title), box);
}

// A bar that is filled to a part of it, from 0 to 1.
export function meter(part) {
  const filled = Math.max(0, Math.min(1, part)) * 100;
  return make("svg", { class: "meter", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    make("rect", { class: "track", width: 100, height: 10 }), make("rect", { class: "bar", width: filled, height: 10 }));
}

export async function copy(text) {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* a page from a file may not */ }
  const area = make("textarea", { class: "away", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

// A click on the button turns light into dark and back.
export function switchTheme(button) {
  button.addEventListener("click", () => {
    const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const is = root.dataset.theme === "auto" ? (dark ? "dark" : "light") : root.dataset.theme;
    root.dataset.theme = is === "dark" ? "light" : "dark";
  });
}
